"""Two processes train what one process trains: same losses, same gradient norms, same weights."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import torch
from launching import REPOSITORY, command, environment, run
from safetensors.torch import load_file
from tiny import tiny_data, tiny_encoder

# The bias of attention keys has gradient 0 (a softmax does not see it); Adam turns its rounding noise into steps.
WITHOUT_GRADIENT = "attention.self.key.bias"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """An alignment command without its output, dropout off; batches so large that each process encodes groups."""
    root = tmp_path_factory.mktemp("inputs")
    words = ["align", "--pair", "de-en", "--loss", "S1W1M1", "--preset", "smoke", "--tracking", "none"]
    data, model = tiny_data(root / "data"), tiny_encoder(root / "encoder", layers=3)
    words += ["--batch-size", "32", "--data", str(data), "--model", str(model)]
    return [*words, "--set", "dropout=0", "--set", "clip=0.5"]


@pytest.fixture(scope="module")
def alone(inputs: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run in one process."""
    output = tmp_path_factory.mktemp("runs") / "alone"
    run(*inputs, "--output", output)
    return output


def assert_same_run(first: Path, second: Path) -> None:
    lines = [
        [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()] for path in (first, second)
    ]
    assert len(lines[0]) == len(lines[1])
    for ours, theirs in zip(*lines, strict=True):
        names = {name for name in ours if name.startswith("loss")} | ({"gradient_norm"} & ours.keys())
        for name in names:
            assert ours[name] == pytest.approx(theirs[name], rel=2e-4), (ours["step"], name)
        assert ours.keys() == theirs.keys()
        if "validation" in ours:
            assert ours["validation"] == pytest.approx(theirs["validation"], abs=1e-3)
    weights = [load_file(path / "encoder" / "model.safetensors") for path in (first, second)]
    assert weights[0].keys() == weights[1].keys()
    for name, tensor in weights[0].items():
        if WITHOUT_GRADIENT not in name:
            assert torch.allclose(tensor, weights[1][name], atol=2e-5, rtol=1e-4), name


def environment_of(path: Path) -> dict[str, object]:
    return json.loads((path / "environment.json").read_text())


def test_ddp_on_two_processes_equals_one_process(inputs: list[str], alone: Path, tmp_path: Path) -> None:
    run(*inputs, "--output", tmp_path / "ddp", launch="multi_cpu")
    recorded = environment_of(tmp_path / "ddp")
    assert (recorded["num_processes"], recorded["distributed_type"]) == (2, "MULTI_CPU")
    assert_same_run(alone, tmp_path / "ddp")


@pytest.mark.parametrize("stage", [2, pytest.param(3, marks=pytest.mark.full("like stage 2"))])
def test_fp16_with_loss_scaling_learns_what_fp32_learns(
    stage: int, inputs: list[str], alone: Path, tmp_path: Path
) -> None:
    words = [*inputs, "--precision", "fp16", "--output", tmp_path / "fp16"]
    launcher = [*command(f"deepspeed_zero{stage}")[:-2], str(REPOSITORY / "tests" / "fp16_on_cpu.py")]
    done = subprocess.run(
        [*launcher, *map(str, words)], capture_output=True, text=True, cwd=REPOSITORY, env=environment(), timeout=300
    )
    assert done.returncode == 0, done.stderr
    recorded = environment_of(tmp_path / "fp16")
    assert (recorded["precision"], recorded["zero_stage"]) == ("fp16", stage)
    lines = [
        [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
        for path in (alone, tmp_path / "fp16")
    ]
    losses = [[line["loss"] for line in part if "loss" in line] for part in lines]
    assert losses[0] == pytest.approx(losses[1], rel=2e-2)
    assert losses[0] != pytest.approx(losses[1], rel=1e-6)  # it really was fp16
    weights = load_file(tmp_path / "fp16" / "encoder" / "model.safetensors")
    assert all(tensor.dtype == torch.float32 and tensor.isfinite().all() for tensor in weights.values())


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_each_zero_stage_on_two_processes_equals_one_process(
    stage: int, inputs: list[str], alone: Path, tmp_path: Path
) -> None:
    # Four micro-batches a step under GradCache, so that accumulation is part of what must agree.
    words = [*inputs, "--accumulation", 4, "--set", "grad_cache=true"]
    run(*words, "--output", tmp_path / "zero", launch=f"deepspeed_zero{stage}")
    recorded = environment_of(tmp_path / "zero")
    assert (recorded["num_processes"], recorded["distributed_type"], recorded["zero_stage"]) == (2, "DEEPSPEED", stage)
    assert_same_run(alone, tmp_path / "zero")


def test_accumulation_is_exact_for_the_losses_without_a_batch_contrast(inputs: list[str], tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(*inputs, "--output", whole, "--loss", "S0W1M1")
    run(*inputs, "--output", parts, "--loss", "S0W1M1", "--accumulation", 4)
    assert_same_run(whole, parts)


def test_with_grad_cache_accumulation_is_exact_for_all_losses_and_for_two_processes(
    inputs: list[str], alone: Path, tmp_path: Path
) -> None:
    for name, launch in (("alone", None), ("ddp", "multi_cpu")):
        words = [*inputs, "--accumulation", 4, "--set", "grad_cache=true"]
        run(*words, "--output", tmp_path / name, launch=launch)
        assert_same_run(alone, tmp_path / name)


def test_fine_tuning_on_two_processes_equals_one_process(inputs: list[str], tmp_path: Path) -> None:
    # 49 sentences in batches of 16 leave one for the last step of an epoch, and nothing for the second process.
    words = ["finetune", "--task", "topic", "--mode", "full", "--preset", "smoke", "--tracking", "none"]
    words += [*inputs[inputs.index("--data") :], "--set", "max_sentences=49", "--set", "epochs=2"]
    for name, launch in (("alone", None), ("ddp", "multi_cpu")):
        run(*words, "--output", tmp_path / name, launch=launch)
    heads = [load_file(tmp_path / name / "head" / "seed15.safetensors") for name in ("alone", "ddp")]
    assert torch.allclose(heads[0]["weight"], heads[1]["weight"], atol=1e-6)
    lines = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("alone", "ddp")]
    losses = [[entry["loss"] for entry in map(json.loads, part) if "loss" in entry] for part in lines]
    assert len(losses[0]) == 8 and losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_layers_above_the_loss_train_nothing_under_ddp_and_keep_their_weights(
    inputs: list[str], tmp_path: Path
) -> None:
    run(*inputs, "--output", tmp_path / "run", "--loss", "S1W0M0", launch="multi_cpu")
    model = Path(inputs[inputs.index("--model") + 1])
    before, after = (load_file(folder / "model.safetensors") for folder in (model, tmp_path / "run" / "encoder"))
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    assert any("layer.1." in name for name in changed)
    assert not any("layer.2." in name or "lm_head.dense" in name for name in changed)


@pytest.mark.parametrize("launch", ["multi_cpu", "deepspeed_zero2"])
def test_a_refusal_under_a_launcher_is_printed_once_and_exits_with_1(
    inputs: list[str], tmp_path: Path, launch: str
) -> None:
    done = run(*inputs, "--output", tmp_path / "run", "--set", "batch_size=7", launch=launch, check=False)
    assert done.returncode == 1
    assert done.stderr.count("xalign: batch_size=7 does not divide") == 1
    assert not (tmp_path / "run").exists()
