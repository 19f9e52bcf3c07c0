"""From examples to the tensors that a task's objective reads: token ids, or features stored in their place."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from xalign.engine.batch import BatchOrder, MicroBatch, pad, share
from xalign.tasks.examples import NOWHERE, Examples, ranges

IGNORED = -100  # the label that cross-entropy leaves out


def input_tensors(
    examples: Examples, inputs: np.ndarray, rows: np.ndarray, places: np.ndarray | None, padding: int
) -> dict[str, Tensor]:
    """What `xalign.tasks.objective.Reader` reads.

    Args:
        inputs: (R,) which encoder inputs.
        rows: (n,) the input, counted within `inputs`, that holds each unit.
        places: (n,) the token of each unit; None where an input is a unit.
    """
    tensors = {"input_ids": torch.from_numpy(pad([examples.inputs[i] for i in inputs], padding))}
    if places is not None:
        tensors |= {"rows": torch.from_numpy(rows), "places": torch.from_numpy(places)}
    return tensors


class TaskBatches:
    """Batches of labelled sentences.

    With `features` (U, d) a batch holds stored vectors instead of token ids; which sentences it has is the same.
    """

    def __init__(
        self,
        examples: Examples,
        order: BatchOrder,
        *,
        padding: int,
        position: str | None,
        features: Tensor | None = None,
        accumulation: int = 1,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self.examples, self.order, self.padding, self.features = examples, order, padding, features
        self.places = examples.positions[position] if position is not None else None
        self.accumulation, self.rank, self.processes = accumulation, rank, processes

    def micro_batches(self, step: int) -> list[MicroBatch]:
        """This process's sentences of the batch of `step`, one entry a forward pass."""
        parts = share(
            self.order.examples(step), accumulation=self.accumulation, rank=self.rank, processes=self.processes
        )
        return [self._batch(sentences) for sentences in parts]

    def _batch(self, sentences: np.ndarray) -> MicroBatch:
        found = self.examples
        counts = np.diff(found.unit_starts)[sentences]
        units = ranges(found.unit_starts[sentences], counts)  # (n,)
        # A unit's input, counted within the batch: the windows of its sentence begin where those before them end.
        windows = np.diff(found.input_starts)[sentences]
        shift = np.cumsum(windows) - windows - found.input_starts[sentences]
        rows = found.unit_inputs[units] + np.repeat(shift, counts)
        if self.places is not None:
            present = self.places[units] != NOWHERE
            units, rows = units[present], rows[present]
        if not len(units):
            return self._stand_in(sentences)
        labels = torch.from_numpy(found.labels[units])
        inputs = ranges(found.input_starts[sentences], windows)
        return self._micro_batch(sentences, inputs, units, rows, labels)

    def _stand_in(self, sentences: np.ndarray) -> MicroBatch:
        """Any sentence without its label: a process with nothing to learn from still has to take part in the step."""
        nothing, zero = torch.full((1,), IGNORED), np.zeros(1, dtype=np.int64)
        return self._micro_batch(sentences, zero, zero, zero, nothing)

    def _micro_batch(
        self, sentences: np.ndarray, inputs: np.ndarray, units: np.ndarray, rows: np.ndarray, labels: Tensor
    ) -> MicroBatch:
        if self.features is not None:
            tensors = {"features": self.features[torch.from_numpy(units)]}
            tokens = int(self.examples.input_lengths[inputs].sum())
        else:
            places = self.places[units].clip(min=0) if self.places is not None else None
            tensors = input_tensors(self.examples, inputs, rows, places, self.padding)
            tokens = tensors["input_ids"].numel()
        labelled = (labels != IGNORED).sum(dim=0, keepdim=True).double()
        return MicroBatch(tensors | {"labels": labels}, labelled, sentences.tolist(), len(sentences), tokens)
