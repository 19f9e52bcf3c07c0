"""The three losses of the modified HiCTL objective, on plain tensors.

Each returns one value for each item (row, pair, token) rather than a mean: who averages over accumulation and
processes needs the sum and the count apart. Similarities and softmaxes are computed in fp32 whatever the encoder's
precision.

Source: Veitsman, Liu & Schütze 2026, §4.2, after Wei et al. 2021 (HiCTL).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Gather = Callable[[Tensor], Tensor]


def sentence_losses(
    source: Tensor,
    target: Tensor,
    *,
    temperature: float,
    negatives: str = "both",
    texts: Tensor | None = None,
    gather: Gather | None = None,
    rank: int = 0,
) -> Tensor:
    """InfoNCE over the concatenated tensor (NT-Xent): L_S of §4.2.

    Row i is a sentence, its positive p(i) the translation; the denominator runs over every k ≠ i. Sentences with
    the text of row i or of its translation are not negatives of row i.

    Args:
        source, target: (N, d) vectors of this process's pairs.
        temperature: τ.
        negatives: ``both`` languages, or ``cross``: only sentences of the other language (weak alignment).
        texts: (2, N) integers, equal where two sentences have the same text; None if all texts differ.
        gather: concatenates a tensor's rows over all processes, carrying gradients; None for one process.
        rank: index of this process in `gather`'s order.

    Returns:
        (2N,) losses of this process's rows, sources first.
    """
    gather = gather or (lambda tensor: tensor)
    count = len(source)
    with torch.autocast(source.device.type, enabled=False):
        local = functional.normalize(torch.cat([source, target]).float(), dim=-1)  # (2N, d)
        columns = torch.cat([gather(local[:count]), gather(local[count:])])  # (2M, d), M pairs over all processes
        scores = local @ columns.T / temperature  # (2N, 2M)
    total = len(columns) // 2
    own = torch.arange(count, device=scores.device) + rank * count
    self_column = torch.cat([own, own + total])
    positive = torch.cat([own + total, own])
    excluded = functional.one_hot(self_column, 2 * total).bool()
    if negatives == "cross":
        row_is_target = torch.arange(2 * count, device=scores.device) >= count
        column_is_target = torch.arange(2 * total, device=scores.device) >= total
        excluded |= row_is_target[:, None] == column_is_target[None, :]
    if texts is not None:
        all_texts = torch.cat([gather(texts[0]), gather(texts[1])])  # (2M,)
        excluded |= all_texts[None, :] == all_texts[self_column][:, None]
        excluded |= all_texts[None, :] == all_texts[positive][:, None]
    excluded &= ~functional.one_hot(positive, 2 * total).bool()
    return functional.cross_entropy(scores.masked_fill(excluded, -torch.inf), positive, reduction="none")


def word_losses(
    query: Tensor,
    words: Tensor,
    is_word: Tensor,
    negatives: Tensor,
    collides: Tensor,
    *,
    temperature: float,
) -> tuple[Tensor, Tensor]:
    """Bag-of-words contrast of a pair against drawn vocabulary entries: L_W of §4.2.

    Positives never compete with each other: each word w of the bag B faces the negatives alone.

    Args:
        query: (N, d) pooled vectors of the concatenated pairs.
        words: (N, B, d) embeddings of each pair's unique subword ids, padded.
        is_word: (N, B), false on padding.
        negatives: (K, d) embeddings of the ids drawn for the batch.
        collides: (N, K), true where a drawn id belongs to the row's own bag.
        temperature: τ.

    Returns:
        (N,) losses, the mean over each pair's words, and (N,) booleans, false for a pair without a word (loss 0).
    """
    with torch.autocast(query.device.type, enabled=False):
        unit = functional.normalize(query.float(), dim=-1)
        positive = torch.einsum("nd,nbd->nb", unit, functional.normalize(words.float(), dim=-1)) / temperature
        negative = unit @ functional.normalize(negatives.float(), dim=-1).T / temperature  # (N, K)
        # -log(e^p / (e^p + Σ e^n)) = softplus(logsumexp(n) - p): one logsumexp serves all words of the row.
        against = torch.logsumexp(negative.masked_fill(collides, -torch.inf), dim=-1, keepdim=True)  # (N, 1)
        each = functional.softplus(against - positive).masked_fill(~is_word, 0.0)  # (N, B)
    count = is_word.sum(dim=-1)
    return each.sum(dim=-1) / count.clamp(min=1), count > 0


def masked_token_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy at the predicted positions only: L_M of §4.2.

    Args:
        logits: (T, V) predictions for the T masked tokens.
        labels: (T,) their true ids.

    Returns:
        (T,) losses.
    """
    with torch.autocast(logits.device.type, enabled=False):
        return functional.cross_entropy(logits.float(), labels, reduction="none")
