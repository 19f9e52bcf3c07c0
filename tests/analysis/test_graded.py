"""Graded equivalence, and Spearman's ρ against scipy."""

from __future__ import annotations

import numpy as np
import pytest

from xalign.analysis.graded import OTHER, SAME_ARTICLE, SAME_DOMAIN, TRANSLATION, grades, rho_weak


def test_grades_follow_articles_and_domains() -> None:
    table = grades(["a", "a", "b", "c"], ["news", "news", "news", "travel"])
    assert table.tolist() == [
        [TRANSLATION, SAME_ARTICLE, SAME_DOMAIN, OTHER],
        [SAME_ARTICLE, TRANSLATION, SAME_DOMAIN, OTHER],
        [SAME_DOMAIN, SAME_DOMAIN, TRANSLATION, OTHER],
        [OTHER, OTHER, OTHER, TRANSLATION],
    ]
    assert OTHER < SAME_DOMAIN < SAME_ARTICLE < TRANSLATION


@pytest.mark.parametrize("decimals", [1, 9])  # with many ties, and with few
def test_rho_equals_scipy(decimals: int) -> None:
    from scipy.stats import spearmanr

    draw = np.random.default_rng(3)
    table = grades([str(i // 3) for i in range(30)], [str(i // 12) for i in range(30)])
    similarity = (draw.normal(size=(30, 30)) + 0.4 * table).round(decimals).astype(np.float32)
    expected = spearmanr(similarity.ravel(), table.ravel()).statistic
    assert rho_weak(similarity, table) == pytest.approx(expected, abs=1e-9)
    assert expected > 0.1


def test_similarity_that_is_the_grade_has_rho_one_and_a_constant_one_has_none() -> None:
    table = grades(["a", "a", "b"], ["x", "x", "y"])
    assert rho_weak(table.astype(np.float32), table) == pytest.approx(1)
    assert rho_weak(-table.astype(np.float32), table) == pytest.approx(-1)
    assert rho_weak(np.ones((3, 3), dtype=np.float32), table) is None
