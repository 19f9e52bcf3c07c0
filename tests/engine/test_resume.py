"""A run that was killed and resumed ends in the weights of one that was not."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
import torch
from launching import run, start
from safetensors.torch import load_file
from tiny import tiny_data, tiny_encoder

STEPS = 60


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """An alignment command without its output; dropout is on (the encoder's configuration says 0.1)."""
    root = tmp_path_factory.mktemp("inputs")
    options = {"steps": STEPS, "keep_steps": 30, "save_every": 5, "eval_every": 20}
    words = ["align", "--pair", "de-en", "--loss", "S1W1M1", "--preset", "smoke", "--tracking", "none", "--quiet"]
    words += ["--data", str(tiny_data(root / "data")), "--model", str(tiny_encoder(root / "encoder", layers=3))]
    for name, value in options.items():
        words += ["--set", f"{name}={value}"]
    return words


@pytest.fixture(scope="module")
def uninterrupted(inputs: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run as it is without a kill."""
    output = tmp_path_factory.mktemp("runs") / "uninterrupted"
    run(*inputs, "--output", output)
    return output


def wait_for_steps(output: Path, steps: int) -> None:
    """Return once `steps` training lines are written."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        metrics = output / "metrics.jsonl"
        if metrics.is_file() and metrics.read_text().count('"loss"') >= steps:
            return
        time.sleep(0.01)
    raise AssertionError("the run wrote no steps")


def training_lines(output: Path) -> list[dict[str, float]]:
    """Step and losses of each training line; speeds differ from run to run."""
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    return [{key: line[key] for key in line if not key.endswith("per_second")} for line in lines]


def assert_same_encoders(first: Path, second: Path) -> None:
    for name in ("encoder", "encoder-step30"):
        ours, theirs = (load_file(run_ / name / "model.safetensors") for run_ in (first, second))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_after_a_sigkill_weights_are_those_of_an_uninterrupted_run_bit_for_bit(
    inputs: list[str], uninterrupted: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    process = start(*inputs, "--output", output)
    wait_for_steps(output, 33)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (output / "result.json").exists()
    run(*inputs, "--output", output, "--resume")
    assert_same_encoders(uninterrupted, output)
    assert training_lines(output) == training_lines(uninterrupted)
    resumed = json.loads((output / "result.json").read_text())["resumed_from"]
    assert len(resumed) == 1 and 0 < resumed[0] < STEPS
    assert not (output / "checkpoints").exists()


def test_sigterm_saves_the_step_under_way_and_exits_with_one_line(
    inputs: list[str], uninterrupted: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    process = start(*inputs, "--output", output, "--set", "save_every=1000")
    wait_for_steps(output, 8)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "--resume" in errors and "Traceback" not in errors
    saved = [folder.name for folder in (output / "checkpoints").iterdir()]
    assert len(saved) == 1 and saved[0].startswith("step-")
    run(*inputs, "--output", output, "--resume", "--set", "save_every=1000")
    assert_same_encoders(uninterrupted, output)


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
    inputs: list[str], uninterrupted: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    process = start(*inputs, "--output", output)
    wait_for_steps(output, 22)
    process.send_signal(signal.SIGKILL)
    process.wait()
    newest = max((output / "checkpoints").glob("step-*"), key=lambda path: int(path.name[5:]))
    content = bytearray((newest / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (newest / "model.safetensors").write_bytes(bytes(content))
    run(*inputs, "--output", output, "--resume")
    resumed = json.loads((output / "result.json").read_text())["resumed_from"]
    assert resumed[0] < int(newest.name[5:])
    assert_same_encoders(uninterrupted, output)


def test_a_complete_run_is_not_made_again_and_another_one_is_not_mixed_with_it(
    inputs: list[str], uninterrupted: Path
) -> None:
    before = (uninterrupted / "result.json").stat().st_mtime_ns
    assert "already complete" in run(*inputs, "--output", uninterrupted).stdout
    other = run(*inputs, "--output", uninterrupted, "--seed", 7, check=False)
    assert other.returncode == 2
    assert "seed is 42 there, 7 here" in other.stderr and "--overwrite" in other.stderr
    assert (uninterrupted / "result.json").stat().st_mtime_ns == before
