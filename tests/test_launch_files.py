"""The launch configurations: Accelerate reads them, and they leave precision, clipping and batches to xalign."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
LAUNCH_FILES = sorted((REPOSITORY / "accelerate_configs").glob("*.yaml"))
XALIGN_DECIDES = {"mixed_precision", "gradient_clipping", "gradient_accumulation_steps", "use_cpu"}
RANKS = """
import datetime, gc, os, torch
from accelerate import Accelerator, InitProcessGroupKwargs
group = InitProcessGroupKwargs(backend="gloo", timeout=datetime.timedelta(seconds=60))
deepspeed = os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true"
accelerator = Accelerator(cpu=not deepspeed, kwargs_handlers=[group])
if deepspeed:
    accelerator.state.deepspeed_plugin.deepspeed_config["train_micro_batch_size_per_gpu"] = 1
model = torch.nn.Linear(2, 1)
model, optimizer = accelerator.prepare(model, torch.optim.AdamW(model.parameters()))
loss = model(torch.ones(1, 2)).sum()
accelerator.backward(loss)
optimizer.step()
told = [accelerator.num_processes, accelerator.distributed_type.value]
if deepspeed:
    told.append(model.zero_optimization_stage())
if accelerator.is_main_process:
    print("RANKS", *told, flush=True)
del model, optimizer, loss
gc.collect()
accelerator.free_memory()
accelerator.wait_for_everyone()
accelerator.end_training()
"""


def nested_keys(value: Any) -> set[str]:
    return set(value).union(*map(nested_keys, value.values())) if isinstance(value, dict) else set()


DEEPSPEED_STAGES = {"deepspeed_zero1": 1, "deepspeed_zero2": 2, "deepspeed_zero3": 3, "deepspeed_zero3_offload": 3}


def test_the_launch_files_are_there() -> None:
    plain = ["multi_cpu", "multi_gpu", "multi_node", "single"]
    assert [path.stem for path in LAUNCH_FILES] == [*DEEPSPEED_STAGES, *plain]


@pytest.mark.parametrize("path", LAUNCH_FILES, ids=lambda path: path.stem)
def test_accelerate_reads_a_launch_file_that_decides_nothing_of_ours(path: Path) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(path))
    assert config.num_processes == (1 if path.stem == "single" else 2)
    assert not XALIGN_DECIDES & nested_keys(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize(("name", "stage"), DEEPSPEED_STAGES.items())
def test_a_deepspeed_file_names_a_json_from_the_root_that_leaves_the_batch_and_precision_open(
    name: str, stage: int
) -> None:
    named = yaml.safe_load((REPOSITORY / "accelerate_configs" / f"{name}.yaml").read_text())["deepspeed_config"]
    assert named["deepspeed_multinode_launcher"] == "standard"
    settings = json.loads((REPOSITORY / named["deepspeed_config_file"]).read_text())
    zero = settings.pop("zero_optimization")
    assert zero["stage"] == stage and ("offload_param" in zero) == name.endswith("offload")
    assert settings.pop("fp16") == settings.pop("bf16") == {"enabled": "auto"}
    assert set(settings.values()) == {"auto"} and "optimizer" not in settings


@pytest.mark.parametrize(
    ("name", "expected"), [("multi_cpu", ["2", "MULTI_CPU"]), ("deepspeed_zero2", ["2", "DEEPSPEED", "2"])]
)
def test_two_ranks_really_train_together(tmp_path: Path, name: str, expected: list[str]) -> None:
    script = tmp_path / "ranks.py"
    script.write_text(RANKS)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # where DeepSpeed finds ninja
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--main_process_port", "0"]
    told = subprocess.run(
        [*launcher, "--config_file", f"accelerate_configs/{name}.yaml", str(script)],
        capture_output=True, text=True, cwd=REPOSITORY, env=os.environ | {"PATH": path, "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    assert told.returncode == 0, told.stderr[-2000:]
    [line] = [line for line in told.stdout.splitlines() if line.startswith("RANKS")]
    assert line.split()[1:] == expected
