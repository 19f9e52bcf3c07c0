"""Realignment as an objective of the training loop: alone, or beside a downstream task in the same steps.

Source: Gaschi et al. 2023, arXiv 2306.02790. Freezing half of the layers: Bakos et al. 2025 (AlignFreeze),
arXiv 2502.12959.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn
from torch.func import functional_call
from transformers import PreTrainedModel

from xalign.data.tokens import tokenize_cached
from xalign.encoder import Encoder, Tokenizer, freeze_unreachable
from xalign.engine import collective
from xalign.engine.batch import Batches, BatchOrder
from xalign.engine.flops import encoder_flops
from xalign.engine.training import Objective
from xalign.hidden_states import hidden_state, layer_stack
from xalign.methods.linked_words import LinkedPairs
from xalign.methods.realignment_batches import BatchesBeside, RealignmentBatches, apart
from xalign.methods.realignment_loss import realignment_losses
from xalign.methods.word_pieces import WordPieces, word_sums
from xalign.randomness import derive_seed
from xalign.runs import Run

if TYPE_CHECKING:
    from accelerate import Accelerator


def frozen_half(base: PreTrainedModel, half: str) -> set[str]:
    """Names of the parameters that realignment leaves alone: of the lower layers and embeddings, or the upper layers.

    Of an odd number of layers the lower half is the smaller one.
    """
    if half == "none":
        return set()
    layers = layer_stack(base)
    middle = len(layers) // 2
    chosen: list[nn.Module] = list(layers[:middle] if half == "lower" else layers[middle:])
    if half == "lower":
        chosen.append(base.get_submodule("embeddings"))
    frozen = {id(parameter) for part in chosen for parameter in part.parameters()}
    return {name for name, parameter in base.named_parameters() if id(parameter) in frozen}


class _States(nn.Module):
    """The encoder up to a layer, as a module, so that it can be called with other parameters."""

    def __init__(self, base: PreTrainedModel, layer: int) -> None:
        super().__init__()
        self.base, self.layer = base, layer

    def forward(self, ids: Tensor, attention: Tensor) -> Tensor:
        return hidden_state(self.base, ids, attention, self.layer)


class RealignmentObjective(Objective):
    """Encoder and the contrast of linked words.

    Parameters that the contrast cannot reach are frozen here. `freeze` holds in this objective's gradient alone: its
    half of the parameters may still learn from another objective of the same step.
    """

    names = ("realign",)

    def __init__(
        self, encoder: Encoder, *, layer: int, temperature: float, negatives: str, freeze: str = "none"
    ) -> None:
        super().__init__()
        self.states = _States(encoder.base, layer)
        self.temperature, self.negatives = temperature, negatives
        self.padding = int(encoder.tokenizer.pad_token_id)
        self.frozen = {f"base.{name}" for name in frozen_half(encoder.base, freeze)}

    def freeze(self, encoder: Encoder) -> None:
        """Leave all out of training that this objective does not train, for where it is the only one."""
        freeze_unreachable(encoder.model, self.states.layer, head=False)
        for name, parameter in self.states.named_parameters():
            if name in self.frozen:
                parameter.requires_grad_(False)

    def forward(self, batch: dict[str, Tensor], weights: Tensor) -> dict[str, Tensor]:
        """The loss, a sum over words times `weights` (1,).

        Args:
            batch: made by `RealignmentBatches`.
        """
        ids, words = batch["ids"], batch["words"]
        inputs = (ids, ids != self.padding)
        detached = {name: p.detach() for name, p in self.states.named_parameters() if name in self.frozen}
        states: Tensor = functional_call(self.states, detached, inputs) if detached else self.states(*inputs)
        sums = word_sums(states, batch["pieces"], batch["owner"], 2 * words.shape[1])  # (2n, d)
        source, target = sums.chunk(2)
        losses = realignment_losses(
            source, target, words, temperature=self.temperature, negatives=self.negatives,
            gather=collective.gather_rows, rank=collective.rank(),
        )  # fmt: skip
        return {"realign": losses.sum() * weights[0]}

    def flops(self, batch: dict[str, Tensor]) -> float:
        """Operations of one micro-batch, padding left out; frozen layers count as trained ones."""
        lengths = (batch["ids"] != self.padding).sum(dim=1)
        return encoder_flops(self.states.base.config, lengths, self.states.layer)


class BesideTask(Objective):
    """A task's loss, and realignment's times a coefficient, in the same steps."""

    def __init__(self, task: Objective, realignment: RealignmentObjective, coefficient: float) -> None:
        super().__init__()
        self.task, self.realignment, self.coefficient = task, realignment, coefficient
        self.names = (*task.names, *realignment.names)

    def forward(self, batch: dict[str, Tensor], weights: Tensor) -> dict[str, Tensor]:
        """Both losses, each a weighted sum over its items; `weights` (2,)."""
        own, beside = apart(batch)
        return {**self.task(own, weights[:-1]), **self.realignment(beside, self.coefficient * weights[-1:])}

    def flops(self, batch: dict[str, Tensor]) -> float:
        """Operations of one micro-batch of both."""
        own, beside = apart(batch)
        return self.task.flops(own) + self.realignment.flops(beside)


class RealignmentBeside:
    """What fine-tuning learns beside its task: see `xalign.tasks.training.Companion`.

    Args:
        pairs: sentence pairs that all have a link.
        options: of `RealignmentObjective`, by name.
        batching: of `RealignmentBatches`, by name.
    """

    def __init__(
        self,
        pairs: LinkedPairs,
        tokenizer: Tokenizer,
        *,
        batch_size: int,
        max_length: int,
        coefficient: float,
        bucket_batches: int,
        options: dict[str, Any],
        batching: dict[str, int],
    ) -> None:
        self.pairs, self.batch_size, self.max_length, self.coefficient = pairs, batch_size, max_length, coefficient
        self.tokenizer, self.bucket_batches, self.options, self.batching = tokenizer, bucket_batches, options, batching

    def texts(self) -> Iterator[np.ndarray]:
        """Token ids of all sentences of the pairs."""
        return token_ids(self.pairs, self.tokenizer)

    def join(
        self, encoder: Encoder, task: Objective, batches: Batches, seed: int, accelerator: Accelerator
    ) -> tuple[Objective, Batches]:
        """The task's objective and batches with realignment's; each seed reads the pairs in an order of its own."""
        order = BatchOrder(
            token_lengths(self.pairs, encoder.tokenizer), self.batch_size,
            seed=derive_seed(seed, "realign"), bucket_batches=self.bucket_batches,
        )  # fmt: skip
        beside = RealignmentBatches(self.pairs, WordPieces(encoder, self.max_length), order, **self.batching)
        realignment = RealignmentObjective(encoder, **self.options)
        return BesideTask(task, realignment, self.coefficient), BatchesBeside(batches, beside)

    def validate(self) -> dict[str, float]:
        """Nothing beside dev scores: alignment is measured when all is trained."""
        return {}

    def summary(self, run: Run, steps: int) -> dict[str, Any]:
        """Nothing: `xalign.phases.realign` says it for all strategies."""
        return {}


def token_ids(pairs: LinkedPairs, tokenizer: Tokenizer) -> Iterator[np.ndarray]:
    """Token ids of all sentences of pairs, in both languages."""
    for split in (pairs.source, pairs.target):
        yield from tokenize_cached(split.texts, tokenizer)


def token_lengths(pairs: LinkedPairs, tokenizer: Tokenizer) -> np.ndarray:
    """Tokens of the longer sentence of each pair: (n,)."""
    first, second = (tokenize_cached(split.texts, tokenizer).lengths for split in (pairs.source, pairs.target))
    return np.maximum(first, second)
