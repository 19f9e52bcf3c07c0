"""The 2³ factorial of alignment losses: what S, W and M each add, and how they act together.

The unaligned encoder is the corner S0W0M0, so each language pair fills the whole cube. An effect is the usual one of
a two-level design: the mean of the corners where the sign is + less the mean of those where it is −; the sign of an
interaction is the product of its factors' signs. It is twice the coefficient of a regression on ±1 codes.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np

FACTORS = "SWM"
CORNERS = tuple(f"S{s}W{w}M{m}" for s, w, m in itertools.product((0, 1), repeat=3))
EFFECTS = ("S", "W", "M", "SW", "SM", "WM", "SWM")
REFERENCE = "S0W0M1"


def signs(effect: str) -> np.ndarray:
    """The signs of the eight `CORNERS` in an effect: (8,) of ±1."""
    levels = np.array([[1 if corner[2 * FACTORS.index(f) + 1] == "1" else -1 for f in effect] for corner in CORNERS])
    return levels.prod(axis=1)


def factorial_effects(corners: Mapping[str, np.ndarray]) -> dict[str, np.ndarray | None]:
    """Main effects and interactions.

    Args:
        corners: accuracies of the corners that were run, keyed by loss; arrays of one shape, for example (draws,).

    Returns:
        Each of `EFFECTS` as an array of that shape, or None where a corner is missing: every effect needs all eight.
    """
    if any(corner not in corners for corner in CORNERS):
        return dict.fromkeys(EFFECTS)
    values = np.stack([np.asarray(corners[corner]) for corner in CORNERS])  # (8, …)
    return {effect: np.tensordot(signs(effect), values, axes=1) / 4 for effect in EFFECTS}


def relative_effects(corners: Mapping[str, np.ndarray], reference: str = REFERENCE) -> dict[str, np.ndarray | None]:
    """Every other corner less `reference`; None where either is missing.

    The default is S0W0M1: M alone is extra training on the pair's text, not alignment, and what exceeds it is.
    """
    return {
        corner: corners[corner] - corners[reference] if corner in corners and reference in corners else None
        for corner in CORNERS
        if corner != reference
    }
