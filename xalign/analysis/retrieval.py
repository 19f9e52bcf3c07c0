"""Does a sentence lie next to its translation? Cosine nearest neighbours, and cosines against non-translations.

Definitions: *weak* and *strong* alignment after Hämmerl et al. 2024 and Roy et al. 2020 (LAReQA); CSLS after Conneau et
al. 2018; xsim, the error rate with ratio margin, after Artetxe & Schwenk 2019 and LASER.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from xalign.analysis.margins import auc, margin
from xalign.errors import XalignError

ROWS_AT_ONCE = 1024
RECALLS = (1, 5, 10)
MEASURES = (
    "mean_cosine", "mean_cosine_nontranslation", "separation", "recall_at_1", "recall_at_5", "recall_at_10", "nn_weak",
    "nn_strong", "nn_weak_csls", "margin", "auc", "xsim",
)  # fmt: skip
Scores = dict[str, float | None]


def translation_scores(source: Tensor, target: Tensor) -> dict[str, float]:
    """Cosine 1-NN accuracy in both directions, and the mean cosine of translations and of non-translations.

    Mean-pooled vectors of unrelated sentences have high cosines too, so the second mean belongs beside the first.

    Args:
        source, target: (n, d), row i of one translating row i of the other; n > 1.

    Returns:
        ``nn_source_to_target``, ``nn_target_to_source``, ``mean_cosine``, ``mean_cosine_nontranslation``. A zero
        vector has cosine 0 with everything; ties count as misses unless the translation comes first.

    Raises:
        XalignError: fewer than two pairs, so that nothing is a non-translation.
    """
    first, second = functional.normalize(source.float(), dim=-1), functional.normalize(target.float(), dim=-1)
    count = len(first)
    if count < 2:
        raise XalignError(f"{count} held-out pairs: retrieval needs two; raise held_out or take a larger corpus")
    own = torch.arange(count, device=first.device)
    forward_hits = backward_hits = 0
    total = 0.0
    best_backward = torch.full((count,), -torch.inf, device=first.device)
    nearest_backward = torch.zeros(count, dtype=torch.long, device=first.device)
    for start in range(0, count, ROWS_AT_ONCE):
        cosines = first[start : start + ROWS_AT_ONCE] @ second.T  # (rows, n)
        forward_hits += int((cosines.argmax(dim=1) == own[start : start + ROWS_AT_ONCE]).sum())
        values, rows = cosines.max(dim=0)
        better = values > best_backward
        nearest_backward = torch.where(better, rows + start, nearest_backward)
        best_backward = torch.maximum(best_backward, values)
        total += float(cosines.double().sum())
    backward_hits = int((nearest_backward == own).sum())
    translations = float((first * second).sum(dim=-1).double().sum())
    return {
        "nn_source_to_target": forward_hits / count,
        "nn_target_to_source": backward_hits / count,
        "mean_cosine": translations / count,
        "mean_cosine_nontranslation": (total - translations) / (count * (count - 1)),
    }


@dataclass(frozen=True)
class Neighbourhoods:
    """How many neighbours make a sentence's neighbourhood, and the share ε that the margin gives up."""

    csls: int = 10
    xsim: int = 4
    epsilon: float = 0.05


def unit_rows(vectors: np.ndarray, *, centred: bool = False) -> Tensor:
    """Vectors (n, d) of one language and layer, each of length 1; `centred` first takes away their mean."""
    rows = torch.from_numpy(np.array(vectors, dtype=np.float32))
    return functional.normalize(rows - rows.mean(dim=0) if centred else rows, dim=-1)


def nearest_of_own_language(units: Tensor) -> Tensor:
    """(n,): the highest cosine of each sentence to another one of its language."""
    # -inf and not 0 on the sentence itself: all cosines may be negative.
    return (units @ units.T).fill_diagonal_(-torch.inf).amax(dim=1)


