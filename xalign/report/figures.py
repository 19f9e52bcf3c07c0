"""What all figures share: size, type, colours that the colour-blind can tell apart, labels beside what they name.

Figures are made without pyplot, so nothing global is touched. Ink, paper and rules have colours of their own, which
the report page replaces by those of its light or dark theme.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xalign.config import LOSSES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, RULE, PAPER = "#1b1b1f", "#6b6b73", "#d9d9de", "#fffffe"
# Okabe and Ito's palette; its yellow is too pale for lines and text on white.
ORANGE, SKY, GREEN, BLUE, VERMILLION, PURPLE = "#e69f00", "#56b4e9", "#009e73", "#0072b2", "#d55e00", "#cc79a7"
LOSS_COLOURS = dict(zip(LOSSES, (INK, ORANGE, VERMILLION, SKY, BLUE, GREEN, PURPLE), strict=True))
SERIES_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, INK)
DOTS_PER_INCH = 150
LABEL_POINTS = 7.0
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": RULE,
    "grid.linewidth": 0.5,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.size": 2,
    "ytick.major.size": 2,
    "lines.linewidth": 1.4,
    "lines.markersize": 3.6,
    "figure.facecolor": PAPER,
    "svg.fonttype": "none",  # text stays text: it can be searched, and read aloud
}


@dataclass(frozen=True)
class EndLabel:
    """A text beside the last point of a line."""

    x: float
    y: float
    text: str
    colour: str


def panels(rows: int, columns: int, width: float, height: float, **shared: Any) -> tuple[Figure, list[Axes]]:
    """A figure of `rows` × `columns` panels of `width` × `height` inches, row by row."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **shared)
    return figure, list(axes.flat)


def styled(draw: Callable[[], Figure]) -> Figure:
    """Draw in the common style."""
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        return draw()


def to_png(figure: Figure) -> bytes:
    """The figure as PNG, 150 dots per inch."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return stream.getvalue()


def to_svg(figure: Figure, name: str) -> bytes:
    """The figure as SVG; the same numbers give the same bytes, and `name` keeps ids of several figures apart."""
    import matplotlib as mpl

    stream = io.BytesIO()
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return stream.getvalue()


def spread_out(positions: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions moved as little as needed to stand `gap` apart, in the same order, inside low..high if they fit.

    Groups of labels that touch are placed as one around their common centre, as in isotonic regression.
    """
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    groups: list[list[float]] = []  # [sum of desired positions of the group's first member, members]
    for rank, index in enumerate(order):
        groups.append([positions[index] - rank * gap, 1])
        while len(groups) > 1 and groups[-2][0] / groups[-2][1] > groups[-1][0] / groups[-1][1]:
            total, members = groups.pop()
            groups[-1] = [groups[-1][0] + total, groups[-1][1] + members]
    last = high - (len(order) - 1) * gap
    starts = [min(max(total / members, low), max(last, low)) for total, members in groups for _ in range(int(members))]
    moved = [0.0] * len(order)
    for rank, index in enumerate(order):
        moved[index] = starts[rank] + rank * gap
    return moved


def label_ends(axes: Axes, labels: Sequence[EndLabel], *, room: float = 0.5) -> None:
    """Write labels to the right of the lines' ends, apart from each other, each with a hairline to its end.

    Call it last: it fixes both limits of the axes. `room` is the width of the labels as a share of the data's width.
    """
    if not labels:
        return
    left, right = axes.get_xlim()
    end = max(label.x for label in labels)
    low, high = axes.get_ylim()
    axes.set_xlim(left, end + room * (right - left))
    axes.set_ylim(low, high)
    figure = axes.get_figure(root=True)
    assert figure is not None
    inches = axes.get_position().height * figure.get_figheight() * 0.82
    gap = 1.18 * LABEL_POINTS / (72 * inches) * (high - low)
    moved = spread_out([label.y for label in labels], gap, low + gap / 2, high - gap / 2)
    start = end + 0.05 * (right - left)
    text = start + 0.05 * (right - left)
    for label, y in zip(labels, moved, strict=True):
        axes.plot([label.x, start, text], [label.y, y, y], color=label.colour, linewidth=0.8, clip_on=False)
        # Ink, not the line's colour: sky blue and orange are too pale for small type.
        place: dict[str, Any] = {"xytext": (2.5, 0), "textcoords": "offset points", "va": "center"}
        box = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.6}
        axes.annotate(label.text, (text, y), color=INK, fontsize=LABEL_POINTS, bbox=box, annotation_clip=False, **place)


def error_bar(axes: Axes, x: float, y: float, low: float, high: float, colour: str, *, upright: bool = True) -> None:
    """An interval or range through a point, drawn without caps."""
    if upright:
        axes.plot([x, x], [low, high], color=colour, linewidth=0.9, alpha=0.55, solid_capstyle="butt")
    else:
        axes.plot([low, high], [y, y], color=colour, linewidth=0.9, alpha=0.55, solid_capstyle="butt")


def zero_line(axes: Axes, *, upright: bool = False) -> None:
    """A line at no change."""
    (axes.axvline if upright else axes.axhline)(0, color=MUTED, linewidth=0.7, zorder=1)
