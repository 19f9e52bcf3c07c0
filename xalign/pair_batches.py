"""From tokenised sentence pairs to the views that the alignment losses read.

Views: *separate* (both languages in one fused batch, sources first), *pair* (each pair concatenated, with its bag of
words), *masked* (as separate or as pair, with tokens to predict). Losses that packages add read *separate*, as S does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase as Tokenizer

from xalign.engine.batch import MicroBatch, Order, pad, share
from xalign.errors import UsageError
from xalign.length_groups import as_groups, cut, split_by_length
from xalign.randomness import generator, uniforms

DOUBLE_SEPARATOR = ("xlm-roberta", "roberta", "camembert")
MASKED, RANDOM = 0.8, 0.9  # of the chosen tokens 80 % become <mask>, 10 % a random entry, 10 % stay


@dataclass(frozen=True)
class Layout:
    """How token ids become inputs: special tokens, lengths, and the vocabulary that draws come from."""

    begin: int
    end: int
    padding: int
    mask: int | None
    special: tuple[int, ...]
    vocab_size: int
    separators: int
    max_length: int
    pair_length: int

    @staticmethod
    def of(tokenizer: Tokenizer, special: Sequence[int], model_type: str, max_length: int, pair_length: int) -> Layout:
        """Read the special tokens of a tokenizer; the separator between two sentences depends on the architecture."""
        begin = tokenizer.cls_token_id if tokenizer.cls_token_id is not None else tokenizer.bos_token_id
        separators = 2 if model_type in DOUBLE_SEPARATOR else 1
        if begin is None:
            raise UsageError("the tokenizer names no beginning-of-sentence token (cls_token or bos_token)")
        return Layout(
            begin, tokenizer.sep_token_id, tokenizer.pad_token_id, tokenizer.mask_token_id, tuple(special),
            len(tokenizer), separators, max_length, pair_length,
        )  # fmt: skip

    @cached_property
    def drawable(self) -> np.ndarray:
        """The ids that a draw may take: the vocabulary without the special tokens."""
        return np.setdiff1d(np.arange(self.vocab_size), np.array(self.special))

    def require_mask(self) -> int:
        """The id of the mask token.

        Raises:
            UsageError: the tokenizer has none.
        """
        if self.mask is None:
            raise UsageError("the tokenizer names no mask token, which M needs: choose a loss with M0")
        return self.mask

    def sentence(self, ids: np.ndarray) -> np.ndarray:
        """``<s> x </s>``, cut to `max_length`."""
        return np.concatenate([[self.begin], ids[: self.max_length - 2], [self.end]])

    def pair(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """``<s> x </s></s> y </s>`` (one separator for BERT), both sides cut alike to `pair_length`."""
        room = self.pair_length - 2 - self.separators
        kept_first = min(len(first), max(room // 2, room - len(second)))
        kept_second = min(len(second), room - kept_first)
        middle = [self.end] * self.separators
        return np.concatenate([[self.begin], first[:kept_first], middle, second[:kept_second], [self.end]])


def text_keys(store: Sequence[np.ndarray]) -> np.ndarray:
    """(n,) int64, equal where two sentences have the same tokens."""
    digests = [hashlib.blake2b(np.ascontiguousarray(ids).tobytes(), digest_size=8).digest() for ids in store]
    return np.frombuffer(b"".join(digests), dtype=np.int64)


def mask_tokens(
    rows: np.ndarray, layout: Layout, *, probability: float, seed: int, stream: str, step: int, examples: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Choose tokens to predict and corrupt them, 80/10/10; the draws depend on (seed, step, example) alone.

    Args:
        rows: (n, L) ids.

    Returns:
        the corrupted (n, L) ids, and (n, L) booleans, true on tokens to predict.

    Raises:
        UsageError: the tokenizer has no mask token.
    """
    width = rows.shape[1]
    content = ~np.isin(rows, layout.special)
    predict = content & (uniforms(seed, f"{stream}-choose", step, examples, width) < probability)
    action = uniforms(seed, f"{stream}-action", step, examples, width)
    # Never a special token: a drawn <pad> would vanish from the attention and shift the positions behind it.
    drawn = (uniforms(seed, f"{stream}-random", step, examples, width) * len(layout.drawable)).astype(np.int64)
    random_ids = layout.drawable[drawn]
    corrupted = np.where(predict & (action < MASKED), layout.require_mask(), rows)
    corrupted = np.where(predict & (action >= MASKED) & (action < RANDOM), random_ids, corrupted)
    return corrupted, predict


