"""Quantiles of Student's t against scipy."""

from __future__ import annotations

import pytest
from scipy import stats

from xalign.analysis.student import student_quantile


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 7, 8, 15, 30, 203, 1011])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.99])
def test_student_quantiles_are_those_of_scipy(degrees: int, level: float) -> None:
    assert student_quantile(degrees, level) == pytest.approx(stats.t.ppf((1 + level) / 2, degrees), rel=1e-8)
