"""Rank correlations between what was measured on a model and how well it transfers, with what they are worth.

A *unit* is one model in one target language. Units are not independent: languages are tested on every model, and
models of one alignment pair resemble each other. So p-values permute within pairs, intervals resample languages, and
leaving out one pair at a time shows whether a single pair carries the correlation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 2000
SEED = 42
LEVEL = 0.95
FEWEST_UNITS = 4


@dataclass(frozen=True)
class Correlation:
    """Spearman's ρ with its interval over languages, its permutation p-value, and its range without one pair each."""

    rho: float
    low: float
    high: float
    p_value: float
    without_pair_low: float | None
    without_pair_high: float | None
    units: int


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1 along the last axis, ties sharing the mean of theirs: (…, n)."""
    distinct, codes = np.unique(values, return_inverse=True)
    codes = codes.reshape(-1, values.shape[-1])
    of_row = codes + np.arange(len(codes))[:, None] * len(distinct)
    counts = np.bincount(of_row.ravel(), minlength=len(codes) * len(distinct)).reshape(len(codes), -1)
    mean: np.ndarray = np.take_along_axis(counts.cumsum(axis=1) - (counts - 1) / 2, codes, axis=1)
    return mean.reshape(values.shape)


def unit_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks, centred and of length 1, so that Spearman's ρ is a dot product: (…, n); NaN where all are equal."""
    centred = ranks(np.asarray(values, dtype=float))
    centred = centred - centred.mean(axis=-1, keepdims=True)
    length = np.linalg.norm(centred, axis=-1, keepdims=True)
    return np.divide(centred, length, out=np.full_like(centred, np.nan), where=length > 0)


