from __future__ import annotations

import itertools

import numpy as np
import pytest

from xalign.report.factorial import CORNERS, EFFECTS, factorial_effects, relative_effects, signs
from xalign.report.statistics import (
    benjamini_hochberg,
    bootstrap_seeds,
    bootstrap_sentences,
    generator,
    holm,
    normal_p_values,
    percentile_interval,
    resample_counts,
    simultaneous_interval,
)


def test_counts_are_samples_with_replacement() -> None:
    counts = resample_counts(7, 4000, generator(0, "x"))
    assert counts.shape == (4000, 7)
    assert (counts.sum(axis=1) == 7).all()
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.06)
    np.testing.assert_allclose(counts.var(axis=0), 6 / 7, atol=0.08)  # binomial(7, 1/7)


def test_interval_agrees_with_scipy_for_one_language_and_one_seed() -> None:
    from scipy.stats import bootstrap

    random = np.random.default_rng(1)
    total = random.integers(3, 20, 150)
    base, aligned = random.binomial(total, 0.6), random.binomial(total, 0.7)
    ours = bootstrap_sentences({"deu": np.stack([base, aligned])}, {"deu": total}, shared=False, draws=20_000)["deu"]
    low, high = percentile_interval(ours[:, 1] - ours[:, 0])

    def change(a: np.ndarray, b: np.ndarray, t: np.ndarray, axis: int) -> np.ndarray:
        return (a.sum(axis) - b.sum(axis)) / t.sum(axis)

    options = {"paired": True, "method": "percentile", "n_resamples": 20_000, "rng": np.random.default_rng(2)}
    reference = bootstrap((aligned, base, total), change, **options).confidence_interval
    np.testing.assert_allclose([low, high], reference, atol=0.002)


def test_draws_equal_a_naive_loop_over_the_same_samples() -> None:
    random = np.random.default_rng(3)
    total = random.integers(1, 9, 11)
    correct = random.binomial(total, 0.5, (4, 11))
    draws = bootstrap_sentences({"deu": correct}, {"deu": total}, shared=False, draws=5, seed=9)["deu"]
    picks = generator(9, "sentences", "deu", 11).integers(0, 11, (5, 11))
    naive = [[sum(row[i] for i in pick) / sum(total[i] for i in pick) for row in correct] for pick in picks]
    np.testing.assert_allclose(draws, naive, rtol=1e-5)


def test_paired_intervals_cover_the_true_change_at_the_stated_rate() -> None:
    random = np.random.default_rng(10)
    covered = []
    for repetition in range(300):
        base = random.random(120) < 0.6
        aligned = np.where(random.random(120) < 0.25, random.random(120) < 0.8, base)  # true change: 0.25 (0.8 - 0.6)
        hits, total = {"deu": np.stack([base, aligned]).astype(int)}, {"deu": np.ones(120)}
        draws = bootstrap_sentences(hits, total, shared=True, draws=400, seed=repetition)["deu"]
        low, high = percentile_interval(draws[:, 1] - draws[:, 0])
        covered.append(low <= 0.05 <= high)
    assert 0.91 < np.mean(covered) < 0.98


def test_shared_sentences_move_languages_together_and_others_do_not() -> None:
    hits = np.random.default_rng(4).integers(0, 2, (1, 60))
    correct, total = {"deu": hits, "kaz": hits}, {"deu": np.ones(60), "kaz": np.ones(60)}
    shared = bootstrap_sentences(correct, total, shared=True)
    np.testing.assert_array_equal(shared["deu"], shared["kaz"])
    apart = bootstrap_sentences(correct, total, shared=False)
    assert abs(np.corrcoef(apart["deu"][:, 0], apart["kaz"][:, 0])[0, 1]) < 0.1


def test_a_models_draws_do_not_depend_on_the_other_models() -> None:
    hits = np.random.default_rng(5).integers(0, 2, (3, 30))
    alone = bootstrap_sentences({"deu": hits[:1]}, {"deu": np.ones(30)}, shared=False)["deu"]
    together = bootstrap_sentences({"kaz": hits, "deu": hits}, dict.fromkeys(("kaz", "deu"), np.ones(30)), shared=False)
    np.testing.assert_allclose(alone[:, 0], together["deu"][:, 0])


