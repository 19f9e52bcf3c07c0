"""Stored gradients: rows as they were, and sketches whose inner products are right within their standard error."""

from __future__ import annotations

import math
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import tiny_encoder

from xalign.analysis import gradient_storage
from xalign.analysis.gradient_blocks import TABLE, ParameterGroups
from xalign.analysis.gradient_storage import CountSketch, GradientRows
from xalign.encoder import load_encoder
from xalign.errors import XalignError
from xalign.model_source import ModelSource

SIZE, BUCKETS = 3000, 200


@pytest.fixture
def groups(tmp_path: Path) -> ParameterGroups:
    folder = tiny_encoder(tmp_path / "encoder", layers=2, width=8)
    return ParameterGroups(load_encoder(ModelSource("tiny", folder), dropout=0.0))


def vectors() -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    first = torch.randn(SIZE, generator=draw)
    return first, 0.3 * first + torch.randn(SIZE, generator=draw)


def test_sketched_products_are_unbiased_with_the_stated_error() -> None:
    first, second = vectors()
    exact = float(first @ second)
    found = []
    for seed in range(400):
        sketch = CountSketch({"all": slice(0, SIZE)}, BUCKETS, seed, torch.device("cpu"))
        found.append(float(sketch("all", first) @ sketch("all", second)))
    squares = float((first @ first) * (second @ second)) + exact**2 - 2 * float((first**2) @ (second**2))
    error = math.sqrt(squares / BUCKETS)
    assert np.mean(found) == pytest.approx(exact, abs=4 * error / math.sqrt(len(found)))
    assert np.std(found) == pytest.approx(error, rel=0.15)


def test_a_small_group_is_kept_as_it_is() -> None:
    sketch = CountSketch({"small": slice(0, 10), "large": slice(10, 1010)}, 64, 0, torch.device("cpu"))
    part = torch.arange(10.0)
    assert torch.equal(sketch("small", part), part)
    assert sketch.columns == {"small": slice(0, 10), "large": slice(10, 74)}
    assert sketch("large", torch.ones(1000)).shape == (64,)


def test_rows_hold_what_was_added_and_know_where_they_are_zero(groups: ParameterGroups, tmp_path: Path) -> None:
    rows = GradientRows(tmp_path / "scratch" / "gradients.npy", 4, groups, sketch=None, seed=0)
    gradient = torch.randn(groups.size)
    assert rows.add(gradient, set(groups.columns)) == 0
    assert rows.add(gradient, {"layer1"}) == 1
    assert groups.decoder is not None
    assert rows.add_decoder(torch.ones(groups.decoder.numel())) == 2
    np.testing.assert_array_equal(rows.array[0], gradient.numpy())
    columns = groups.columns["layer1"]
    np.testing.assert_array_equal(rows.array[1, columns], gradient[columns].numpy())
    assert rows.array[1].astype(bool).sum() == columns.stop - columns.start
    assert (rows.array[2, groups.columns[TABLE]] == 1).all()
    assert {name: active.tolist() for name, active in rows.active.items()} == {
        "table": [0, 2], "embeddings-rest": [0], "layer1": [0, 1], "layer2": [0],
    }  # fmt: skip
    rows.close()
    assert not rows.path.exists()


def test_a_full_disk_is_one_line_before_anything_is_computed(
    groups: ParameterGroups, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(gradient_storage.shutil, "disk_usage", lambda _: usage(10, 10, 0))
    with pytest.raises(XalignError, match=r"are free; use --set sketch=65536") as error:
        GradientRows(tmp_path / "gradients.npy", 4, groups, sketch=None, seed=0)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "gradients.npy").exists()