def spearman(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Spearman's ρ along the last axis of two arrays (…, n); NaN where one of them is constant."""
    rho: np.ndarray = (unit_ranks(first) * unit_ranks(second)).sum(axis=-1)
    return rho


def correlate(
    predictor: Sequence[float],
    outcome: Sequence[float],
    *,
    pairs: Sequence[str],
    languages: Sequence[str],
    draws: int = DRAWS,
    seed: int = SEED,
) -> Correlation | None:
    """Correlate a predictor with an outcome over units.

    Args:
        predictor, outcome: one value a unit.
        pairs: the alignment pair of each unit's model.
        languages: the target language of each unit.

    Returns:
        None with fewer than `FEWEST_UNITS` units, or where predictor or outcome is constant.
    """
    x, y = np.asarray(predictor, dtype=float), np.asarray(outcome, dtype=float)
    rho = float(spearman(x, y)) if len(x) >= FEWEST_UNITS else float("nan")
    if np.isnan(rho):
        return None
    low, high = _interval(lambda rows: spearman(x[rows], y[rows]), languages, draws, seed)
    without = [float(spearman(x[kept], y[kept])) for kept in _without_each(pairs) if kept.sum() >= FEWEST_UNITS]
    without = [value for value in without if not np.isnan(value)]
    return Correlation(
        rho=rho,
        low=low,
        high=high,
        p_value=permutation_p_value(x, y, pairs, draws=draws, seed=seed),
        without_pair_low=min(without, default=None),
        without_pair_high=max(without, default=None),
        units=len(x),
    )


def permutation_p_value(
    x: np.ndarray, y: np.ndarray, pairs: Sequence[str], *, draws: int = DRAWS, seed: int = SEED
) -> float:
    """Two-sided p-value of ρ = 0: outcomes are permuted among the units of one alignment pair.

    The observed arrangement counts as one of the permutations, so the smallest value is 1 / (draws + 1).
    """
    random = np.random.default_rng([seed, 1])
    # A permutation leaves the set of ranks as it is, so they are computed once.
    first, second = (unit_ranks(values) for values in (x, y))
    observed = abs(first @ second)
    members = [np.flatnonzero(np.asarray(pairs) == pair) for pair in dict.fromkeys(pairs)]
    beyond = 0
    for _ in range(draws):
        shuffled = second.copy()
        for rows in members:
            shuffled[rows] = second[random.permutation(rows)]
        beyond += abs(first @ shuffled) >= observed - 1e-12
    return (beyond + 1) / (draws + 1)


def difference_of_correlations(
    first: Sequence[float],
    second: Sequence[float],
    outcome: Sequence[float],
    *,
    languages: Sequence[str],
    draws: int = DRAWS,
    seed: int = SEED,
) -> tuple[float, float, float] | None:
    """How much better the first predictor ranks the outcome: |ρ₁| - |ρ₂| with its interval over languages.

    Returns:
        (estimate, low, high), or None where a correlation does not exist.
    """
    a, b, y = (np.asarray(values, dtype=float) for values in (first, second, outcome))
    estimate = float(abs(spearman(a, y)) - abs(spearman(b, y)))
    if len(y) < FEWEST_UNITS or np.isnan(estimate):
        return None

    def difference(rows: np.ndarray) -> np.ndarray:
        found: np.ndarray = abs(spearman(a[rows], y[rows])) - abs(spearman(b[rows], y[rows]))
        return found

    return estimate, *_interval(difference, languages, draws, seed)


def language_permutation_p_value(x: np.ndarray, y: np.ndarray, *, draws: int = DRAWS, seed: int = SEED) -> float:
    """Two-sided p-value of the mean ρ over models when languages change places in all models at once.

    Args:
        x: (languages,) a property of the languages, such as their proximity, or (models, languages).
        y: (models, languages) the outcomes.
    """
    random = np.random.default_rng([seed, 2])
    # A permutation leaves the set of ranks as it is, so they are computed once.
    near, gains = unit_ranks(np.broadcast_to(x, y.shape)), unit_ranks(y)
    orders = np.stack([np.arange(y.shape[1]), *(random.permutation(y.shape[1]) for _ in range(draws))])
    means = np.abs(_mean_defined(np.einsum("mdl,ml->dm", near[:, orders], gains)))
    beyond = int((means[1:] >= means[0] - 1e-12).sum())
    return (beyond + 1) / (draws + 1)


def mean_correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The mean over models of Spearman's ρ over languages, models without one left out; 0 without any.

    Args:
        x, y: (…, models, languages).
    """
    return _mean_defined(spearman(x, y))


def _mean_defined(rho: np.ndarray) -> np.ndarray:
    defined = ~np.isnan(rho)
    mean: np.ndarray = np.where(defined, rho, 0.0).sum(axis=-1) / np.maximum(defined.sum(axis=-1), 1)
    return mean


def _interval(
    statistic: Callable[[np.ndarray], np.ndarray], languages: Sequence[str], draws: int, seed: int
) -> tuple[float, float]:
    """The percentile interval of a statistic of units (draws, n) → (draws,), over resampled languages."""
    # Draws of one length go through the statistic at once; lengths differ where languages have unlike many units.
    of_length: dict[int, list[np.ndarray]] = {}
    for rows in resampled_languages(languages, draws=draws, seed=seed):
        of_length.setdefault(len(rows), []).append(rows)
    sampled = np.concatenate([statistic(np.stack(rows)) for rows in of_length.values()])
    low, high = np.nanquantile(sampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def resampled_languages(languages: Sequence[str], *, draws: int, seed: int) -> list[np.ndarray]:
    """Rows of the units of resampled languages, one array a draw: a language comes with all its models, or not."""
    random = np.random.default_rng([seed, 0])
    names = list(dict.fromkeys(languages))
    rows = {name: np.flatnonzero(np.asarray(languages) == name) for name in names}
    picks = random.integers(0, len(names), (draws, len(names)))
    return [np.concatenate([rows[names[index]] for index in draw]) for draw in picks]


def _without_each(pairs: Sequence[str]) -> list[np.ndarray]:
    names = list(dict.fromkeys(pairs))
    return [np.asarray(pairs) != name for name in names] if len(names) > 1 else []
