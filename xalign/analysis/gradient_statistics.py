"""How similar two gradients are, from the inner products of their blocks.

A gradient is known through K blocks of data, each an unbiased but noisy estimate. The cosine of two averages is too
near to zero, and the more so the noisier they are: cosines of different tasks are not comparable. Products of
*different* blocks have no noise in expectation, which gives the corrected cosine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from xalign.analysis.student import student_quantile


@dataclass(frozen=True)
class Similarity:
    """Two gradients compared; None where a value is not defined, or not detectable under the noise.

    Attributes:
        cosine: of the averages over blocks.
        low, high: 95 % limits of `cosine_corrected`.
        r_first, r_second: mean cosine of two different blocks of the same objective.
        noise_ceiling: √(r_first · r_second), what the cosine of a block with a block of the other objective could
            be at most.
        cosine_corrected: without the blocks' noise; may lie beyond ±1.
        norm_first, norm_second: of the averages.
        magnitude_similarity: 2‖g₁‖‖g₂‖ / (‖g₁‖² + ‖g₂‖²), from Yu et al. 2020.
    """

    cosine: float | None = None
    low: float | None = None
    high: float | None = None
    r_first: float | None = None
    r_second: float | None = None
    noise_ceiling: float | None = None
    cosine_corrected: float | None = None
    norm_first: float | None = None
    norm_second: float | None = None
    magnitude_similarity: float | None = None


def similarity(first: np.ndarray, second: np.ndarray, cross: np.ndarray, *, paired: bool) -> Similarity:
    """Compare two objectives.

    Args:
        first, second: (K, K) products ⟨gᵢ, gⱼ⟩ of each objective's own blocks.
        cross: (K, K) products of the first objective's blocks (rows) with the second's.
        paired: block k of both comes from the same sentences, in two languages. Their noise is then shared, so the
            corrected cosine leaves ⟨g₁ᵏ, g₂ᵏ⟩ out.
    """
    squares = float(first.mean()), float(second.mean())
    r_first, r_second = block_cosine(first), block_cosine(second)
    ceiling = None
    if r_first is not None and r_second is not None and min(r_first, r_second) > 0:
        ceiling = math.sqrt(r_first * r_second)
    norms = math.sqrt(max(squares[0], 0.0)), math.sqrt(max(squares[1], 0.0))
    corrected = _ratio(_off_diagonal(first), _off_diagonal(second), _between(cross, paired))
    low, high = _jackknife(first, second, cross, paired) if corrected is not None else (None, None)
    product = norms[0] * norms[1]
    return Similarity(
        cosine=float(cross.mean()) / product if product > 0 else None,
        low=low,
        high=high,
        r_first=r_first,
        r_second=r_second,
        noise_ceiling=ceiling,
        cosine_corrected=corrected,
        norm_first=norms[0],
        norm_second=norms[1],
        magnitude_similarity=2 * product / (norms[0] ** 2 + norms[1] ** 2) if product > 0 else None,
    )


def block_cosine(products: np.ndarray) -> float | None:
    """Mean cosine of two different blocks of one objective; None if a block's gradient is zero."""
    norms = np.sqrt(np.diag(products))
    if not (norms > 0).all():
        return None
    return _off_diagonal(products / np.outer(norms, norms))


def _off_diagonal(products: np.ndarray) -> float:
    count = len(products)
    return float(products.sum() - np.trace(products)) / (count * (count - 1))


def _between(cross: np.ndarray, paired: bool) -> float:
    return _off_diagonal(cross) if paired else float(cross.mean())


def _ratio(first: float, second: float, cross: float) -> float | None:
    return cross / math.sqrt(first * second) if first > 0 and second > 0 else None


def _jackknife(
    first: np.ndarray, second: np.ndarray, cross: np.ndarray, paired: bool
) -> tuple[float | None, float | None]:
    """Limits from leaving out block k of both objectives, for each k: the corrected cosine ± t · standard error.

    (A bootstrap with replacement would draw a block twice, and its product with itself holds the noise again.)
    None where there are fewer than three blocks, or where the rest without one of them shows no signal.
    """
    count = len(first)
    if count < 3:
        return None, None
    own = [_without_each(products, diagonal=False) for products in (first, second)]
    between = _without_each(cross, diagonal=not paired)
    if min(own[0].min(), own[1].min()) <= 0:
        return None, None
    left = between / np.sqrt(own[0] * own[1])  # (K,)
    error = math.sqrt((count - 1) / count * float(np.square(left - left.mean()).sum()))
    estimate = _between(cross, paired) / math.sqrt(_off_diagonal(first) * _off_diagonal(second))
    reach = student_quantile(count - 1) * error
    return estimate - reach, estimate + reach


def _without_each(products: np.ndarray, *, diagonal: bool) -> np.ndarray:
    """(K,) means of a (K, K) matrix without row and column k, with or without what is left of its diagonal."""
    count = len(products)
    own = np.diag(products)
    sums = products.sum() - products.sum(axis=0) - products.sum(axis=1) + own
    if diagonal:
        return np.asarray(sums / (count - 1) ** 2)
    return np.asarray((sums - (np.trace(products) - own)) / ((count - 1) * (count - 2)))
