"""Labelled sentences in the form that both tasks share: encoder inputs, and the units in them that carry a label.

A unit is what accuracy counts: a word of POS tagging, a whole sentence of topic classification.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, TypeVar

import numpy as np


class _WithId(Protocol):
    @property
    def id(self) -> str: ...


Sentence = TypeVar("Sentence", bound=_WithId)
NOWHERE = -1  # the position of a word without pieces


@dataclass(frozen=True)
class Examples:
    """S sentences cut into W encoder inputs, with U units to label.

    Sentence s owns ``inputs[input_starts[s]:input_starts[s + 1]]`` and the units
    ``unit_starts[s]:unit_starts[s + 1]``; units stand in the order of their inputs.

    Attributes:
        ids: (S,) sentence ids.
        inputs: (W,) arrays of token ids, special tokens included.
        input_starts, unit_starts: (S + 1,).
        unit_inputs: (U,) index of the input that holds a unit.
        labels: (U,) index of the gold label.
        positions: name of a position (``first``, ``first-nonblank``) to (U,) token positions, `NOWHERE` for a word
            without pieces. Empty where a unit is a sentence.
    """

    ids: Sequence[str]
    inputs: Sequence[np.ndarray]
    input_starts: np.ndarray
    unit_starts: np.ndarray
    unit_inputs: np.ndarray
    labels: np.ndarray
    positions: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def input_lengths(self) -> np.ndarray:
        """(W,) tokens of each input."""
        return np.fromiter(map(len, self.inputs), dtype=np.int64, count=len(self.inputs))

    @cached_property
    def lengths(self) -> np.ndarray:
        """(S,) tokens of each sentence over all its inputs."""
        return np.add.reduceat(self.input_lengths, self.input_starts[:-1])

    def per_sentence(self, units: np.ndarray) -> np.ndarray:
        """Sum a (U,) array over the units of each sentence: (S,)."""
        return np.add.reduceat(units.astype(np.int64), self.unit_starts[:-1])


def capped(sentences: Sequence[Sentence], most: int | None) -> list[Sentence]:
    """At most `most` sentences, in their order; their ids alone decide which, so that languages agree."""
    if most is None or most >= len(sentences):
        return list(sentences)
    ranks = [hashlib.blake2b(sentence.id.encode(), digest_size=8, key=b"xalign cap").digest() for sentence in sentences]
    chosen = sorted(sorted(range(len(sentences)), key=ranks.__getitem__)[:most])
    return [sentences[index] for index in chosen]


def joined(parts: Sequence[Examples]) -> Examples:
    """The examples of several languages as one, part after part: batches of it are full whatever the language."""

    def starts(name: str, last: list[int]) -> np.ndarray:
        shifts = np.cumsum([0, *last])
        return np.concatenate([[0], *(getattr(p, name)[1:] + shift for p, shift in zip(parts, shifts, strict=False))])

    inputs = [len(part.inputs) for part in parts]
    shifts = np.cumsum([0, *inputs])
    return Examples(
        ids=[id_ for part in parts for id_ in part.ids],
        inputs=[row for part in parts for row in part.inputs],
        input_starts=starts("input_starts", inputs),
        unit_starts=starts("unit_starts", [len(part.labels) for part in parts]),
        unit_inputs=np.concatenate([p.unit_inputs + shift for p, shift in zip(parts, shifts, strict=False)]),
        labels=np.concatenate([part.labels for part in parts]),
        positions={name: np.concatenate([part.positions[name] for part in parts]) for name in parts[0].positions},
    )


def ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Concatenate ``arange(start, start + length)``: indices of the rows that several sentences own."""
    ends = np.cumsum(lengths)
    offsets = np.repeat(starts - (ends - lengths), lengths)
    return np.arange(len(offsets)) + offsets
