"""Cosine distances of translations, beside those of non-translations and an interval of their mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from xalign.analysis.student import student_quantile

FEWEST = 5  # values of which an interval is given


@dataclass(frozen=True)
class Distances:
    """Cosine distances of one pair of languages at one layer.

    Attributes:
        translations: (n,) distance of each item to its translation.
        nontranslation: mean distance of an item to the translation of another.
        deviation: standard deviation of that distance.
    """

    translations: np.ndarray
    nontranslation: float
    deviation: float

    @property
    def normalised(self) -> float | None:
        """How far translations lie below non-translations, in standard deviations; None if these do not vary."""
        if self.deviation == 0:
            return None
        return float((self.nontranslation - self.translations.mean()) / self.deviation)


def translation_distances(source: Tensor, target: Tensor) -> Distances:
    """Distances of rows to their translations and to those of others.

    Args:
        source, target: (n, d) unit rows, row i of one translating row i of the other; n > 1.
    """
    table = 1 - (source @ target.T).numpy().astype(np.float64)  # (n, n)
    others = table[~np.eye(len(table), dtype=bool)]
    return Distances(table.diagonal().copy(), float(others.mean()), float(others.std(ddof=1)))


def average(runs: Sequence[Distances]) -> Distances:
    """The mean over models that differ in their seed, item by item; one model stays as it is."""
    return Distances(
        translations=np.mean([run.translations for run in runs], axis=0),
        nontranslation=float(np.mean([run.nontranslation for run in runs])),
        deviation=float(np.mean([run.deviation for run in runs])),
    )


def mean_interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float] | None:
    """The t-interval of a mean; None for fewer than `FEWEST` values."""
    if len(values) < FEWEST:
        return None
    half = student_quantile(len(values) - 1, level) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)
