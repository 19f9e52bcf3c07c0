"""Disjoint random blocks of examples: independent parts of the data, each of which gives one gradient."""

from __future__ import annotations

import numpy as np

from xalign.engine.batch import BatchOrder
from xalign.errors import UsageError
from xalign.randomness import generator


class BlockOrder(BatchOrder):
    """The batches of each block, one block after the other, as one pass over the chosen examples.

    The choice depends on the seed and the number of examples alone: translated corpora with their sentences in the
    same order have the same blocks.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        *,
        blocks: int,
        per_block: int,
        batch_size: int,
        seed: int,
        equal_batches: bool = False,
        by_length: bool = True,
        strata: np.ndarray | None = None,
        what: str = "examples",
    ) -> None:
        """Choose blocks of `per_block` examples, or as many as there are.

        Args:
            lengths: (n,) tokens of each example.
            equal_batches: every batch holds exactly `batch_size` examples (a contrast depends on it); otherwise the
                last batch of a block takes what is left.
            by_length: examples of a block are batched by length, which saves padding.
            strata: (n,) labels; every block then gets the same share of each label, as far as it goes. Where a class
                decides most of a gradient, blocks would else differ by their classes more than by anything else.
            what: the examples' name, for errors.

        Raises:
            UsageError: there are too few examples for so many blocks.
        """
        require_blocks(len(lengths), blocks, batch_size if equal_batches else 1, what)
        size = min(per_block, len(lengths) // blocks)
        if equal_batches:
            size -= size % batch_size
        super().__init__(lengths, batch_size, seed=seed, keep_last=True)
        order = generator(seed, "blocks").permutation(len(lengths))
        if strata is not None:
            order = order[: blocks * size]
            order = order[np.argsort(strata[order], kind="stable")].reshape(size, blocks).T.ravel()  # dealt like cards
        self.blocks, self.per_block = blocks, size
        self.batches_per_block = -(-size // batch_size)
        self.steps_per_epoch = blocks * self.batches_per_block
        self._parts: list[np.ndarray] = []
        for block in range(blocks):
            part = order[block * size : (block + 1) * size]
            if by_length:
                part = part[np.argsort(self.lengths[part], kind="stable")]
            self._parts += [part[start : start + batch_size] for start in range(0, size, batch_size)]

    def _shuffle(self, epoch: int) -> list[np.ndarray]:
        return self._parts

    def steps(self, block: int) -> range:
        """The steps whose batches form a block."""
        return range(block * self.batches_per_block, (block + 1) * self.batches_per_block)


def require_blocks(count: int, blocks: int, smallest: int, what: str) -> None:
    """Refuse to cut `count` examples into more blocks than they give.

    Raises:
        UsageError: a block would hold fewer than `smallest` examples.
    """
    if count // blocks < smallest:
        raise UsageError(
            f"{count} {what} do not give {blocks} blocks of at least {smallest}: "
            f"lower blocks{' or pairs_per_batch' if smallest > 1 else ''}, or use more data"
        )
