"""Vectors of labelled units from an encoder that does not change: each sentence is encoded once.

With a frozen encoder in evaluation mode features are constants, so one pass serves all epochs, seeds and heads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from xalign.engine import collective
from xalign.tasks.batches import input_tensors
from xalign.tasks.examples import NOWHERE, Examples
from xalign.tasks.objective import Reader

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Encoding:
    """How sentences are encoded outside of training: encoder inputs at once, where, and in which precision."""

    batch_size: int
    device: torch.device
    precision: str = "fp32"

    def autocast(self) -> AbstractContextManager[object]:
        """The context in which the encoder runs."""
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=DTYPES[self.precision])


def encode(
    reader: Reader, examples: Examples, positions: Sequence[str | None], encoding: Encoding
) -> Iterator[tuple[int, np.ndarray, Tensor]]:
    """Encode in batches of similar length; several processes take turns.

    Args:
        positions: which piece stands for a word; ``(None,)`` where a unit is a sentence.

    Yields:
        index of a position, the units found there (n,), and their vectors (n, d) in fp32 on the device. Words without
        pieces are left out.
    """
    reader.eval()
    # The longest come first, so that memory runs out at once or not at all.
    order = np.argsort(-examples.input_lengths, kind="stable")
    starts = np.searchsorted(examples.unit_inputs, np.arange(len(examples.inputs) + 1))
    size = encoding.batch_size
    for first in range(collective.rank() * size, len(order), collective.processes() * size):
        inputs = order[first : first + size]
        units, rows, places, owners = [], [], [], []
        for row, window in enumerate(inputs):
            own = np.arange(starts[window], starts[window + 1])
            for index, position in enumerate(positions):
                where = examples.positions[position][own] if position is not None else np.zeros_like(own)
                present = where != NOWHERE
                units.append(own[present])
                places.append(where[present])
                rows.append(np.full(present.sum(), row))
                owners.append(np.full(present.sum(), index))
        flat = [np.concatenate(parts) for parts in (units, rows, places, owners)]
        if not len(flat[0]):
            continue
        batch = input_tensors(examples, inputs, flat[1], None if positions[0] is None else flat[2], reader.padding)
        with torch.inference_mode(), encoding.autocast():
            vectors = reader({name: tensor.to(encoding.device) for name, tensor in batch.items()}).float()
        for index in range(len(positions)):
            chosen = flat[3] == index
            yield index, flat[0][chosen], vectors[torch.from_numpy(chosen).to(vectors.device)]


def frozen_features(reader: Reader, examples: Examples, position: str | None, encoding: Encoding) -> Tensor:
    """The vectors of all units: (U, d) in fp32 in main memory, whole on every process; 0 for words without pieces."""
    features = torch.zeros(len(examples.labels), reader.width)
    for _, units, vectors in encode(reader, examples, (position,), encoding):
        features[torch.from_numpy(units)] = vectors.cpu()
    if collective.processes() > 1:
        features = collective.sum_over_processes(features.to(encoding.device)).cpu()
    return features
