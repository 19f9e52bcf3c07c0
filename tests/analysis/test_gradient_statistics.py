"""Corrected cosines: right where the truth is known, biased without the correction, honest where nothing is seen."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from xalign.analysis.gradient_statistics import Similarity, block_cosine, similarity

BLOCKS, WIDTH = 8, 4000


def products(first: np.ndarray, second: np.ndarray, *, paired: bool = False) -> Similarity:
    return similarity(first @ first.T, second @ second.T, first @ second.T, paired=paired)


def truth(cosine: float, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two vectors of norm 1 with a known cosine."""
    first, other = np.linalg.qr(draw.normal(size=(WIDTH, 2)))[0].T
    return first, cosine * first + math.sqrt(1 - cosine**2) * other


def blocks(mean: np.ndarray, noise: float, draw: np.random.Generator) -> np.ndarray:
    """(K, d) estimates of `mean` with noise of norm `noise`."""
    return mean + noise / math.sqrt(WIDTH) * draw.normal(size=(BLOCKS, WIDTH))


@pytest.mark.parametrize("cosine", [-0.3, 0.0, 0.5, 0.9])
def test_the_corrected_cosine_is_unbiased_where_the_raw_one_is_not(cosine: float) -> None:
    found = []
    for seed in range(60):
        draw = np.random.default_rng(seed)
        first, second = truth(cosine, draw)
        found.append(products(blocks(first, 2.0, draw), blocks(second, 3.0, draw)))
    corrected = np.array([x.cosine_corrected for x in found])
    raw = np.array([x.cosine for x in found])
    error = corrected.std(ddof=1) / math.sqrt(len(corrected))
    assert corrected.mean() == pytest.approx(cosine, abs=max(4 * error, 0.01))
    # Blocks of norm² 1 + 4 and 1 + 9 around means of norm 1: averages have norm² 1 + 4/8 and 1 + 9/8.
    assert raw.mean() == pytest.approx(cosine / math.sqrt(1.5 * 2.125), abs=0.02)


def test_what_two_blocks_of_one_objective_share_is_the_ceiling() -> None:
    draw = np.random.default_rng(0)
    first, second = truth(1.0, draw)
    found = products(blocks(first, 2.0, draw), blocks(second, 3.0, draw))
    assert found.r_first == pytest.approx(1 / 5, abs=0.02)
    assert found.r_second == pytest.approx(1 / 10, abs=0.02)
    assert found.noise_ceiling == pytest.approx(math.sqrt(found.r_first * found.r_second))  # type: ignore[operator]


def test_noise_that_paired_blocks_share_does_not_count_as_similarity() -> None:
    found: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(40):
        draw = np.random.default_rng(seed)
        first, second = truth(0.0, draw)
        noise = 2.0 / math.sqrt(WIDTH) * draw.normal(size=(BLOCKS, WIDTH))
        for paired in found:
            value = products(first + noise, second + noise, paired=paired).cosine_corrected
            assert value is not None
            found[paired].append(value)
    assert abs(np.mean(found[True])) < 0.02
    assert np.mean(found[False]) == pytest.approx(4 / BLOCKS, abs=0.05)


@pytest.mark.parametrize("paired", [True, False])
def test_limits_are_those_of_a_naive_jackknife(paired: bool) -> None:
    draw = np.random.default_rng(1)
    first, second = (blocks(mean, 1.5, draw) for mean in truth(0.4, draw))
    found = products(first, second, paired=paired)
    left = []
    for gone in range(BLOCKS):
        kept = [index for index in range(BLOCKS) if index != gone]
        own = [np.mean([x[i] @ x[j] for i in kept for j in kept if i != j]) for x in (first, second)]
        cross = np.mean([first[i] @ second[j] for i in kept for j in kept if not (paired and i == j)])
        left.append(cross / math.sqrt(own[0] * own[1]))
    error = math.sqrt((BLOCKS - 1) / BLOCKS * sum((x - np.mean(left)) ** 2 for x in left))
    reach = stats.t.ppf(0.975, BLOCKS - 1) * error
    assert found.cosine_corrected is not None
    assert found.low == pytest.approx(found.cosine_corrected - reach, rel=1e-9)
    assert found.high == pytest.approx(found.cosine_corrected + reach, rel=1e-9)


def test_limits_hold_the_truth_about_as_often_as_they_say() -> None:
    held = 0
    for seed in range(200):
        draw = np.random.default_rng(seed)
        first, second = truth(0.5, draw)
        found = products(blocks(first, 1.5, draw), blocks(second, 1.5, draw))
        assert found.low is not None and found.high is not None
        held += found.low <= 0.5 <= found.high
    assert 0.88 <= held / 200 <= 1.0


def test_pure_noise_is_not_detectable() -> None:
    found = []
    for seed in range(40):
        draw = np.random.default_rng(seed)
        found.append(products(blocks(np.zeros(WIDTH), 1.0, draw), blocks(truth(0, draw)[0], 0.5, draw)))
    hidden = [x for x in found if x.cosine_corrected is None]
    assert 8 <= len(hidden) <= 32  # the denominator is negative about every second time
    assert all(x.low is None and x.high is None and x.noise_ceiling is None for x in hidden)
    assert all(x.cosine is not None and x.norm_first is not None for x in hidden)


def test_norms_and_their_similarity() -> None:
    first, second = np.tile([3.0, 0, 0, 0], (BLOCKS, 1)), np.tile([0, 4.0, 0, 0], (BLOCKS, 1))
    found = products(first, second)
    assert (found.norm_first, found.norm_second) == (3.0, 4.0)
    assert found.magnitude_similarity == pytest.approx(24 / 25)
    assert found.cosine == 0 and found.cosine_corrected == 0


def test_a_gradient_of_zero_has_no_cosine() -> None:
    found = products(np.zeros((BLOCKS, 5)), np.ones((BLOCKS, 5)))
    assert found.cosine is None and found.magnitude_similarity is None and found.r_first is None
    assert block_cosine(np.zeros((3, 3))) is None


def test_two_blocks_give_an_estimate_without_limits() -> None:
    draw = np.random.default_rng(0)
    first, second = (blocks(mean, 0.5, draw)[:2] for mean in truth(0.5, draw))
    found = products(first, second)
    assert found.cosine_corrected is not None and found.low is None and found.high is None
