"""Figure 1: mean cosine distance of translations by layer and model state, of sentences and of words.

States are the base, the aligned encoders, and either of them fine-tuned on a task. Beside each raw distance stands its
normalised form, because distances of unrelated sentences and words differ between states too.
"""

from __future__ import annotations

from functools import partial

from xalign.config import LOSSES
from xalign.report.analyses import Analyses
from xalign.report.averages import BASE_MODEL, mean
from xalign.report.consistency import departures_from_paper
from xalign.report.distance_study import LEVELS, MEASURES, SEEING, STATES, DistanceStudy, study_distances
from xalign.report.figure1_drawing import draw_changes, draw_states
from xalign.report.layout import data_kind
from xalign.report.render import Drawing, Report, Table, Value

COLUMNS = (
    *("level", "layer", "model_state", "loss", "distance", "range_low", "range_high"),
    *("normalised", "nontranslation", "centred", "unseen"),
    *("models", "language_pairs", "encoder", "data"),
)
MODEL_COLUMNS = (
    *("level", "layer", "model_state", "pair", "loss", "distance", "normalised", "nontranslation", "centred", "unseen"),
    *("change", "normalised_change", "align_step", "encoder", "data"),
)
CONTROL = (
    "Non-translations: the same for unrelated sentences or words; normalised: how far translations lie below them, in "
    "their standard deviations: higher is nearer."
)


def figure1(analyses: Analyses, *, step: int | None = None) -> Report:
    """Figure 1, its tables and its data.

    Raises:
        UsageError: no run has that step.
        XalignError: the runs cannot be compared.
    """
    study = study_distances(analyses, step)
    tables = [states_table(study, level, m) for m in MEASURES for level in study.levels if m in study.measures(level)]
    figures = []
    for measure in ("distance", "normalised"):
        for level in study.levels if study.losses else ():
            name = f"figure1-{LEVELS[level]}" + ("-normalised" if measure == "normalised" else "")
            title = f"Figure 1: {MEASURES[measure]} of translated {LEVELS[level]} by layer and model state"
            caption = (
                "One panel a loss configuration; the dashed lines of the base are the same in all. Bars are the range "
                "over aligned models. " + ("Lower is nearer." if measure == "distance" else CONTROL)
            )
            figures.append(Drawing(name, title, caption, partial(draw_states, study, level, measure)))
    if study.alignment_pairs and "base" in study.states:
        figures.append(
            Drawing(
                "figure1-models",
                "Figure 1 by aligned model: change in mean cosine distance against the base",
                "One panel an aligned encoder, before fine-tuning; below zero, alignment brought translations nearer.",
                partial(draw_changes, study),
            )
        )
    tables.append(Table("Notes", (), (), tuple(notes(study))))
    data = {"figure1": cells_data(study), "figure1-models": models_data(study)}
    return Report("figure1", tuple(tables), data, tuple(figures), leading=0)


def states_table(study: DistanceStudy, level: str, measure: str) -> Table:
    """Rows are layers and model states, columns the configurations; a state of the base has one value in all."""
    rows: list[tuple[Value, ...]] = []
    for layer in study.layers:
        for state in study.states:
            if measure == "unseen" and state.endswith("+pos"):
                continue
            cells = [study.cell(level, layer, state, loss, measure) for loss in LOSSES]
            rows.append((f"{layer}  {state}", *(None if cell is None else f"{cell.mean:.3f}" for cell in cells)))
            if any(cell is not None and cell.models > 1 for cell in cells):
                limits = (None if cell is None else f"{cell.low:.3f}–{cell.high:.3f}" for cell in cells)
                rows.append(("  range", *limits))
    count = len(study.language_pairs(level))
    explained = [f"Mean over {count} language pairs, both directions, and aligned models; the range is over models."]
    if measure in ("normalised", "nontranslation"):
        explained.append(CONTROL)
    if level == "sentence" and any(state.endswith(SEEING) for state in study.states) and measure != "unseen":
        explained.append(
            "Topic models have seen sentences of FLORES-200, which are left out for them: compare them with others in "
            "the table of unseen sentences."
        )
    title = study.title(f"Figure 1: {MEASURES[measure]}, {LEVELS[level]}")
    return Table(title, ("layer, state", *LOSSES), tuple(rows), tuple(explained))


def cells_data(study: DistanceStudy) -> Table:
    """One line a level, layer, model state and configuration; a state of the base has no configuration."""
    rows: list[tuple[Value, ...]] = []
    constants = (study.records[0].encoder, data_kind(study.records[0].testbed))
    for level in study.levels:
        count = len(study.language_pairs(level))
        for layer in study.layers:
            for state in study.states:
                for loss in (BASE_MODEL[1],) if state.startswith("base") else study.losses:
                    found = [study.cell(level, layer, state, loss, measure) for measure in MEASURES]
                    distance, *others = found
                    if distance is None:
                        continue
                    numbers = (distance.mean, distance.low, distance.high)
                    means = (part.mean if part else None for part in others)
                    rows.append((level, layer, state, loss, *numbers, *means, distance.models, count, *constants))
    return Table(study.title("Distances by state"), COLUMNS, tuple(rows))


def models_data(study: DistanceStudy) -> Table:
    """One line a level, layer, state and model; changes are those of aligned encoders before fine-tuning."""
    rows: list[tuple[Value, ...]] = []
    steps = {(record.pair, record.loss): record.align_step for record in study.records}
    constants = (study.records[0].encoder, data_kind(study.records[0].testbed))
    for level in study.levels:
        pairs = study.language_pairs(level)
        for layer in study.layers:
            for state in study.states:
                columns = {c: study.values(level, layer, state, c) for c in MEASURES}
                for model in columns["distance"]:
                    values = (mean(v.get(model, {}).get(p) for p in pairs) for v in columns.values())
                    changes: tuple[float | None, ...] = (None, None)
                    if state == "aligned":
                        changes = tuple(study.change(level, layer, model, c) for c in ("distance", "normalised"))
                    rows.append((level, layer, state, *model, *values, *changes, steps[model], *constants))
    return Table(study.title("Distances by model"), MODEL_COLUMNS, tuple(rows))


def notes(study: DistanceStudy) -> list[str]:
    """What holds for all tables and figures of the report."""
    lines = ["Fine-tuned states are in full mode. One alignment seed speaks about checkpoints, not configurations."]
    if missing := [state for state in STATES if state not in study.states]:
        lines.append(f"Not run: {', '.join(missing)}.")
    if study.left_out:
        lines.append(f"Left out: encoders after {', '.join(map(str, study.left_out))} alignment steps.")
    if departures := departures_from_paper(study.records):
        lines.append(f"Differs from the paper's setup: {'; '.join(departures)}.")
    return [*lines, *map(str, study.analyses.unfinished)]
