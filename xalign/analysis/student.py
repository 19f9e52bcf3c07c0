"""Quantiles of Student's t, for intervals of a few values: scipy is no dependency."""

from __future__ import annotations

import math
from functools import cache

LEVEL = 0.95


@cache
def student_quantile(degrees: int, level: float = LEVEL) -> float:
    """The t with P(|T| ≤ t) = `level` for Student's distribution with whole `degrees` of freedom.

    Source: Abramowitz & Stegun 26.7.3 and 26.7.4, solved by bisection.
    """
    low, high = 0.0, 1e6
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, degrees) < level else (low, middle)
    return (low + high) / 2


def _within(t: float, degrees: int) -> float:
    angle = math.atan(t / math.sqrt(degrees))
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = degrees % 2
    term = cosine if odd else 1.0
    total = 0.0
    for index in range((degrees - odd) // 2):
        total += term
        step = 2 * index + 1 + odd
        term *= cosine * cosine * step / (step + 1)
    return 2 / math.pi * (angle + sine * total) if odd else sine * total
