"""Two processes that are killed with their launcher and continued end in the weights of two that were not.

``--kills N`` asks for N random steps for each launch; without it, one under ZeRO-2.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from launching import kill, run, start
from safetensors.torch import load_file
from tiny import tiny_data, tiny_encoder

STEPS, SAVED = 40, 5
LAUNCHES = ("deepspeed_zero2", "multi_cpu")


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    root = tmp_path_factory.mktemp("inputs")
    words = ["align", "--pair", "de-en", "--loss", "S1W1M1", "--preset", "smoke", "--tracking", "none", "--quiet"]
    words += ["--data", str(tiny_data(root / "data")), "--model", str(tiny_encoder(root / "encoder", layers=3))]
    return [*words, "--set", f"steps={STEPS}", "--set", f"save_every={SAVED}"]


@pytest.fixture(scope="module")
def whole(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The run under a launch that nobody kills, made at its first use."""
    root = tmp_path_factory.mktemp("whole")

    def made(launch: str) -> Path:
        if not (root / launch).exists():
            run(*words, "--output", root / launch, launch=launch)
        return root / launch

    return made


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    number = metafunc.config.getoption("--kills")
    draw = random.Random(0)
    cases = [(launch, draw.randint(1, STEPS - 1)) for launch in LAUNCHES for _ in range(number)]
    metafunc.parametrize(("launch", "step"), cases or [("deepspeed_zero2", 12)])


def test_killed_and_resumed_processes_end_in_the_weights_of_an_uninterrupted_run(
    launch: str,
    step: int,
    words: list[str],
    whole: Callable[[str], Path],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    output = tmp_path / "run"
    process = start(*words, "--output", output, launch=launch)
    deadline = time.monotonic() + 240
    metrics = output / "metrics.jsonl"
    while not (metrics.is_file() and metrics.read_text().count('"loss"') >= step):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    kill(process)
    ended = (output / "result.json").exists()
    run(*words, "--output", output, "--resume", launch=launch)
    if not ended:
        [resumed] = json.loads((output / "result.json").read_text())["resumed_from"]
        assert resumed >= (step - 1) // SAVED * SAVED
    weights, expected = (load_file(path / "encoder" / "model.safetensors") for path in (output, whole(launch)))
    assert weights.keys() == expected.keys()
    # Sums over two processes may be rounded in another order; what was found is equality.
    assert all(torch.allclose(tensor, expected[name], rtol=0, atol=1e-6) for name, tensor in weights.items())
    record_property("command", "ZeRO-2" if "zero" in launch else "DDP")
    record_property("signal", "SIGKILL")
    record_property("met", "after it had ended" if ended else "while it ran")
