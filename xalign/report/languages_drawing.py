"""Two hundred languages in one figure: a column an encoder, groups above, below a line for each language by family."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from xalign.data.language_facts import facts
from xalign.data.languages import find
from xalign.report.figures import INK, MUTED, PAPER, RULE, SERIES_COLOURS, zero_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from xalign.report.language_changes import AlignedEncoder, Measured

MOST_COLUMNS = 7  # encoders in one figure: the losses of a pair
GROUP_ROW, LANGUAGE_ROW, COLUMN, LABELS, BLOCKS, MARGIN, GAP = 0.15, 0.095, 1.25, 1.75, 0.85, 0.45, 0.95  # inches
FULL_WIDTH = 7.0  # inches, of the columns, where they are few
SMALL = 5.6  # points, of the names of languages
BAND = 0.35  # opacity behind every other family


def draw_languages(encoders: Sequence[AlignedEncoder]) -> Figure:
    """Changes in points: groups with simultaneous intervals, languages with their own; filled where significant."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    kinds = by_kind(encoders)
    rows = [(kind, name) for kind, names in kinds.items() for name in names]
    families = by_family(encoders)
    codes = [code for members in families.values() for code in members]
    heights = (GROUP_ROW * len(rows), LANGUAGE_ROW * len(codes))
    column = min(max(COLUMN, FULL_WIDTH / len(encoders)), 2 * COLUMN)
    width, height = LABELS + column * len(encoders) + BLOCKS, sum(heights) + 2 * MARGIN + GAP
    figure = Figure(figsize=(width, height))
    place = {"left": LABELS / width, "right": 1 - BLOCKS / width, "top": 1 - MARGIN / height, "bottom": MARGIN / height}
    between = {"height_ratios": heights, "wspace": 0.08, "hspace": 2 * GAP / sum(heights)}
    grid = figure.subplots(2, len(encoders), squeeze=False, sharex="row", sharey="row", gridspec_kw=place | between)
    colours = _colours(families)
    for encoder, above, below in zip(encoders, *grid, strict=True):
        own = {(group.kind, group.name): measured for group, measured in encoder.groups.items()}
        _forest(above, [own.get(row) for row in rows], [INK] * len(rows), size=3.4, simultaneous=True)
        _forest(below, [encoder.languages[c] for c in codes], [colours[c] for c in codes], size=2.2)
        for panel, blocks in ((above, kinds), (below, families)):
            panel.set_title(encoder.name)
            _bands(panel, blocks)
            panel.tick_params(axis="y", length=0)
            panel.grid(visible=False, axis="y")
        below.tick_params(axis="x", top=True, labeltop=True)  # the other end is far away
    grid[0][0].set_yticks(range(len(rows)), [name for _, name in rows], fontsize=6.5)
    grid[1][0].set_yticks(range(len(codes)), [find(code).name for code in codes], fontsize=SMALL)
    for panels, blocks in zip(grid, (kinds, families), strict=True):
        _label_blocks(panels[-1], blocks)
        low, high = panels[0].get_xlim()
        panels[0].set_xlim(min(low, -1), max(high, 1))
        panels[0].xaxis.set_major_locator(MaxNLocator(4, prune="both", steps=[1, 2, 5, 10]))
        panels[len(encoders) // 2].set_xlabel("change in points")
    return figure


def by_kind(encoders: Sequence[AlignedEncoder]) -> dict[str, list[str]]:
    """Names of the groups of any encoder, by kind."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for group in (group for encoder in encoders for group in encoder.groups):
        found[group.kind][group.name] = None
    return {kind: list(names) for kind, names in found.items()}


def by_family(encoders: Sequence[AlignedEncoder]) -> dict[str, list[str]]:
    """Codes by family, largest family first; within one, the largest mean change over the encoders first."""
    found: dict[str, list[str]] = defaultdict(list)
    for code in encoders[0].languages:
        found[facts(find(code)).family].append(code)

    def change(code: str) -> float:
        return float(np.mean([encoder.languages[code].change.estimate for encoder in encoders]))

    ordered = sorted(found, key=lambda family: (-len(found[family]), family))
    return {family: sorted(found[family], key=change, reverse=True) for family in ordered}


def _colours(families: dict[str, list[str]]) -> dict[str, str]:
    """The largest families have colours of their own, the others share one."""
    named = [family for family, members in families.items() if len(members) > 1][: len(SERIES_COLOURS) - 1]
    by_name = dict(zip(named, SERIES_COLOURS, strict=False))
    return {code: by_name.get(family, INK) for family, members in families.items() for code in members}


def _forest(
    panel: Axes, rows: Sequence[Measured | None], colours: Sequence[str], *, size: float, simultaneous: bool = False
) -> None:
    """A point and an interval for each row, the first on top."""
    zero_line(panel, upright=True)
    there = [
        (y, row.change, colour) for y, (row, colour) in enumerate(zip(rows, colours, strict=True)) if row is not None
    ]
    limits = [(c.adjusted_low, c.adjusted_high) if simultaneous else (c.low, c.high) for _, c, _ in there]
    heights, edges = [y for y, _, _ in there], [colour for _, _, colour in there]
    # Collections, because hundreds of single lines take seconds.
    panel.hlines(
        heights, [100 * low for low, _ in limits], [100 * high for _, high in limits], colors=edges, linewidth=0.8,
        alpha=0.5, capstyle="butt",
    )  # fmt: skip
    faces = [colour if change.significant else PAPER for _, change, colour in there]
    estimates = [100 * change.estimate for _, change, _ in there]
    panel.scatter(estimates, heights, s=size**2, c=faces, edgecolors=edges, linewidths=0.6, zorder=3)
    panel.set_ylim(len(rows) - 0.4, -0.6)


def _bands(panel: Axes, blocks: Mapping[str, Sequence[str]]) -> None:
    """A grey ground behind every other block of rows."""
    start = 0
    for number, members in enumerate(blocks.values()):
        if number % 2 == 0:
            panel.axhspan(start - 0.5, start + len(members) - 0.5, color=RULE, alpha=BAND, linewidth=0, zorder=0)
        start += len(members)


def _label_blocks(panel: Axes, blocks: Mapping[str, Sequence[str]]) -> None:
    """The names of the blocks, each beside its first row."""
    start = 0
    for name, members in blocks.items():
        panel.annotate(
            name, (1, start), xycoords=("axes fraction", "data"), xytext=(4, 0), textcoords="offset points",
            va="center", fontsize=SMALL + 0.4, color=MUTED, annotation_clip=False,
        )  # fmt: skip
        start += len(members)
