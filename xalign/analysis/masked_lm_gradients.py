"""The masked-LM loss of single languages on blocks of FLORES-200, and a head refitted where the model's own is stale.

A checkpoint that was trained without M carries the head of its base, which no longer fits its states: the gradient of
its loss asks the encoder to go back. So it is taken a second time, behind a head fitted to the encoder as it is now.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from xalign.analysis.data_blocks import BlockOrder
from xalign.encoder import Encoder, base_of
from xalign.engine.batch import pad
from xalign.hidden_states import hidden_state
from xalign.masked_lm_head import MaskedLmHead, masked_lm_head
from xalign.pair_batches import Layout, mask_tokens
from xalign.randomness import generator

REFIT_STEPS = 200
REFIT_TOKENS = 512  # predicted tokens of a step
REFIT_RATE = 1e-3
JUDGED_TOKENS = 4096
ENCODED_TOGETHER = 64


@dataclass(frozen=True)
class MaskedText:
    """Sentences of one language as token ids, and how they are masked."""

    language: str
    sentences: Sequence[np.ndarray]
    layout: Layout
    probability: float
    seed: int

    def batch(self, examples: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """Masked ids (n, L), which of them to predict (n, L), and the true ids there (T,)."""
        rows = pad([self.layout.sentence(self.sentences[i]) for i in examples], self.layout.padding)
        masked, predict = mask_tokens(
            rows, self.layout, probability=self.probability, seed=self.seed, stream=f"mask-{self.language}", step=0,
            examples=examples,
        )  # fmt: skip
        return torch.from_numpy(masked), torch.from_numpy(predict), torch.from_numpy(rows[predict])


class MaskedLanguageBlocks:
    """Mean loss over the predicted tokens of each block of one language's sentences."""

    def __init__(
        self, encoder: Encoder, text: MaskedText, *, label: str, blocks: int, per_block: int, batch_size: int
    ) -> None:
        self.names: tuple[str, ...] = (label,)
        self.blocks, self.encoder, self.text = blocks, encoder, text
        self.device = next(encoder.model.parameters()).device
        lengths = np.array([len(ids) for ids in text.sentences])
        self.order = BlockOrder(
            lengths, blocks=blocks, per_block=per_block, batch_size=batch_size, seed=text.seed,
            what=f"FLORES sentences ({text.language})",
        )  # fmt: skip

    def passes(self, block: int) -> Iterator[dict[str, Tensor]]:
        """The summed loss of each batch, divided by the predicted tokens of the whole block."""
        batches = [self.text.batch(self.order.examples(step)) for step in self.order.steps(block)]
        tokens = max(1, sum(len(labels) for _, _, labels in batches))
        head = masked_lm_head(self.encoder.model)
        for masked, predict, labels in batches:
            states = _states(self.encoder, masked.to(self.device))
            losses = head.losses(states[predict.to(self.device)], labels.to(self.device))
            yield {self.names[0]: losses.sum() / tokens}


def refit_head(
    encoder: Encoder, texts: Sequence[MaskedText], *, tied: nn.Parameter | None, seed: int
) -> tuple[float, float]:
    """Fit the masked-LM head to the frozen encoder, in place, by Adam.

    Args:
        tied: the decoder's weight where it is the embedding table: it belongs to the encoder, and stays.

    Returns:
        the loss on the texts before and after.
    """
    encoder.model.requires_grad_(False)
    head = masked_lm_head(encoder.model)
    trained = [parameter for parameter in head.parameters() if parameter is not tied]
    states, labels = _predicted_states(encoder, texts)
    before = _mean_loss(head, states, labels)
    for parameter in trained:
        parameter.requires_grad_(True)
    optimizer = torch.optim.Adam(trained, lr=REFIT_RATE)
    for step in range(REFIT_STEPS):
        optimizer.param_groups[0]["lr"] = REFIT_RATE * (1 - step / REFIT_STEPS)
        drawn = torch.from_numpy(generator(seed, "refit", step).integers(0, len(labels), REFIT_TOKENS))
        drawn = drawn.to(labels.device)
        optimizer.zero_grad()
        head.losses(states[drawn], labels[drawn]).mean().backward()
        optimizer.step()
    encoder.model.requires_grad_(False)
    return before, _mean_loss(head, states, labels)


def _states(encoder: Encoder, ids: Tensor) -> Tensor:
    return hidden_state(base_of(encoder.model), ids, ids != encoder.tokenizer.pad_token_id, encoder.depth)


@torch.no_grad()
def _predicted_states(encoder: Encoder, texts: Sequence[MaskedText]) -> tuple[Tensor, Tensor]:
    """Last hidden states at all tokens to predict (T, d), and the true ids (T,)."""
    device = next(encoder.model.parameters()).device
    states, labels = [], []
    encoder.model.eval()
    for text in texts:
        order = np.argsort([len(ids) for ids in text.sentences], kind="stable")
        for start in range(0, len(order), ENCODED_TOGETHER):
            masked, predict, true = text.batch(order[start : start + ENCODED_TOGETHER])
            states.append(_states(encoder, masked.to(device))[predict.to(device)])
            labels.append(true.to(device))
    return torch.cat(states), torch.cat(labels)


@torch.no_grad()
def _mean_loss(head: MaskedLmHead, states: Tensor, labels: Tensor) -> float:
    """Mean loss over tokens from all of the texts, at most `JUDGED_TOKENS` of them."""
    every = -(-len(labels) // JUDGED_TOKENS)
    parts = zip(states[::every].split(REFIT_TOKENS), labels[::every].split(REFIT_TOKENS), strict=True)
    losses = torch.cat([head.losses(part, true) for part, true in parts])
    return float(losses.mean())
