"""A head on disk: the same bytes for the same head, and readable as earlier runs wrote it."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from xalign.tasks.finetuned import Head, read_head, write_head

SCORES = {f"score_{number}": number / 7 for number in range(8)}


def test_the_same_head_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    """Runs that read it are known by its digest; safetensors orders several entries of metadata at random."""
    head = Head(torch.arange(6.0).reshape(2, 3), torch.tensor([1.0, 2.0]), SCORES)
    contents = set()
    for number in range(20):
        write_head(tmp_path / f"{number}.safetensors", head)
        contents.add((tmp_path / f"{number}.safetensors").read_bytes())
    assert len(contents) == 1
    back = read_head(tmp_path / "0.safetensors")
    assert torch.equal(back.weight, head.weight) and torch.equal(back.bias, head.bias) and back.scores == SCORES


def test_a_head_with_an_entry_for_each_score_is_read(tmp_path: Path) -> None:
    tensors = {"weight": torch.ones(2, 3), "bias": torch.zeros(2)}
    save_file(tensors, tmp_path / "old.safetensors", {name: repr(value) for name, value in SCORES.items()})
    assert read_head(tmp_path / "old.safetensors").scores == SCORES
