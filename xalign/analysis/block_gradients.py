"""Gradients of losses, one for each block of data: the passes, and what is kept of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from xalign.analysis.gradient_blocks import TABLE, ParameterGroups, Reach
from xalign.analysis.gradient_storage import GradientRows
from xalign.errors import XalignError

OnBlock = Callable[[int, dict[str, Tensor]], None]


class BlockLoss(Protocol):
    """Losses that are means over a block of data.

    Attributes:
        names: what the losses are called.
        blocks: how many blocks there are.
    """

    names: tuple[str, ...]
    blocks: int

    def passes(self, block: int) -> Iterator[dict[str, Tensor]]:
        """Scalars by name, one dictionary for each forward pass; over the passes they sum up to the block's losses."""


@dataclass(frozen=True)
class BlockGradients:
    """The gradients of one objective: for each block the sum of some stored rows.

    Attributes:
        label: what tables call it.
        rows: arrays (K,) of row indices to be summed.
        decoder: the same for the part of a tied decoder, which lies on the table's columns.
        reached, decoder_reached: the units that any block reaches.
        losses: (K,) values.
    """

    label: str
    rows: tuple[np.ndarray, ...]
    decoder: tuple[np.ndarray, ...]
    reached: Reach
    decoder_reached: np.ndarray
    losses: np.ndarray

    def named(self, label: str) -> BlockGradients:
        """The same gradients under another label."""
        return BlockGradients(label, self.rows, self.decoder, self.reached, self.decoder_reached, self.losses)


def total(label: str, parts: Sequence[BlockGradients]) -> BlockGradients:
    """The gradients of a sum of losses on the same blocks."""
    reached = {name: np.any([part.reached[name] for part in parts], axis=0) for name in parts[0].reached}
    return BlockGradients(
        label,
        tuple(rows for part in parts for rows in part.rows),
        tuple(rows for part in parts for rows in part.decoder),
        reached,
        np.any([part.decoder_reached for part in parts], axis=0),
        np.sum([part.losses for part in parts], axis=0),
    )


def most_rows(losses: Sequence[BlockLoss], groups: ParameterGroups) -> int:
    """Rows that `collect` may need for these losses."""
    return sum(len(loss.names) * loss.blocks for loss in losses) * (2 if groups.decoder is not None else 1)


def collect(
    loss: BlockLoss, groups: ParameterGroups, rows: GradientRows, on_block: OnBlock | None = None
) -> dict[str, BlockGradients]:
    """Take the gradient of every loss on every block, and keep it in `rows`.

    Args:
        on_block: called after each block with the flat gradients by name, while they are at hand.

    Raises:
        XalignError: a loss is not finite.
    """
    groups.activate()
    buffers = {name: groups.buffer() for name in loss.names}
    kept: dict[str, list[int]] = {name: [] for name in loss.names}
    decoders: dict[str, list[int]] = {name: [] for name in loss.names}
    reached: dict[str, Reach] = {}
    tables: dict[str, np.ndarray] = {}
    values = {name: np.zeros(loss.blocks) for name in loss.names}
    try:
        for block in range(loss.blocks):
            for name, value in _differentiate(loss, block, groups, buffers).items():
                values[name][block] = value
            for name, buffer in buffers.items():
                reached[name] = groups.reached(buffer, reached.get(name))
                kept[name].append(rows.add(buffer, {group for group, units in reached[name].items() if units.any()}))
                if groups.decoder is not None:
                    part = buffer[groups.size :]
                    units = part.view_as(groups.decoder).any(dim=1).cpu().numpy()
                    tables[name] = tables.get(name, False) | units
                    if units.any():
                        decoders[name].append(rows.add_decoder(part))
            if on_block is not None:
                on_block(block, buffers)
    finally:
        groups.bind(None)
    nothing = np.zeros(len(groups.groups[TABLE].unit_sizes), dtype=bool)
    return {
        name: BlockGradients(
            name, (np.array(kept[name]),), (np.array(decoders[name]),) if decoders[name] else (), reached[name],
            tables.get(name, nothing), values[name],
        )
        for name in loss.names
    }  # fmt: skip


@torch.no_grad()
def block_loss(loss: BlockLoss, block: int) -> float:
    """The sum of a block's losses, without gradients."""
    return float(sum(value.double() for scalars in loss.passes(block) for value in scalars.values()))


def _differentiate(
    loss: BlockLoss, block: int, groups: ParameterGroups, buffers: dict[str, Tensor]
) -> dict[str, float]:
    """Fill the buffers with the gradients of one block; returns the losses."""
    for buffer in buffers.values():
        buffer.zero_()
    sums: dict[str, Tensor] = {}
    bound = None
    for scalars in loss.passes(block):
        for index, (name, scalar) in enumerate(scalars.items(), start=1):
            if name != bound:
                groups.bind(buffers[name])
                bound = name
            torch.autograd.backward(scalar, retain_graph=index < len(scalars))  # losses may share a forward pass
            sums[name] = sums.get(name, 0.0) + scalar.detach().double()
    found = {name: float(value) for name, value in sums.items()}
    broken = next((name for name, value in found.items() if not np.isfinite(value)), None)
    if broken is not None:
        raise XalignError(f"block {block + 1}: the loss {broken} is not finite; take an earlier checkpoint")
    return found
