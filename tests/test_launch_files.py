"""The launch configurations: Accelerate reads them, and they leave precision, clipping and batches to xalign."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
LAUNCH_FILES = sorted((REPOSITORY / "accelerate_configs").glob("*.yaml"))
XALIGN_DECIDES = {"mixed_precision", "gradient_clipping", "gradient_accumulation_steps", "use_cpu"}


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
