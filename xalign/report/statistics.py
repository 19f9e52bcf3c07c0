"""Intervals for accuracies of models tested on the same sentences.

The bootstrap resamples two crossed factors, sentences and seeds (Owen 2007, "The pigeonhole bootstrap"). All models
share the resampled sentences and, where they have the same seeds, the resampled seeds: differences are paired.
Generators are keyed by what they draw, so an interval does not depend on which other models stand in the table.
With n seeds the seed part of the variance is too small by (n - 1) / n, as in every bootstrap of a few units.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

DRAWS = 2000
SEED = 42
LEVEL = 0.95
SHARED = "all languages"


def generator(seed: int, *stream: object) -> np.random.Generator:
    """A random generator that is determined by the seed and by what it is for."""
    return np.random.default_rng([seed, zlib.crc32(repr(stream).encode())])


def resample_counts(size: int, draws: int, random: np.random.Generator) -> np.ndarray:
    """How often each of `size` units occurs in each of `draws` samples with replacement: (draws, size), float32."""
    picks = random.integers(0, size, (draws, size)) + size * np.arange(draws)[:, None]
    return np.bincount(picks.ravel(), minlength=draws * size).reshape(draws, size).astype(np.float32)


def bootstrap_sentences(
    correct: Mapping[str, np.ndarray],
    total: Mapping[str, np.ndarray],
    *,
    shared: bool,
    draws: int = DRAWS,
    seed: int = SEED,
) -> dict[str, np.ndarray]:
    """Accuracy of every model in resampled sentences.

    Args:
        correct: for each language the correct words (or sentences): (models, sentences).
        total: for each language the words in each sentence: (sentences,).
        shared: the sentences are the same in all languages, so one sample of ids serves them all (SIB-200);
            otherwise each language draws its own (Universal Dependencies).

    Returns:
        For each language an array (draws, models).
    """
    accuracy: dict[str, np.ndarray] = {}
    counts: dict[str, np.ndarray] = {}
    for language in correct:
        stream, size = SHARED if shared else language, len(total[language])
        if stream not in counts:
            # Without sharing one language's sample is of no use to the next: keep a single one in memory.
            counts = {stream: resample_counts(size, draws, generator(seed, "sentences", stream, size))}
        weights = counts[stream]  # (draws, sentences)
        hits = weights @ correct[language].T.astype(np.float32)  # (draws, models)
        accuracy[language] = hits / (weights @ total[language].astype(np.float32))[:, None]
    return accuracy


def bootstrap_seeds(factor: str, seeds: Sequence[int | None], *, draws: int = DRAWS, seed: int = SEED) -> np.ndarray:
    """Weights of resampled seeds, summing to one in each draw: (draws, seeds).

    Models with the same seeds get the same weights. A single seed has weight one: it cannot be resampled.
    """
    return resample_counts(len(seeds), draws, generator(seed, factor, *seeds)) / len(seeds)


def percentile_interval(draws: np.ndarray, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper percentile limits over the first axis (Efron's percentile interval)."""
    tail = (1 - level) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], axis=0)
    return low, high


def simultaneous_interval(
    estimates: np.ndarray, draws: np.ndarray, level: float = LEVEL
) -> tuple[np.ndarray, np.ndarray]:
    """Max-T limits that hold for all estimates at once (Westfall & Young 1993).

    Args:
        estimates: (estimates,).
        draws: (draws, estimates), drawn jointly.

    Returns:
        Lower and upper limits: estimate ± q · standard error, where q is the `level` quantile over draws of the
        largest standardised deviation among the estimates.
    """
    if not len(estimates):
        return estimates.copy(), estimates.copy()
    error = standard_error(draws)
    deviation = np.abs(draws - estimates)
    scaled = np.divide(deviation, error, out=np.zeros_like(deviation), where=error > 0)
    width = np.quantile(scaled.max(axis=1), level) * error
    return estimates - width, estimates + width


def standard_error(draws: np.ndarray) -> np.ndarray:
    """Bootstrap standard error over the first axis; rounding noise of constant draws counts as zero."""
    error = np.asarray(draws.std(axis=0, ddof=1))
    return np.where(error < 1e-7, 0.0, error)


def normal_p_values(estimates: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Two-sided p-values of "no difference", from the bootstrap standard error and the normal distribution.

    The share of draws beyond zero cannot be smaller than one in the number of draws, too coarse to adjust for the
    112 cells of the full table.
    """
    error = standard_error(draws)
    p_values = np.where(estimates == 0, 1.0, 0.0)
    for index in np.flatnonzero(error > 0):
        p_values[index] = math.erfc(abs(estimates[index]) / error[index] / math.sqrt(2))
    return p_values


def benjamini_hochberg(p_values: np.ndarray) -> np.ndarray:
    """Benjamini and Hochberg's (1995) step-up adjusted p-values, in the order given: among those ≤ α, at most a share
    of α is expected to be false, if the tests are independent or positively dependent."""
    order = np.argsort(p_values, kind="stable")[::-1]
    count = len(p_values)
    adjusted = np.empty(count)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(p_values[order] * count / np.arange(count, 0, -1)))
    return adjusted


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's (1979) step-down adjusted p-values, in the order given: significant at α where the result is ≤ α."""
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(factors * p_values[order]))
    return adjusted
