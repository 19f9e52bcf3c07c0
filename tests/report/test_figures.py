from __future__ import annotations

import numpy as np
import pytest

from xalign.config import LOSSES
from xalign.report.figures import LOSS_COLOURS, EndLabel, label_ends, panels, spread_out, styled, to_svg
from xalign.report.html import inline_svg


@pytest.mark.parametrize("seed", range(20))
def test_labels_stand_apart_in_their_order_and_inside(seed: int) -> None:
    positions = list(np.random.default_rng(seed).random(7))
    moved = spread_out(positions, 0.1, 0.0, 1.0)
    assert np.diff(np.sort(moved)).min() >= 0.1 - 1e-9
    assert list(np.argsort(moved)) == list(np.argsort(positions))
    assert min(moved) >= -1e-9 and max(moved) <= 1 + 1e-9


def test_labels_that_do_not_touch_stay_and_equal_ones_share_their_centre() -> None:
    assert spread_out([0.1, 0.5, 0.9], 0.1, 0, 1) == pytest.approx([0.1, 0.5, 0.9])
    assert spread_out([0.5, 0.5], 0.1, 0, 1) == pytest.approx([0.45, 0.55])
    assert spread_out([], 0.1, 0, 1) == []


def test_every_configuration_has_a_colour_of_its_own() -> None:
    assert list(LOSS_COLOURS) == list(LOSSES) and len(set(LOSS_COLOURS.values())) == 7


def draw(text: str) -> bytes:
    """A panel with one labelled line."""

    def figure() -> object:
        made, axes = panels(1, 1, 2, 2)
        axes[0].plot([0, 1], [0, 1])
        label_ends(axes[0], [EndLabel(1, 1, text, "#0072b2")])
        return made

    return to_svg(styled(figure), "drawn")  # type: ignore[arg-type]


def test_text_of_a_figure_stays_text_and_hostile_labels_are_escaped() -> None:
    assert ">de-en<" in draw("de-en").decode()
    assert "<script" not in draw("<script>").decode()


def test_an_inlined_figure_follows_the_theme_and_keeps_its_ids_to_itself() -> None:
    text = inline_svg(draw("de-en"), "one", "A <title>")
    assert text.startswith("<svg") and "DOCTYPE" not in text and "<metadata" not in text
    assert 'aria-label="A &lt;title&gt;"' in text and "var(--ink)" in text and "#1b1b1f" not in text
    assert 'id="one-figure_1"' in text and 'id="figure_1"' not in text
    import re

    used = set(re.findall(r'(?:url\(#|xlink:href="#)([^")]+)', text))
    assert used and used <= set(re.findall(r'\bid="([^"]+)"', text))
