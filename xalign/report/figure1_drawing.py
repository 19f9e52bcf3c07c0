"""The figures of Figure 1: distances by layer and model state, and changes by aligned model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xalign.report.averages import Spread
from xalign.report.distance_study import LEVELS, MEASURES, DistanceStudy
from xalign.report.figures import (
    BLUE,
    INK,
    LOSS_COLOURS,
    VERMILLION,
    EndLabel,
    error_bar,
    label_ends,
    panels,
    zero_line,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TASK_COLOURS = {"": INK, "pos": VERMILLION, "topic": BLUE}
NUDGE = 0.03  # positions on the layer axis, so that the bars of several states do not hide each other


def draw_states(study: DistanceStudy, level: str, measure: str) -> Figure:
    """A panel a configuration; colour is the task fine-tuned on, dashes and open dots the base."""
    losses = study.losses
    columns = min(4, len(losses))
    figure, axes = panels(-(-len(losses) // columns), columns, 2.55, 2.15, sharey=True)
    labels: dict[int, list[EndLabel]] = {index: [] for index in range(len(losses))}
    for index, loss in enumerate(losses):
        for rank, state in enumerate(study.states):
            start, _, task = state.partition("+")
            colour = TASK_COLOURS.get(task, INK)
            line = [study.cell(level, layer, state, loss, measure) for layer in study.layers]
            shift = NUDGE * (rank - 2.5)
            labels[index] += draw_line(axes[index], line, state, colour, dashed=start == "base", shift=shift)
        finish_layers(axes[index], study.layers, loss)
    for index, panel in enumerate(axes):
        panel.set_visible(index < len(losses))
        label_ends(panel, labels.get(index, []), room=0.75)
        if index % columns == 0:
            panel.set_ylabel(f"{MEASURES[measure]}, {LEVELS[level]}")
    return figure


def draw_changes(study: DistanceStudy) -> Figure:
    """A row a level, a panel an aligned pair: the change against the base of each configuration, by layer."""
    pairs, levels = study.alignment_pairs, study.levels
    figure, axes = panels(len(levels), len(pairs), 2.55, 2.15, sharey="row")
    labels: dict[int, list[EndLabel]] = {index: [] for index in range(len(axes))}
    for index, panel in enumerate(axes):
        level, pair = levels[index // len(pairs)], pairs[index % len(pairs)]
        zero_line(panel)
        for loss in study.losses:
            changes = [study.change(level, layer, (pair, loss), "distance") for layer in study.layers]
            line = [None if change is None else Spread(change, change, change, 1) for change in changes]
            labels[index] += draw_line(panel, line, loss, LOSS_COLOURS[loss])
        finish_layers(panel, study.layers, f"{pair}, {LEVELS[level]}")
        if index % len(pairs) == 0:
            panel.set_ylabel("change in cosine distance")
    for index, panel in enumerate(axes):
        label_ends(panel, labels[index], room=0.6)
    return figure


def draw_line(
    panel: Axes, line: list[Spread | None], name: str, colour: str, *, dashed: bool = False, shift: float = 0.0
) -> list[EndLabel]:
    """Draw means and ranges over the layers' positions, and return the label of the line's end."""
    points = [(x + shift, value) for x, value in enumerate(line) if value is not None]
    if not points:
        return []
    for x, value in points:
        if value.models > 1:
            error_bar(panel, x, value.mean, value.low, value.high, colour)
    xs, ys = [x for x, _ in points], [value.mean for _, value in points]
    style, fill = ("--", "none") if dashed else ("-", colour)
    panel.plot(xs, ys, style, color=colour, marker="o", markerfacecolor=fill, zorder=2 if dashed else 3)
    return [EndLabel(xs[-1], ys[-1], name, colour)]


def finish_layers(panel: Axes, layers: list[int], title: str) -> None:
    """Title, and layers as evenly spaced positions."""
    panel.set_title(title)
    panel.set_xticks(range(len(layers)), [f"{layer}" for layer in layers])
    panel.set_xlabel("k of hidden_states[k]")
    panel.grid(axis="x", visible=False)
