"""Gain beside cost: for each task and mode a line a method, its changes on the left and its training time on the right.

A scatter of the two would hide its own labels as soon as there are a dozen methods.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from xalign.report.comparisons import Interval
from xalign.report.figures import BLUE, MUTED, PAPER, VERMILLION, error_bar, zero_line
from xalign.report.layout import block_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from xalign.report.compare import Compared

MEAN, TARGET = "mean", "target"
ROW, HEADER, WIDTH = 0.17, 0.75, 7.2  # inches
COLOURS = {MEAN: BLUE, TARGET: VERMILLION}
OFFSET = {MEAN: -0.14, TARGET: 0.14}  # of a row, so that a method's two intervals do not hide each other


def draw_gain_and_cost(blocks: dict[tuple[str, str], list[Compared]]) -> Figure:
    """Changes in points with intervals, and seconds of training on a logarithmic scale; best mean change on top."""
    from matplotlib.figure import Figure

    changed = {place: [row for row in rows if row.change] for place, rows in blocks.items()}
    kept = {place: rows for place, rows in changed.items() if rows}
    heights = [HEADER + ROW * len(rows) for rows in kept.values()] or [HEADER]
    figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
    if not kept:
        figure.text(0.5, 0.5, "no method has a reference to be compared with", ha="center", color=MUTED)
        return figure
    grid = figure.subplots(
        len(kept), 2, squeeze=False, gridspec_kw={"height_ratios": heights, "width_ratios": (3, 1)}, sharey="row"
    )
    for (gains, costs), (place, rows) in zip(grid, kept.items(), strict=True):
        ordered = sorted(rows, key=lambda row: _best(row).estimate)
        _draw_gains(gains, ordered, block_name(*place))
        _draw_costs(costs, ordered)
    return figure


def _best(row: Compared) -> Interval:
    """What a method is ranked by: its mean change, or where it was tested in one language, the change there."""
    return row.change.get(MEAN) or row.change[TARGET]


def _draw_gains(panel: Axes, rows: list[Compared], title: str) -> None:
    panel.set_title(title)
    zero_line(panel, upright=True)
    for what, colour in COLOURS.items():
        for y, row in enumerate(rows):
            alone = len(row.method.records[0].languages) == 1  # then mean and target are the same
            if (change := row.change.get(what)) is None or (what == MEAN and alone):
                continue
            x, low, high = (100 * value for value in (change.estimate, change.low, change.high))
            error_bar(panel, x, y + OFFSET[what], low, high, colour, upright=False)
            panel.plot([x], [y + OFFSET[what]], "o", color=colour, markerfacecolor=colour if what == MEAN else PAPER)
    panel.set_yticks(range(len(rows)), [row.method.name for row in rows])
    panel.set_ylim(-0.6, len(rows) - 0.4)
    panel.set_xlabel("change in points: mean (filled), target (hollow)")


def _draw_costs(panel: Axes, rows: list[Compared]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    panel.set_xscale("log")
    known = [(y, row.method.cost.seconds) for y, row in enumerate(rows) if row.method.cost.seconds]
    panel.plot([seconds for _, seconds in known], [y for y, _ in known], "o", color=MUTED)
    panel.xaxis.set_major_locator(LogLocator(subs=(1,)))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds:,.0f}"))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.tick_params(axis="y", length=0)
    panel.set_xlabel("seconds of training")
    if known:
        seconds = [value for _, value in known]
        panel.set_xlim(10 ** _decade(min(seconds)), 10 ** (_decade(max(seconds)) + 1))


def _decade(seconds: float) -> int:
    return math.floor(math.log10(seconds))
