"""The companions of Table 2: relation to the model's own pair, weak and strong alignment, tidy data, the figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xalign.config import LOSSES
from xalign.report.averages import BASE_MODEL, RELATIONS, Model, Values, across_models, changes, mean, relation
from xalign.report.figures import LOSS_COLOURS, error_bar, panels, zero_line
from xalign.report.render import Table, Value
from xalign.report.retrieval import Measure, RetrievalStudy, change_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EVERY_MEASURE = ("nn_weak", "nn_strong", "nn_weak_csls", "margin", "auc", "xsim")
GROUP_COLUMNS = (
    *("measure", "group", "loss", "base", "change", "range_low", "range_high", "models", "language_pairs"),
    *("layer", "encoder", "data"),
)
MODEL_COLUMNS = (
    *("measure", "group", "language_pair", "pair", "loss", "relation", "base", "value", "change", "layer"),
    *("align_step", "encoder", "data"),
)
RELATION_COLUMNS = (
    *("measure", "relation", "loss", "change", "range_low", "range_high", "models", "layer", "encoder", "data"),
)


def relations_table(study: RetrievalStudy, name: str, measure: Measure) -> Table:
    """The same changes sorted by what the language pair has to do with each model's own alignment pair."""
    models = changes(study.values(measure))
    rows: list[tuple[Value, ...]] = []
    for related in RELATIONS:
        cells = (across_models(restricted(models, related, study.language_pairs), loss, study.language_pairs)
                 for loss in LOSSES)  # fmt: skip
        rows += change_rows(related, cells, measure)
    title = study.title(f"{name}: change in {measure.title}, by relation to the model's own pair")
    return Table(title, ("language pair", *LOSSES), tuple(rows))


def restricted(models: dict[Model, Values], related: str, pairs: list[str]) -> dict[Model, Values]:
    """Each model with only those language pairs that have this relation to its alignment pair."""
    return {
        model: {pair: values[pair] for pair in pairs if pair in values and relation(model[0], pair) == related}
        for model, values in models.items()
    }


def measures_table(study: RetrievalStudy) -> Table:
    """Weak and strong alignment: the base, then each configuration's mean over models, averaged over all pairs."""
    measures = [Measure("retrieval", column, column) for column in EVERY_MEASURE]
    if any("graded" in record.lines for record in study.records):
        measures.append(Measure("graded", "rho_weak", "ρ-weak"))
    rows: list[tuple[Value, ...]] = []
    for measure in measures:
        models = study.values(measure)
        base = mean(models.get(BASE_MODEL, {}).values())
        cells = [across_models(models, loss, study.language_pairs) for loss in LOSSES]
        rows.append((measure.title, base, *(None if cell is None else cell.mean for cell in cells)))
    title = study.title(f"Table 2: weak and strong alignment, mean over all pairs, hidden_states[{study.layer}]")
    explained = (
        "nn_weak: the translation is nearer than every other sentence of the target language; nn_strong: of both "
        "languages; csls: with hubness corrected. margin: γ of (ε,γ)-strong alignment. auc: translations against "
        "non-translations. xsim: LASER's error rate, lower is better. ρ-weak: correlation with graded equivalence.",
    )
    return Table(title, ("measure", "base", *LOSSES), tuple(rows), explained)


def groups_data(study: RetrievalStudy, measures: tuple[Measure, ...]) -> Table:
    """One line a measure, group and configuration; changes in the measure's own unit, not in points."""
    rows: list[tuple[Value, ...]] = []
    for measure in measures:
        values = study.values(measure)
        models, base = changes(values), values.get(BASE_MODEL, {})
        for group, pairs in (*study.groups.items(), ("all", study.language_pairs)):
            own = mean(base.get(pair) for pair in pairs)
            for loss in LOSSES:
                cell = across_models(models, loss, pairs)
                found = (cell.mean, cell.low, cell.high, cell.models) if cell else (None, None, None, 0)
                rows.append((measure.key, group, loss, own, *found, len(pairs), *study.constants))
    return Table(study.title("Changes by group"), GROUP_COLUMNS, tuple(rows))


def models_data(study: RetrievalStudy, measures: tuple[Measure, ...]) -> Table:
    """One line a measure, language pair and aligned model: the base, the model, the change."""
    rows: list[tuple[Value, ...]] = []
    steps = {(record.pair, record.loss): record.align_step for record in study.records}
    for measure in measures:
        values = study.values(measure)
        base = values.get(BASE_MODEL, {})
        for model in (m for p in study.alignment_pairs for loss in LOSSES if (m := (p, loss)) in values):
            for group, pairs in study.groups.items():
                for pair in pairs:
                    value, own = values[model].get(pair), base.get(pair)
                    change = None if value is None or own is None else value - own
                    place = (measure.key, group, pair, *model, relation(model[0], pair))
                    layer, *constants = study.constants
                    rows.append((*place, own, value, change, layer, steps[model], *constants))
    return Table(study.title("Changes by model"), MODEL_COLUMNS, tuple(rows))


def relations_data(study: RetrievalStudy, measures: tuple[Measure, ...]) -> Table:
    """One line a measure, relation and configuration."""
    rows: list[tuple[Value, ...]] = []
    for measure in measures:
        models = changes(study.values(measure))
        for related in RELATIONS:
            some = restricted(models, related, study.language_pairs)
            for loss in LOSSES:
                cell = across_models(some, loss, study.language_pairs)
                found = (cell.mean, cell.low, cell.high, cell.models) if cell else (None, None, None, 0)
                rows.append((measure.key, related, loss, *found, *study.constants))
    return Table(study.title("Changes by relation"), RELATION_COLUMNS, tuple(rows))


def draw_groups(study: RetrievalStudy, measure: Measure) -> Figure:
    """A panel a group: the change of each configuration, a bar for the range and a tick for every model."""
    models = changes(study.values(measure))
    groups = study.groups
    columns = min(4, len(groups))
    figure, axes = panels(-(-len(groups) // columns), columns, 2.3, 1.75, sharex=True, sharey=True)
    for index, (group, pairs) in enumerate(groups.items()):
        panel = axes[index]
        zero_line(panel, upright=True)
        for y, loss in enumerate(LOSSES):
            cell = across_models(models, loss, pairs)
            if cell is None:
                continue
            colour = LOSS_COLOURS[loss]
            error_bar(panel, cell.mean, y, cell.low, cell.high, colour, upright=False)
            for (_, of), values in models.items():
                own = mean(values.get(pair) for pair in pairs) if of == loss else None
                if own is not None:
                    panel.plot(own, y, "|", color=colour, markersize=4, alpha=0.7)
            panel.plot(cell.mean, y, "o", color=colour)
        panel.set_title(group)
        panel.set_yticks(range(len(LOSSES)), LOSSES)
        panel.grid(axis="y", visible=False)
        panel.tick_params(labelbottom=index >= len(groups) - columns)
    axes[0].set_ylim(len(LOSSES) - 0.5, -0.5)
    for panel in axes[len(groups) :]:
        panel.set_visible(False)
    figure.supxlabel(f"change in {measure.title}", fontsize=8)
    return figure
