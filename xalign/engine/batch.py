"""What the training loop is fed: micro-batches, and the order in which examples come.

The global batch of step t depends on (seed, t) alone; accumulation and processes only cut it into slices.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from xalign.errors import UsageError
from xalign.randomness import generator


@dataclass
class MicroBatch:
    """One forward pass of one process.

    Attributes:
        tensors: the objective's inputs.
        counts: (K,) items that each of the objective's K losses averages over, in this micro-batch and process.
        examples: ids, named when a loss is not finite.
        items: pairs or sentences.
        tokens: tokens encoded, padding included.
    """

    tensors: dict[str, Tensor]
    counts: Tensor
    examples: list[int]
    items: int
    tokens: int

    def pin_memory(self) -> MicroBatch:
        """The same in page-locked memory, from where a GPU copies without waiting; `DataLoader` calls this."""
        return replace(self, tensors={name: tensor.pin_memory() for name, tensor in self.tensors.items()})

    def to(self, device: object) -> dict[str, Tensor]:
        """The inputs on a device."""
        return {name: tensor.to(device, non_blocking=True) for name, tensor in self.tensors.items()}  # type: ignore[call-overload]


class Batches(Protocol):
    """A source of batches; `micro_batches` is a pure function of the step."""

    def micro_batches(self, step: int) -> list[MicroBatch]:
        """This process's share of the batch of `step` (counted from 0), one entry a forward pass."""


class Order(Protocol):
    """Which examples form the batch of each step; a pure function of the step."""

    def examples(self, step: int) -> np.ndarray:
        """Ids of the examples in the batch of `step`."""


class BatchOrder:
    """Which examples form the batch of each step: shuffled passes, at random or in batches of similar length.

    Each pass is a permutation; where `bucket_batches` is above 1, examples are sorted by length within windows of so
    many batches, and the batches are then shuffled. What a pass leaves over is dropped (`keep_last` false) or forms a
    shorter batch.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        batch_size: int,
        *,
        seed: int,
        bucket_batches: int = 1,
        keep_last: bool = False,
    ) -> None:
        count = len(lengths)
        if count < (1 if keep_last else batch_size):
            raise UsageError(f"{count} training examples are fewer than one batch of {batch_size}: lower batch_size")
        self.lengths, self.batch_size, self.seed = lengths, batch_size, seed
        self.bucket_batches, self.keep_last = bucket_batches, keep_last
        self.steps_per_epoch = -(-count // batch_size) if keep_last else count // batch_size
        self._epoch = -1
        self._batches: list[np.ndarray] = []

    def examples(self, step: int) -> np.ndarray:
        """Ids of the examples in the batch of `step`."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._batches = self._shuffle(epoch)
            self._epoch = epoch
        return self._batches[position]

    def _shuffle(self, epoch: int) -> list[np.ndarray]:
        draw = generator(self.seed, "order", epoch)
        order = draw.permutation(len(self.lengths))
        if not self.keep_last:
            order = order[: self.steps_per_epoch * self.batch_size]
        window = self.batch_size * self.bucket_batches
        batches: list[np.ndarray] = []
        for start in range(0, len(order), window):
            part = order[start : start + window]
            if self.bucket_batches > 1:
                part = part[np.argsort(self.lengths[part], kind="stable")]
            batches += [part[i : i + self.batch_size] for i in range(0, len(part), self.batch_size)]
        return [batches[i] for i in draw.permutation(len(batches))]


def share(examples: np.ndarray, *, accumulation: int, rank: int, processes: int) -> list[np.ndarray]:
    """One process's slices of a global batch, one for each micro-batch; processes follow each other within it."""
    return [np.array_split(micro, processes)[rank] for micro in np.array_split(examples, accumulation)]


def pad(rows: list[np.ndarray], padding: int) -> np.ndarray:
    """Stack rows of unequal length into (N, longest) int64, filled with `padding`."""
    longest = max((len(row) for row in rows), default=0)
    table = np.full((len(rows), longest), padding, dtype=np.int64)
    for index, row in enumerate(rows):
        table[index, : len(row)] = row
    return table


def mean_weights(counts: Tensor, *, scale: float = 1.0) -> Tensor:
    """Factors that turn sums into means over `counts` items; 0 where there is none."""
    return torch.where(counts > 0, scale / counts.clamp(min=1), torch.zeros_like(counts)).float()
