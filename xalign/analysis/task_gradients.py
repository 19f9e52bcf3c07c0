"""The loss of a downstream task on blocks of labelled sentences, averaged over heads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from xalign.analysis.data_blocks import BlockOrder
from xalign.tasks.batches import IGNORED, TaskBatches
from xalign.tasks.examples import Examples
from xalign.tasks.finetuned import Head
from xalign.tasks.objective import Reader


class TaskBlocks:
    """Mean cross-entropy over the units of each block and over H heads: one backward pass for all heads.

    Args:
        label: what the objective is called.
        reader: not frozen.
        heads: trained on the encoder as it is.
        position: the piece of a word that carries its tag; None for sentences.
        blocks, per_block, batch_size: of sentences.
        stratified: blocks have equal shares of each label; only where a sentence has one.
    """

    def __init__(
        self,
        label: str,
        reader: Reader,
        heads: Sequence[Head],
        examples: Examples,
        position: str | None,
        *,
        blocks: int,
        per_block: int,
        batch_size: int,
        seed: int,
        stratified: bool = False,
    ) -> None:
        self.names: tuple[str, ...] = (label,)
        self.blocks, self.reader = blocks, reader
        self.device = next(reader.model.parameters()).device
        self.weights = torch.cat([head.weight for head in heads]).to(self.device)  # (H · labels, d)
        self.biases = torch.cat([head.bias for head in heads]).to(self.device)
        self.heads = len(heads)
        self.order = BlockOrder(
            examples.lengths, blocks=blocks, per_block=per_block, batch_size=batch_size, seed=seed,
            strata=examples.labels if stratified else None, what=f"sentences ({label})",
        )  # fmt: skip
        self.batches = TaskBatches(examples, self.order, padding=reader.padding, position=position)

    def passes(self, block: int) -> Iterator[dict[str, Tensor]]:
        """The summed loss of each batch, divided by the units of the whole block."""
        batches = [batch for step in self.order.steps(block) for batch in self.batches.micro_batches(step)]
        units = max(1.0, float(sum(batch.counts[0] for batch in batches)))
        for batch in batches:
            tensors = batch.to(self.device)
            vectors = self.reader(tensors)  # (n, d)
            scores = functional.linear(vectors, self.weights, self.biases).view(len(vectors) * self.heads, -1)
            labels = tensors["labels"].repeat_interleave(self.heads)
            loss = functional.cross_entropy(scores, labels, ignore_index=IGNORED, reduction="sum")
            yield {self.names[0]: loss / (units * self.heads)}
