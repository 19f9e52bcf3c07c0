"""Verdicts follow from the interval and the written rule alone."""

from __future__ import annotations

import pytest

from xalign.report.claims import (
    CONTRADICTED,
    EXPECTATIONS,
    NO_EVIDENCE,
    REPRODUCED,
    UNDECIDED,
    Claim,
    Effect,
    decide,
    read_claims,
)


def claim(expected: str, threshold: float) -> Claim:
    return Claim("x", "x", "x", "x", {}, expected, threshold)


def effect(low: float, high: float) -> Effect:
    return Effect((low + high) / 2, low, high, "units")


@pytest.mark.parametrize(
    ("expected", "threshold", "low", "high", "verdict"),
    [
        ("above", 0.0, 0.1, 0.3, REPRODUCED),
        ("above", 0.0, -0.1, 0.3, UNDECIDED),
        ("above", 0.0, -0.3, -0.1, CONTRADICTED),
        ("below", 0.1, -0.2, 0.05, REPRODUCED),
        ("below", 0.1, 0.05, 0.2, UNDECIDED),
        ("below", 0.1, 0.15, 0.2, CONTRADICTED),
        ("inside", 0.1, -0.05, 0.09, REPRODUCED),
        ("inside", 0.1, -0.05, 0.2, UNDECIDED),
        ("inside", 0.1, 0.2, 0.3, CONTRADICTED),
        ("inside", 0.1, -0.3, -0.2, CONTRADICTED),
    ],
)
def test_the_interval_decides(expected: str, threshold: float, low: float, high: float, verdict: str) -> None:
    assert decide(claim(expected, threshold), effect(low, high)) == verdict


def test_a_wide_interval_around_zero_is_never_called_orthogonal() -> None:
    assert decide(claim("inside", 0.1), effect(-0.5, 0.5)) == UNDECIDED


def test_without_runs_there_is_no_verdict() -> None:
    assert decide(claim("above", 0.0), None) == NO_EVIDENCE


def test_the_rules_that_ship_are_well_formed_and_named_once() -> None:
    claims = read_claims()
    assert len({each.id for each in claims}) == len(claims) > 15
    assert all(each.expected in EXPECTATIONS and each.threshold >= 0 and each.source for each in claims)
