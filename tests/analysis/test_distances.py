"""Cosine distances and their intervals, against scipy and a loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xalign.analysis.distances import Distances, average, mean_interval, translation_distances
from xalign.analysis.retrieval import unit_rows


def test_the_interval_of_a_mean_is_scipy_s() -> None:
    from scipy.stats import sem, t

    values = np.random.default_rng(0).gamma(2.0, size=25)
    expected = t.interval(0.95, 24, loc=values.mean(), scale=sem(values))
    assert mean_interval(values) == pytest.approx(expected, rel=1e-8)
    assert mean_interval(values[:4]) is None


def test_distances_equal_scipy_s_cosine_distances() -> None:
    from scipy.spatial.distance import cdist

    draw = np.random.default_rng(1)
    source = draw.normal(size=(40, 6)) + 1
    target = source + draw.normal(size=(40, 6))
    found = translation_distances(unit_rows(source), unit_rows(target))
    table = cdist(source, target, "cosine")
    others = table[~np.eye(40, dtype=bool)]
    np.testing.assert_allclose(found.translations, np.diag(table), atol=1e-6)
    assert found.nontranslation == pytest.approx(others.mean(), abs=1e-6)
    assert found.normalised == pytest.approx((others.mean() - np.diag(table).mean()) / others.std(ddof=1), abs=1e-5)
    assert found.normalised > 0  # translations are nearer than others


def test_scaling_all_distances_leaves_the_normalised_one() -> None:
    """The control for anisotropy: a squeezed space has smaller distances and the same normalised one."""
    wide = Distances(np.array([0.4, 0.5]), 0.8, 0.1)
    narrow = Distances(wide.translations / 10, wide.nontranslation / 10, wide.deviation / 10)
    assert narrow.normalised == pytest.approx(wide.normalised)
    assert Distances(np.array([0.0, 0.0]), 0.0, 0.0).normalised is None


def test_seeds_are_averaged_item_by_item() -> None:
    one = Distances(np.array([0.1, 0.3]), 0.5, 0.2)
    two = Distances(np.array([0.3, 0.1]), 0.7, 0.4)
    mean = average([one, two])
    assert mean.translations.tolist() == pytest.approx([0.2, 0.2])
    assert (mean.nontranslation, mean.deviation) == pytest.approx((0.6, 0.3))
    np.testing.assert_array_equal(average([one]).translations, one.translations)


def test_identical_vectors_have_distance_zero() -> None:
    units = unit_rows(torch.eye(5).numpy())
    found = translation_distances(units, units)
    assert found.translations.tolist() == [0] * 5 and found.nontranslation == 1
