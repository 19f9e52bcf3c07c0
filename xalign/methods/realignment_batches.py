"""Batches of sentence pairs with their linked words, alone or beside those of a downstream task."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from xalign.engine.batch import Batches, BatchOrder, MicroBatch, pad, share
from xalign.methods.linked_words import LinkedPairs
from xalign.methods.realignment_loss import NO_WORD
from xalign.methods.word_pieces import PiecedWords, WordPieces, flat_places

PREFIX = "realign_"  # of realignment's tensors in a batch that a task shares


class RealignmentBatches:
    """Batches of sentence pairs and the linked words in them; every pair should have a link."""

    def __init__(
        self,
        pairs: LinkedPairs,
        pieces: WordPieces,
        order: BatchOrder,
        *,
        accumulation: int = 1,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self.pairs, self.pieces, self.order = pairs, pieces, order
        self.accumulation, self.rank, self.processes = accumulation, rank, processes
        self.longest = max((len(spans) for side in (pairs.source, pairs.target) for spans in side.spans), default=0)

    def micro_batches(self, step: int) -> list[MicroBatch]:
        """This process's pairs of the batch of `step`, one entry a forward pass."""
        chosen = self.order.examples(step)
        parts = share(chosen, accumulation=self.accumulation, rank=self.rank, processes=self.processes)
        if self.processes == 1:
            return [self._batch(part, sum(len(self.pairs.links[n]) for n in part)) for part in parts]
        # Rows are gathered, so that all processes need the same number: what the largest share needs.
        shares = [
            share(chosen, accumulation=self.accumulation, rank=rank, processes=self.processes)
            for rank in range(self.processes)
        ]
        rows = [
            max(sum(len(self.pairs.links[n]) for n in each[micro]) for each in shares)
            for micro in range(self.accumulation)
        ]
        return [self._batch(part, count) for part, count in zip(parts, rows, strict=True)]

    def _batch(self, examples: np.ndarray, rows: int) -> MicroBatch:
        spans = [self.pairs.spans(n) for n in examples]
        sides = [
            self.pieces.find([texts[n] for n in examples], [pair[side] for pair in spans])
            for side, texts in enumerate((self.pairs.source.texts, self.pairs.target.texts))
        ]
        ids = pad([sentence.ids for side in sides for sentence in side], self.pieces.layout.padding)
        words = np.full((2, max(rows, 1)), NO_WORD, dtype=np.int64)
        pieces, owner = [], []
        for side, sentences in enumerate(sides):
            places, word = flat_places(sentences, ids.shape[1])
            pieces.append(places + side * len(examples) * ids.shape[1])
            owner.append(word + side * words.shape[1])
            count = sum(len(sentence.places) for sentence in sentences)
            words[side, :count] = self._numbers(examples, side)
        # A link needs both of its words: one may have been cut off, or have no piece.
        count = sum(len(self.pairs.links[n]) for n in examples)
        whole = np.logical_and(*(_present(sentences) for sentences in sides))
        words[:, :count][:, ~whole] = NO_WORD
        tensors = {"ids": ids, "pieces": np.concatenate(pieces), "owner": np.concatenate(owner), "words": words}
        counts = torch.tensor([float((words != NO_WORD).sum())], dtype=torch.float64)
        return MicroBatch(
            {name: torch.from_numpy(array) for name, array in tensors.items()},
            counts, examples.tolist(), len(examples), ids.size,
        )  # fmt: skip

    def _numbers(self, examples: np.ndarray, side: int) -> np.ndarray:
        """A number for each linked word of the batch, link by link; the same for the same word of the same pair."""
        links = self.pairs.links
        return np.array([n * self.longest + link[side] for n in examples for link in links[n]], dtype=np.int64)


def _present(sentences: list[PiecedWords]) -> np.ndarray:
    return np.array([len(places) > 0 for sentence in sentences for places in sentence.places], dtype=bool)


class BatchesBeside:
    """Batches of a task, each with one of realignment beside it."""

    def __init__(self, task: Batches, realignment: RealignmentBatches) -> None:
        self.task, self.realignment = task, realignment

    def micro_batches(self, step: int) -> list[MicroBatch]:
        """Both batches of `step`; items, and the ids that an error names, are the task's."""
        pairs = zip(self.task.micro_batches(step), self.realignment.micro_batches(step), strict=True)
        return [
            replace(
                own,
                tensors=own.tensors | {f"{PREFIX}{name}": tensor for name, tensor in beside.tensors.items()},
                counts=torch.cat([own.counts, beside.counts]),
                tokens=own.tokens + beside.tokens,
            )
            for own, beside in pairs
        ]


def apart(batch: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The tensors of the task, and those of realignment, of a batch made by `BatchesBeside`."""
    own = {name: tensor for name, tensor in batch.items() if not name.startswith(PREFIX)}
    beside = {name.removeprefix(PREFIX): tensor for name, tensor in batch.items() if name.startswith(PREFIX)}
    return own, beside
