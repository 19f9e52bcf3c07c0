"""Sentences without their translations: each is contrasted with itself under another dropout mask (SimCSE).

What the objective gets are pairs of a sentence and itself. A batch holds sentences of one language, the two taking
turns, and each language is shuffled by itself: no translation is ever a positive, nor a negative, nor in the batch.

Source: Gao, Yao & Chen 2021, arXiv 2104.08821 (unsupervised SimCSE).
"""

from __future__ import annotations

import numpy as np
from torch import nn

from xalign.data.tokens import TokenStore
from xalign.encoder import Encoder
from xalign.engine.batch import BatchOrder
from xalign.errors import UsageError
from xalign.randomness import derive_seed


class TurnsOfLanguages:
    """Batches of the first language at even steps, of the second at odd ones; ids of the second follow the first's."""

    def __init__(
        self, first: np.ndarray, second: np.ndarray, batch_size: int, *, seed: int, bucket_batches: int
    ) -> None:
        """Lengths (n,) and (m,) in tokens, the rest as in `BatchOrder`."""
        # With one seed for both, batches that follow each other would translate each other.
        self.orders = [
            BatchOrder(lengths, batch_size, seed=derive_seed(seed, "language", side), bucket_batches=bucket_batches)
            for side, lengths in enumerate((first, second))
        ]
        self.behind = (0, len(first))

    def examples(self, step: int) -> np.ndarray:
        """Ids of the sentences in the batch of `step`."""
        turn, side = divmod(step, 2)
        return self.orders[side].examples(turn) + self.behind[side]


def all_sentences(first: TokenStore, second: TokenStore) -> TokenStore:
    """The sentences of both languages, one after the other."""
    lengths = np.concatenate([first.lengths, second.lengths])
    return TokenStore(np.concatenate([first.ids, second.ids]), np.concatenate([[0], np.cumsum(lengths)]))


def require_dropout(encoder: Encoder) -> None:
    """Refuse an encoder that makes the same vector of a sentence twice.

    Raises:
        UsageError: it has no dropout.
    """
    if not any(isinstance(part, nn.Dropout) and part.p > 0 for part in encoder.base.modules()):
        raise UsageError(
            "positives=dropout tells a sentence from itself by dropout alone: give it with --set dropout=0.1"
        )
