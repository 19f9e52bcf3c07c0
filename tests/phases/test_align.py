"""Alignment as a phase: what changes how a run is executed does not change what it leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny import tiny_data, tiny_encoder

from xalign.config import AlignConfig
from xalign.phases.align import align


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("inputs")
    return {"data": str(tiny_data(root / "data")), "model": str(tiny_encoder(root / "encoder"))}


def weights(inputs: dict[str, str], output: Path, **options: Any) -> dict[str, torch.Tensor]:
    common = {
        "pair": "de-en", "loss": "S1W1M1", "steps": 5, "batch_size": 16, "held_out": 20, "keep_steps": (),
        "word_negatives": 20, "tracking": "none", "quiet": True,
    }  # fmt: skip
    align(AlignConfig(output=str(output), **(inputs | common | options)))
    return load_file(output / "encoder" / "model.safetensors")


def test_batches_from_other_processes_are_the_same_batches(inputs: dict[str, str], tmp_path: Path) -> None:
    here, there = (weights(inputs, tmp_path / str(workers), workers=workers) for workers in (0, 2))
    assert all(torch.equal(here[name], there[name]) for name in here)


@pytest.mark.parametrize("loss", ["S1W0M0", "S1W1M1"])
def test_batches_in_groups_by_length_leave_the_same_encoder(loss: str, inputs: dict[str, str], tmp_path: Path) -> None:
    whole, grouped, other = (
        weights(inputs, tmp_path / str(number), loss=loss, dropout=0.0, learning_rate=1e-3, **options)
        for number, options in enumerate([{"length_groups": 1}, {"length_groups": 6}, {"seed": 43}])
    )

    def distance(one: dict[str, torch.Tensor]) -> float:
        return float(sum((one[name] - whole[name]).square().sum() for name in whole)) ** 0.5

    assert distance(grouped) < 0.01 * distance(other)  # Adam magnifies the rounding of small gradients