class PairBatches:
    """Batches of sentence pairs for the losses S, W and M."""

    def __init__(
        self,
        source: Sequence[np.ndarray],
        target: Sequence[np.ndarray],
        layout: Layout,
        order: Order,
        *,
        losses: str,
        seed: int,
        word_negatives: int = 512,
        mlm_probability: float = 0.15,
        mlm_input: str = "separate",
        share_forward: bool = False,
        length_groups: int = 1,
        accumulation: int = 1,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self.source, self.target, self.layout, self.order = source, target, layout, order
        self.losses, self.seed, self.word_negatives = losses, seed, word_negatives
        self.further = [name for name in losses if name not in "SWM"]
        self.mlm_probability, self.mlm_input = mlm_probability, mlm_input
        self.clean_view = not (share_forward and "M" in losses)
        self.length_groups, self.accumulation, self.rank, self.processes = length_groups, accumulation, rank, processes
        self.keys = (text_keys(source), text_keys(target)) if "S" in losses else None
        if "M" in losses:
            layout.require_mask()
        if "W" in losses and word_negatives >= len(layout.drawable):
            raise UsageError(
                f"word_negatives={word_negatives} leaves nothing to draw from {len(layout.drawable)} entries: lower it"
            )

    def micro_batches(self, step: int) -> list[MicroBatch]:
        """This process's pairs of the batch of `step`, one entry a forward pass."""
        batch = self.order.examples(step)
        parts = share(batch, accumulation=self.accumulation, rank=self.rank, processes=self.processes)
        # As many on every process: under ZeRO-3 each forward pass is an exchange.
        smallest = len(batch) // (self.accumulation * self.processes)
        return [self._views(step, examples, max(1, min(self.length_groups, smallest))) for examples in parts]

    def _views(self, step: int, examples: np.ndarray, groups: int) -> MicroBatch:
        first = [self.source[i] for i in examples]
        second = [self.target[i] for i in examples]
        arrays: dict[str, np.ndarray] = {}
        views: dict[str, np.ndarray] = {}
        counts: list[float] = []
        separate = pad([self.layout.sentence(ids) for ids in first + second], self.layout.padding)
        if self.clean_view and ("S" in self.losses or self.further):
            views["separate"] = separate
        if "S" in self.losses and self.keys is not None:
            arrays["texts"] = np.stack([self.keys[0][examples], self.keys[1][examples]])
            counts.append(2 * len(examples))
        if "W" in self.losses:
            views["pair"] = self._pairs(first, second)
            words = self._words(first, second, views["pair"])
            arrays |= words | self._negatives(step, words)
            counts.append(float(words["is_word"].any(axis=1).sum()))
        if "M" in self.losses:
            views["masked"], clean, predict = self._masked(step, examples, separate, first, second)
            counts.append(float(predict.sum()))
        counts += [float(len(examples)) for _ in self.further]
        tokens = 0
        for view, rows in views.items():
            lengths = (rows != self.layout.padding).sum(axis=1)
            by_length = split_by_length(lengths, groups) if groups > 1 else [np.arange(len(rows))]
            if view == "masked":
                arrays |= _predictions(clean, predict, by_length, lengths)
            arrays |= as_groups(view, rows, by_length, lengths)
            tokens += sum(len(group) * int(lengths[group].max()) for group in by_length)
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return MicroBatch(tensors, torch.tensor(counts, dtype=torch.float64), examples.tolist(), len(examples), tokens)

    def _pairs(self, first: list[np.ndarray], second: list[np.ndarray]) -> np.ndarray:
        return pad([self.layout.pair(x, y) for x, y in zip(first, second, strict=True)], self.layout.padding)

    def _words(self, first: list[np.ndarray], second: list[np.ndarray], pairs: np.ndarray) -> dict[str, np.ndarray]:
        bags = [np.setdiff1d(row, self.layout.special) for row in pairs]
        return {
            "words": pad(bags, self.layout.padding),
            "is_word": pad([np.ones_like(b) for b in bags], 0).astype(bool),
        }

    def _negatives(self, step: int, words: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        # One set a step, the same on every process and in every micro-batch, so that both leave L_W unchanged.
        drawn = generator(self.seed, "word-negatives", step).choice(
            self.layout.drawable, self.word_negatives, replace=False, shuffle=False
        )
        collides = (words["words"][:, :, None] == drawn).any(axis=1)  # (N, K)
        return {"negatives": drawn, "collides": collides}

    def _masked(
        self, step: int, examples: np.ndarray, separate: np.ndarray, first: list[np.ndarray], second: list[np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(n, L) each: corrupted ids, clean ids, and which to predict."""
        count = len(examples)
        parts = [("source", separate[:count]), ("target", separate[count:])]
        if self.mlm_input == "tlm":
            parts = [("pair", self._pairs(first, second))]
        masked = [
            mask_tokens(
                rows, self.layout, probability=self.mlm_probability, seed=self.seed, stream=f"mask-{side}", step=step,
                examples=examples,
            )
            for side, rows in parts
        ]  # fmt: skip
        corrupted, predict = (np.concatenate(tables) for tables in zip(*masked, strict=True))
        return corrupted, np.concatenate([rows for _, rows in parts]), predict


def _predictions(
    clean: np.ndarray, predict: np.ndarray, groups: list[np.ndarray], lengths: np.ndarray
) -> dict[str, np.ndarray]:
    """Which of all positions, group after group, are predicted, and their labels."""
    chosen = [cut(predict, group, lengths) for group in groups]
    labels = [cut(clean, group, lengths)[here] for group, here in zip(groups, chosen, strict=True)]
    return {
        "predict": np.flatnonzero(np.concatenate([here.ravel() for here in chosen])),
        "labels": np.concatenate(labels),
    }
