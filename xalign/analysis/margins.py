"""How far similarities of translations lie above those of non-translations: AUC, and (ε,γ)-strong alignment.

Veitsman, Liu & Schütze 2026, appendix A, equation 2. Both are exact over all pairs of a positive and a negative, which
is the distribution of independent draws, and neither builds these pairs.
"""

from __future__ import annotations

import numpy as np

RESOLUTION = 1e-7  # of a margin: that of a cosine in fp32


def auc(positives: np.ndarray, negatives: np.ndarray) -> float:
    """The chance that a positive lies above a negative, ties counting half: the area under the ROC curve.

    Args:
        positives: (P,).
        negatives: (N,), sorted.
    """
    below = np.searchsorted(negatives, positives, side="left").sum()
    not_above = np.searchsorted(negatives, positives, side="right").sum()
    return float((below + not_above) / 2 / (len(positives) * len(negatives)))


def margin(positives: np.ndarray, negatives: np.ndarray, epsilon: float) -> float:
    """γ̂(ε): the largest γ such that a positive exceeds an independent negative by γ with probability ≥ 1 - ε.

    That is the ε-quantile of positive minus negative, found by bisection on the count of pairs below a value.

    Args:
        positives: (P,).
        negatives: (N,), sorted.
        epsilon: share of the pairs that may fall short.
    """
    above, below = np.sort(positives).astype(np.float64), negatives.astype(np.float64)
    pairs = len(above) * len(below)
    needed = min(int(epsilon * pairs) + 1, pairs)  # pairs that must not exceed γ̂
    low, high = above[0] - below[-1] - RESOLUTION, above[-1] - below[0]
    while high - low > RESOLUTION:
        middle = (low + high) / 2
        if pairs - np.searchsorted(below, above - middle, side="left").sum() >= needed:
            high = middle
        else:
            low = middle
    return float(high)
