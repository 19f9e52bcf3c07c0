"""Rows of unequal length, encoded in groups of similar length: little padding, whatever a batch was drawn from.

A batch drawn at random from OPUS is three quarters padding where one table holds it all, a fifth in four tables. No
loss sees the difference: vectors come back in the batch's order, and predictions are summed. Dropout draws anew.

A view of n rows is one tensor under its name, or one a group (``separate:0``, ``separate:1`` …) and ``separate:order``.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

ON_GPU, ON_CPU = 2, 4  # each table costs the time of its calls, above all on a GPU


def resolve_groups(wanted: int | None) -> int:
    """Groups of a batch, where None leaves them to the device."""
    if wanted is None:
        return ON_GPU if torch.cuda.is_available() else ON_CPU
    return wanted


def split_by_length(lengths: np.ndarray, groups: int) -> list[np.ndarray]:
    """The rows of each group, shortest first, such that all groups together pad least.

    Args:
        lengths: (n,) tokens of each row.
        groups: how many, at most n; none stays empty.
    """
    rows = np.argsort(lengths, kind="stable")
    longest = lengths[rows]
    # Some best cut lies where the length changes, but for those that only keep groups from being empty.
    changes = np.flatnonzero(np.diff(longest)) + 1
    places = np.unique(np.concatenate([np.arange(groups), changes, [len(rows)]]))
    # cost[j]: fewest tokens, padding included, of the rows before places[j] in the groups so far; begin[g, j]: the
    # place where the last of g groups begins.
    cost = np.where(places == 0, 0.0, np.inf)
    begin = np.zeros((groups + 1, len(places)), dtype=int)
    sizes = places[:, None] - places  # (end, begin)
    padded = np.where(sizes > 0, sizes * longest[np.maximum(places, 1) - 1][:, None], np.inf)
    for group in range(1, groups + 1):
        with_group = cost + padded
        begin[group] = with_group.argmin(axis=1)
        cost = with_group.min(axis=1)
    found: list[np.ndarray] = []
    end = len(places) - 1
    for group in range(groups, 0, -1):
        start = begin[group, end]
        found.append(rows[places[start] : places[end]])
        end = start
    return found[::-1]


def cut(rows: np.ndarray, group: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The rows of a group, as wide as the longest of them."""
    return rows[group, : lengths[group].max()]


def as_groups(view: str, rows: np.ndarray, groups: list[np.ndarray], lengths: np.ndarray) -> dict[str, np.ndarray]:
    """A view of (n, L) padded `rows` under the names that `parts` and `in_order` read."""
    if len(groups) == 1:
        return {view: rows}
    parts = {f"{view}:{index}": cut(rows, group, lengths) for index, group in enumerate(groups)}
    return parts | {f"{view}:order": np.argsort(np.concatenate(groups))}


def parts(batch: dict[str, Tensor], view: str) -> list[Tensor]:
    """The groups of a view; a single one where it stands whole, none where the batch lacks it."""
    if view in batch:
        return [batch[view]]
    count = sum(name.startswith(f"{view}:") for name in batch)
    return [batch[f"{view}:{index}"] for index in range(count - 1)]


def in_order(batch: dict[str, Tensor], view: str, vectors: list[Tensor]) -> Tensor:
    """(n, d): what was computed of each group, a row for a row, in the order that the batch names its rows."""
    if view in batch:
        return vectors[0]
    return torch.cat(vectors)[batch[f"{view}:order"]]
