"""Rank correlations against scipy, and their p-values and intervals where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from xalign.analysis.correlations import (
    correlate,
    difference_of_correlations,
    language_permutation_p_value,
    permutation_p_value,
    spearman,
)

LANGUAGES = [f"l{number}" for number in range(12)]
PAIRS = ["a-b", "c-d", "e-f"]


def units(seed: int, rho: float) -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
    """Predictor and outcome of 3 models × 12 languages with a known correlation."""
    random = np.random.default_rng(seed)
    x = random.normal(size=36)
    y = rho * x + np.sqrt(1 - rho**2) * random.normal(size=36)
    return x, y, [pair for pair in PAIRS for _ in LANGUAGES], LANGUAGES * 3


def test_spearman_equals_scipy_s_with_ties() -> None:
    random = np.random.default_rng(3)
    for _ in range(20):
        x, y = random.integers(0, 6, 25), random.integers(0, 6, 25)
        assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)


def test_a_constant_predictor_has_no_correlation() -> None:
    assert np.isnan(spearman(np.ones(5), np.arange(5)))
    assert correlate([1.0] * 5, range(5), pairs=["a"] * 5, languages=LANGUAGES[:5], draws=10) is None


def test_the_interval_covers_a_known_correlation_about_as_often_as_it_says() -> None:
    truth = 6 / np.pi * np.arcsin(0.6 / 2)  # Spearman's ρ of a bivariate normal with Pearson's 0.6
    covered = 0
    for seed in range(60):
        x, y, pairs, languages = units(seed, 0.6)
        found = correlate(x, y, pairs=pairs, languages=languages, draws=120)
        assert found is not None
        covered += found.low <= truth <= found.high
    assert covered >= 50


def test_p_values_are_small_for_a_real_correlation_and_uniform_without_one() -> None:
    x, y, pairs, _ = units(1, 0.9)
    assert permutation_p_value(x, y, pairs, draws=300) < 0.02
    null = [permutation_p_value(*units(seed, 0.0)[:3], draws=60) for seed in range(60)]
    assert 0.35 < np.mean(null) < 0.65


def test_a_difference_between_pairs_alone_is_no_evidence() -> None:
    """Predictor and outcome differ between pairs but are unrelated within each: permuting within pairs sees that."""
    random = np.random.default_rng(0)
    level = np.repeat([0.0, 10.0, 20.0], 12)
    x, y = level + random.normal(size=36), level + random.normal(size=36)
    assert stats.spearmanr(x, y).pvalue < 1e-6
    assert permutation_p_value(x, y, [pair for pair in PAIRS for _ in LANGUAGES], draws=200) > 0.05


def test_leaving_out_a_pair_shows_when_one_pair_carries_the_correlation() -> None:
    random = np.random.default_rng(5)
    x, y = random.normal(size=36), random.normal(size=36)
    y[:12] = x[:12] * 5
    found = correlate(x, y, pairs=[p for p in PAIRS for _ in LANGUAGES], languages=LANGUAGES * 3, draws=50)
    assert found is not None and found.without_pair_low is not None and found.without_pair_high is not None
    assert found.without_pair_low < found.rho < found.without_pair_high


def test_the_better_of_two_predictors_is_found_and_equal_ones_are_not_told_apart() -> None:
    x, y, _, languages = units(2, 0.95)
    noise = np.random.default_rng(9).normal(size=36)
    better = difference_of_correlations(x, noise, y, languages=languages, draws=200)
    same = difference_of_correlations(x, x * 2, y, languages=languages, draws=200)
    assert better is not None and better[1] > 0
    assert same == (0.0, 0.0, 0.0)


def test_languages_are_permuted_in_all_models_at_once() -> None:
    """Ten models that repeat one language profile are one observation, not ten."""
    random = np.random.default_rng(4)
    proximity, profile = random.normal(size=6), random.normal(size=6)
    one = language_permutation_p_value(proximity, profile[None, :], draws=300)
    ten = language_permutation_p_value(proximity, np.repeat(profile[None, :], 10, axis=0), draws=300)
    assert one == pytest.approx(ten, abs=0.02)