def retrieval_scores(
    source: Tensor, target: Tensor, source_nearest: Tensor, target_nearest: Tensor, sizes: Neighbourhoods
) -> tuple[Scores, Scores]:
    """All `MEASURES` of one layer: of sources that look for targets, and of targets that look for sources.

    Ties count as misses: a translation must be nearer than every other sentence, so a collapsed encoder scores 0.
    `recall_at_1` and `nn_weak` are therefore one number, as their definitions are.

    Args:
        source, target: (n, d) unit rows, row i of one translating row i of the other; n > 1.
        source_nearest, target_nearest: (n,), from `nearest_of_own_language`.

    Returns:
        both directions. `separation` is None where all non-translations have one cosine.
    """
    cosines = source @ target.T  # (n, n)
    shared = _against_nontranslations(cosines, sizes.epsilon)
    deepest = min(max(sizes.csls, sizes.xsim), len(cosines))
    forward, backward = cosines.topk(deepest, dim=1), cosines.T.contiguous().topk(deepest, dim=1)
    return (
        shared | _one_direction(cosines, source_nearest, forward, backward.values, sizes),
        shared | _one_direction(cosines.T, target_nearest, backward, forward.values, sizes),
    )


def layer_scores(
    source: np.ndarray, target: np.ndarray, nearest: tuple[Tensor, Tensor], sizes: Neighbourhoods, *, centred: bool
) -> Iterator[tuple[int, Scores, Scores]]:
    """`retrieval_scores` of every layer; one layer of two languages is in memory at a time.

    Args:
        source, target: (layers, n, d), may be memory-mapped.
        nearest: (layers, n) of both languages, from `nearest_of_own_language`.
        centred: compare after taking away each language's mean vector.
    """
    for layer in range(len(source)):
        first, second = (unit_rows(vectors[layer], centred=centred) for vectors in (source, target))
        there, back = retrieval_scores(first, second, nearest[0][layer], nearest[1][layer], sizes)
        yield layer, there, back


def _against_nontranslations(cosines: Tensor, epsilon: float) -> Scores:
    """Cosines of translations (the diagonal) against all others; the same in both directions."""
    positives = cosines.diagonal().numpy().copy()
    others = ~torch.eye(len(cosines), dtype=torch.bool)
    negatives = np.sort(cosines[others].numpy())
    mean, deviation = negatives.mean(dtype=np.float64), negatives.std(dtype=np.float64, ddof=1)
    gap = positives.mean(dtype=np.float64) - mean
    return {
        "mean_cosine": float(positives.mean(dtype=np.float64)),
        "mean_cosine_nontranslation": float(mean),
        "separation": float(gap / deviation) if deviation > 0 else None,
        "margin": margin(positives, negatives, epsilon),
        "auc": auc(positives, negatives),
    }


def _one_direction(
    cosines: Tensor, own_nearest: Tensor, found: torch.return_types.topk, reverse: Tensor, sizes: Neighbourhoods
) -> Scores:
    """What the rows of `cosines` find among its columns.

    Args:
        cosines: (n, n), rows query columns.
        own_nearest: (n,) highest cosine of a query to another sentence of its own language.
        found: the nearest columns of each row: cosines and indices, (n, k).
        reverse: (n, k) the nearest rows of each column: cosines.
    """
    own = cosines.diagonal()
    rank = (cosines >= own[:, None]).sum(dim=1) - 1  # others that are at least as near
    csls = cosines - reverse[:, : sizes.csls].mean(dim=1) / 2  # half of it, up to a constant in each row
    density = (
        found.values[:, : sizes.xsim].mean(dim=1, keepdim=True)
        + reverse[:, : sizes.xsim].mean(dim=1)[found.indices[:, : sizes.xsim]]
    )
    best = (found.values[:, : sizes.xsim] / (density / 2)).argmax(dim=1, keepdim=True)
    chosen = found.indices.gather(1, best)[:, 0]
    return {
        **{f"recall_at_{k}": _share(rank < k) for k in RECALLS},
        "nn_weak": _share(rank == 0),
        "nn_strong": _share((rank == 0) & (own > own_nearest)),
        "nn_weak_csls": _share((csls >= csls.diagonal()[:, None]).sum(dim=1) == 1),
        "xsim": _share(chosen != torch.arange(len(chosen))),
    }


def _share(hits: Tensor) -> float:
    return float(hits.double().mean())
