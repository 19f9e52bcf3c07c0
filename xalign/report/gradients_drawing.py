"""The figures of Table 3 and its companions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xalign.config import LOSSES
from xalign.report.figures import (
    LOSS_COLOURS,
    MUTED,
    PAPER,
    RULE,
    SERIES_COLOURS,
    EndLabel,
    error_bar,
    label_ends,
    panels,
    zero_line,
)
from xalign.report.gradient_study import EMBEDDINGS, INDISTINCT, SHARED, GradientStudy
from xalign.report.language_gradients import average_matrix, languages_of, short
from xalign.report.layout import TASKS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from xalign.report.analyses import Line


def draw_cosines(study: GradientStudy) -> Figure:
    """A panel a task, a row a model: corrected cosine with interval, raw cosine, noise ceiling."""
    models = sorted({m for task in study.tasks for m in study.models(task)}, key=study.order)
    height = 0.8 + 0.19 * len(models)
    figure, axes = panels(1, len(study.tasks), 3.6, height, sharey=True, sharex=True)
    for panel, task in zip(axes, study.tasks, strict=True):
        panel.axvspan(-INDISTINCT, INDISTINCT, color=RULE, alpha=0.55, linewidth=0)
        zero_line(panel, upright=True)
        for y, model in enumerate(models):
            line = study.main(task, model, SHARED)
            if line is not None:
                draw_cosine(panel, y, line, LOSS_COLOURS[model[1]])
        panel.set_title(TASKS.get(task, task))
        panel.set_xlabel("cosine of task and alignment gradients")
        panel.grid(axis="y", visible=False)
        for y in range(1, len(models)):
            if models[y][0] != models[y - 1][0]:
                panel.axhline(y - 0.5, color=RULE, linewidth=0.6)
    axes[0].set_yticks(range(len(models)), [" ".join(model) for model in models])
    axes[0].set_ylim(len(models) - 0.4, -0.6)
    return figure


def draw_cosine(panel: Axes, y: int, line: Line, colour: str) -> None:
    """One model: brackets at ± the noise ceiling, a ring for the raw cosine, a dot and bar for the corrected one."""
    ceiling, raw, value = line["noise_ceiling"], line["cosine"], line["cosine_corrected"]
    if ceiling is not None:
        panel.plot([-ceiling], [y], marker=r"$[$", color=MUTED, markersize=5, linewidth=0)
        panel.plot([ceiling], [y], marker=r"$]$", color=MUTED, markersize=5, linewidth=0)
    if raw is not None:
        panel.plot(raw, y, "o", color=colour, markerfacecolor="none", markersize=4.4, markeredgewidth=0.8)
    if value is not None:
        if line["low"] is not None and line["high"] is not None:
            error_bar(panel, value, y, line["low"], line["high"], colour, upright=False)
        panel.plot(value, y, "o", color=colour)


def draw_layers(study: GradientStudy, task: str) -> Figure:
    """A panel a configuration, a line an aligned pair, over the embedding table and the layers."""
    losses = [loss for loss in LOSSES if any(of == loss for _, of in study.models(task))]
    groups, columns = study.layer_groups, min(4, len(losses))
    figure, axes = panels(-(-len(losses) // columns), columns, 2.55, 2.0, sharey=True)
    ends: dict[int, list[EndLabel]] = {index: [] for index in range(len(axes))}
    for index, loss in enumerate(losses):
        panel = axes[index]
        panel.axhspan(-INDISTINCT, INDISTINCT, color=RULE, alpha=0.55, linewidth=0)
        zero_line(panel)
        for pair, colour in zip(study.pairs, SERIES_COLOURS * len(study.pairs), strict=False):
            lines = [study.main(task, (pair, loss), group) for group in groups]
            ends[index] += draw_profile(panel, lines, pair, colour)
        shown = range(0, len(groups), max(1, len(groups) // 4))
        panel.set_xticks(shown, ["emb" if groups[x] == EMBEDDINGS else groups[x].removeprefix("layer") for x in shown])
        panel.set_xlim(-0.4, len(groups) - 0.6)
        panel.set_title(loss)
        panel.grid(axis="x", visible=False)
        panel.set_xlabel("layer")
        if index % columns == 0:
            panel.set_ylabel("corrected cosine")
    for index, panel in enumerate(axes):
        panel.set_visible(index < len(losses))
        label_ends(panel, ends[index], room=0.32)
    return figure


def draw_profile(panel: Axes, lines: list[Line | None], name: str, colour: str) -> list[EndLabel]:
    """One pair's corrected cosines with intervals; nothing where there is no value. Returns the label of its end."""
    values = [None if line is None else line["cosine_corrected"] for line in lines]
    known = [x for x, value in enumerate(values) if value is not None]
    if not known:
        return []
    for x, line in enumerate(lines):
        if line is not None and line["low"] is not None and line["high"] is not None:
            error_bar(panel, x, line["cosine_corrected"], line["low"], line["high"], colour)
    shown = [float("nan") if value is None else value for value in values]
    panel.plot(range(len(shown)), shown, "-o", color=colour, markersize=2.4, linewidth=1.1)
    return [EndLabel(known[-1], shown[known[-1]], name, colour)]


def draw_languages(study: GradientStudy, task: str, view: str) -> Figure:
    """The matrix of two languages' corrected cosines, each value written in its cell."""
    import numpy as np
    from matplotlib import colormaps

    languages = languages_of(study, task, view)
    matrix = average_matrix(study, task, view)
    found = [[matrix.get((first, second)) for second in languages] for first in languages]
    values = np.array([[np.nan if v is None else v for v in row] for row in found], dtype=float)
    size = max(2.6, 0.36 * len(languages) + 0.9)
    figure, axes = panels(1, 1, size, size)
    # Blue against red is told apart by all common forms of colour blindness; the middle is no agreement.
    colours = colormaps["RdBu"].with_extremes(bad="none")
    shown = np.ma.masked_invalid(values)
    axes[0].pcolormesh(shown, cmap=colours, vmin=-1, vmax=1, edgecolors=PAPER, linewidth=0.6)
    centres = np.arange(len(languages)) + 0.5
    axes[0].set_xticks(centres, languages, rotation=90)
    axes[0].set_yticks(centres, languages)
    axes[0].invert_yaxis()
    axes[0].set_aspect("equal")
    axes[0].grid(visible=False)
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            colour = "#ffffff" if abs(value) > 0.6 else "#000000"
            place: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 6}
            axes[0].text(column + 0.5, row + 0.5, short(float(value)), color=colour, **place)
    return figure
