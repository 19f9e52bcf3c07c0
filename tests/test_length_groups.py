"""Groups of similar length pad least, and give back the order of the batch."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xalign.length_groups import as_groups, in_order, parts, split_by_length

LENGTHS = st.lists(st.integers(0, 30), min_size=1, max_size=9)


def padded(groups: list[np.ndarray], lengths: np.ndarray) -> int:
    return sum(len(group) * int(lengths[group].max()) for group in groups)


@given(LENGTHS, st.integers(1, 4))
def test_no_other_cut_of_the_sorted_rows_pads_less(values: list[int], groups: int) -> None:
    lengths, groups = np.array(values), min(groups, len(values))
    found = split_by_length(lengths, groups)
    assert len(found) == groups and all(len(group) for group in found)
    assert sorted(np.concatenate(found).tolist()) == list(range(len(values)))
    ranked = np.argsort(lengths, kind="stable")
    every = [np.split(ranked, cuts) for cuts in itertools.combinations(range(1, len(values)), groups - 1)]
    assert padded(found, lengths) == min(padded(each, lengths) for each in every)


@pytest.mark.parametrize("groups", [1, 2, 5])
def test_what_is_computed_of_groups_comes_back_row_for_row(groups: int) -> None:
    lengths = np.array([3, 9, 1, 4, 4, 8, 2])
    rows = np.zeros((7, 9), dtype=np.int64)
    for row, length in enumerate(lengths):
        rows[row, :length] = row + 1
    cut = split_by_length(lengths, groups)
    batch = {name: torch.from_numpy(array) for name, array in as_groups("view", rows, cut, lengths).items()}
    found = parts(batch, "view")
    assert len(found) == groups and sum(part.numel() for part in found) == padded(cut, lengths)
    assert in_order(batch, "view", [part.sum(dim=1) for part in found]).tolist() == rows.sum(axis=1).tolist()
    assert parts(batch, "another") == []