def test_seed_weights_are_shared_by_equal_seeds_and_a_single_seed_stays() -> None:
    weights = bootstrap_seeds("finetune", (15, 33, 42))
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(weights, bootstrap_seeds("finetune", (15, 33, 42)))
    assert (weights != bootstrap_seeds("align", (15, 33, 42))).any()
    assert (bootstrap_seeds("finetune", (15,)) == 1).all()


def test_simultaneous_interval_covers_all_estimates_at_the_stated_rate() -> None:
    random = np.random.default_rng(6)
    draws = random.normal(0, [1, 2, 3, 4, 5] * 4, (20_000, 20))
    low, high = simultaneous_interval(np.zeros(20), draws)
    assert np.mean(((draws > low) & (draws < high)).all(axis=1)) == pytest.approx(0.95, abs=0.002)
    # Independent estimates need the Šidák quantile of the normal distribution.
    from scipy.stats import norm

    np.testing.assert_allclose(high / draws.std(axis=0), norm.ppf(1 - (1 - 0.95 ** (1 / 20)) / 2), rtol=0.02)


def test_constant_differences_have_intervals_of_no_width() -> None:
    low, high = simultaneous_interval(np.array([0.0, 0.1]), np.tile([0.0, 0.1], (100, 1)))
    np.testing.assert_allclose([low, high], [[0, 0.1], [0, 0.1]])
    np.testing.assert_array_equal(normal_p_values(np.array([0.0, 0.1]), np.tile([0.0, 0.1], (100, 1))), [1, 0])


def test_p_values_are_those_of_the_normal_distribution() -> None:
    from scipy.stats import norm

    draws = np.random.default_rng(7).normal(0.2, 0.1, (5000, 1))
    expected = 2 * norm.sf(0.2 / draws.std(ddof=1))
    np.testing.assert_allclose(normal_p_values(np.array([0.2]), draws), expected, rtol=1e-6)


def test_holm_rejects_what_the_step_down_procedure_rejects() -> None:
    random = np.random.default_rng(8)
    for _ in range(50):
        p_values = random.random(9) ** 4
        adjusted = holm(p_values)
        for alpha in (0.01, 0.05, 0.2):
            rejected = set()
            for position, index in enumerate(np.argsort(p_values)):
                if p_values[index] > alpha / (9 - position):
                    break
                rejected.add(int(index))
            assert {int(i) for i in np.flatnonzero(adjusted <= alpha)} == rejected
    assert holm(np.array([])).shape == (0,)


def test_factorial_effects_are_twice_the_least_squares_coefficients() -> None:
    values = np.random.default_rng(9).normal(size=(8, 5))
    codes = np.array([[2 * int(corner[1]) - 1, 2 * int(corner[3]) - 1, 2 * int(corner[5]) - 1] for corner in CORNERS])
    columns = [np.prod(codes[:, list(c)], axis=1) for n in range(4) for c in itertools.combinations(range(3), n)]
    coefficients = np.linalg.lstsq(np.stack(columns, axis=1), values, rcond=None)[0]
    effects = factorial_effects(dict(zip(CORNERS, values, strict=True)))
    for effect, row in zip(EFFECTS, coefficients[1:], strict=True):
        np.testing.assert_allclose(effects[effect], 2 * row)


def test_an_additive_cube_has_main_effects_and_no_interactions() -> None:
    corners = {c: np.array(0.5 + 0.3 * int(c[1]) - 0.2 * int(c[3]) + 0.1 * int(c[5])) for c in CORNERS}
    effects = factorial_effects(corners)
    assert [effects[e] for e in EFFECTS] == pytest.approx([0.3, -0.2, 0.1, 0, 0, 0, 0])
    assert all(signs(effect).sum() == 0 for effect in EFFECTS)


def test_effects_with_a_missing_corner_are_not_computable() -> None:
    corners = {corner: np.array(0.5) for corner in CORNERS if corner != "S1W0M0"}
    assert set(factorial_effects(corners).values()) == {None}
    relative = relative_effects(corners)
    assert relative["S1W0M0"] is None and relative["S1W1M1"] == 0 and "S0W0M1" not in relative
    del corners["S0W0M1"]
    assert set(relative_effects(corners).values()) == {None}


def test_benjamini_and_hochberg_agree_with_scipy() -> None:
    from scipy.stats import false_discovery_control

    p_values = np.random.default_rng(4).random(30) ** 3
    assert benjamini_hochberg(p_values) == pytest.approx(false_discovery_control(p_values, method="bh"))
    assert len(benjamini_hochberg(np.array([]))) == 0
