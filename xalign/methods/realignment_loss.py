"""The contrast of linked words: each word against every other linked word of the batch.

Source: Gaschi et al. 2023, arXiv 2306.02790, after Wu & Dredze 2020 (weak and strong alignment).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Gather = Callable[[Tensor], Tensor]
NO_WORD = -1  # in place of a word's number where a row only fills up the batch


def realignment_losses(
    source: Tensor,
    target: Tensor,
    words: Tensor,
    *,
    temperature: float,
    negatives: str = "strong",
    gather: Gather | None = None,
    rank: int = 0,
) -> Tensor:
    """Cross-entropy of finding the linked word among all linked words of the batch, in both directions.

        -log [ exp(cos(u_i, u_p(i))/τ) / Σ_{k≠i} exp(cos(u_i, u_k)/τ) ]

    A word is masked out of its own row with -inf: with 0 it would still count wherever all cosines are negative. So is
    another copy of the word or of its partner, which appear once for each link that they have.

    Args:
        source, target: (n, d), row by row the two words of a link.
        words: (2, n) numbers, equal where two rows of a language are the same word of the same sentence; `NO_WORD`
            where there is no link.
        temperature: τ.
        negatives: ``strong``: words of both languages; ``weak``: those of the other language alone.
        gather: concatenates a tensor's rows over all processes, carrying gradients; None for one process.
        rank: index of this process in `gather`'s order.

    Returns:
        (2n,) losses, source words first; 0 where there is no link. Their mean over words averages both directions.
    """
    gather = gather or (lambda tensor: tensor)
    count = len(source)
    with torch.autocast(source.device.type, enabled=False):
        wide = torch.promote_types(source.dtype, torch.float32)
        local = functional.normalize(torch.cat([source, target]).to(wide), dim=-1)  # (2n, d)
        columns = torch.cat([gather(local[:count]), gather(local[count:])])  # (2m, d), m links over all processes
        scores = local @ columns.T / temperature  # (2n, 2m)
    total = len(columns) // 2
    numbers = torch.stack([gather(words[0]), gather(words[1])])  # (2, m)
    is_target = torch.arange(2 * total, device=scores.device) >= total
    number = numbers.flatten()
    own = torch.arange(count, device=scores.device) + rank * count
    self_column = torch.cat([own, own + total])
    partner = torch.cat([own + total, own])

    def is_word_of(column: Tensor) -> Tensor:
        same_language = is_target[None, :] == is_target[column][:, None]
        return same_language & (number[None, :] == number[column][:, None])

    excluded = is_word_of(self_column) | is_word_of(partner) | (number == NO_WORD)[None, :]
    if negatives == "weak":
        excluded |= is_target[None, :] == is_target[self_column][:, None]
    excluded &= ~functional.one_hot(partner, 2 * total).bool()
    losses = functional.cross_entropy(scores.masked_fill(excluded, -torch.inf), partner, reduction="none")
    return losses.masked_fill(words.flatten() == NO_WORD, 0.0)
