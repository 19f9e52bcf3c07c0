"""Table 3: how the gradients of a task agree with those of the alignment objective, for each aligned model.

The main column is the corrected cosine over the parameters that both losses reach. Raw cosines of different tasks are
not comparable: the noise ceiling says how large one could be at most.
"""

from __future__ import annotations

from functools import partial

from xalign.config import LOSSES
from xalign.report.analyses import Analyses
from xalign.report.averages import Model
from xalign.report.consistency import departures_from_paper
from xalign.report.gradient_study import ALL, INDISTINCT, MAIN, SHARED, GradientStudy, study_gradients
from xalign.report.gradients_drawing import draw_cosines
from xalign.report.layout import INTERVAL_ROW, TASKS, data_kind
from xalign.report.render import Drawing, Report, Table, Value

CEILING_ROW = "  ceiling"
COLUMNS = (
    *("task", "pair", "loss", "first", "second", "group", "cosine_corrected", "low", "high", "cosine"),
    *("noise_ceiling", "r_first", "r_second", "norm_first", "norm_second", "magnitude_similarity", "reach"),
    *("orthogonal", "align_step", "encoder", "data"),
)
NUMBERS = COLUMNS[6:16]


def table3(analyses: Analyses, *, step: int | None = None) -> Report:
    """Table 3, in the paper's shape and in full.

    Raises:
        UsageError: no run has that step.
        XalignError: the runs cannot be compared.
    """
    study = study_gradients(analyses, step)
    tables = [paper_table(study, task) for task in study.tasks]
    tables += [full_table(study, task) for task in study.tasks]
    tables.append(Table("Notes", (), (), tuple(notes(study))))
    figures = (
        Drawing(
            "table3",
            "Table 3 as a figure: corrected cosine of task and alignment gradients",
            "Dots are corrected cosines over the parameters that both losses reach, bars their 95 % jackknife "
            "intervals, rings raw cosines, and brackets the noise ceiling on both sides of zero. An interval inside "
            f"the grey band (±{INDISTINCT}) means orthogonal.",
            partial(draw_cosines, study),
        ),
    )
    return Report("table3", tuple(tables), {"table3": data(study)}, figures, leading=len(study.tasks))


def corrected(line: dict[str, Value] | None) -> str | None:
    """The corrected cosine, always with its sign."""
    value = None if line is None else line["cosine_corrected"]
    return None if value is None else f"{value:+.3f}"


def limits(line: dict[str, Value] | None) -> str | None:
    """The jackknife interval of the corrected cosine."""
    if line is None or line["low"] is None or line["high"] is None:
        return None
    return f"[{line['low']:+.2f}, {line['high']:+.2f}]"


def paper_table(study: GradientStudy, task: str) -> Table:
    """A row a pair, the configurations as columns; under each its interval and noise ceiling."""
    rows: list[tuple[Value, ...]] = []
    for pair in study.pairs:
        lines = [study.main(task, (pair, loss), SHARED) for loss in LOSSES]
        rows.append((pair, *map(corrected, lines)))
        if any(map(limits, lines)):
            rows.append((INTERVAL_ROW, *map(limits, lines)))
        ceilings = [None if line is None else line["noise_ceiling"] for line in lines]
        if any(ceilings):
            rows.append((CEILING_ROW, *(None if c is None else f"{c:.2f}" for c in ceilings)))
    title = study.title(f"Table 3: {TASKS.get(task, task)}, corrected cosine of task and alignment gradients")
    explained = (
        "Task loss on English dev against alignment loss on held-out pairs, over the parameters that both reach.",
        "– : not run, or not detectable (blocks of one loss do not agree with each other). Ceiling: what the cosine of "
        "one block of each could be at most.",
    )
    return Table(title, ("model", *LOSSES), tuple(rows), explained)


def full_table(study: GradientStudy, task: str) -> Table:
    """A row a model: the corrected cosine, what it is made from, and the same over all parameters."""
    rows: list[tuple[Value, ...]] = []
    for model in study.models(task):
        for line in study.alignment_lines(task, model, SHARED):
            every = study.matching(task, model, ALL, line)
            moved = study.updates(task, model, line)
            verdict = "yes" if study.orthogonal(line) else "no"
            rows.append(
                (
                    " ".join(model),
                    f"{line['first']} × {line['second']}",
                    *(corrected(line), limits(line), line["cosine"], line["noise_ceiling"], line["r_first"]),
                    *(line["r_second"], line["magnitude_similarity"], corrected(every), corrected(moved), verdict),
                )
            )
    columns = (
        *("model", "gradients", "corrected", "interval", "raw", "ceiling", "r task", "r align"),
        *("magnitude", "all parameters", "updates", "orthogonal"),
    )
    explained = (
        "All parameters: layers that one loss cannot reach count as orthogonal, so S and W look orthogonal by "
        f"construction. Orthogonal: the interval lies inside ±{INDISTINCT}. r: mean cosine of two blocks of one loss. "
        "Magnitude: similarity of the norms, 1 if equal. Updates: corrected, of Adam's updates. @train: training data.",
    )
    title = study.title(f"Table 3: {TASKS.get(task, task)}, each aligned model in full")
    return Table(title, columns, tuple(rows), explained)


def data(study: GradientStudy) -> Table:
    """One line a task, model and parameter group of the view of task against alignment."""
    rows: list[tuple[Value, ...]] = []
    for task in study.tasks:
        for model in study.models(task):
            for line in study.lines(task, model, MAIN):
                place = (task, *model, line["first"], line["second"], line["group"])
                verdict = "yes" if study.orthogonal(line) else "no"
                numbers = (line[name] for name in (*NUMBERS, "reach"))
                rows.append((*place, *numbers, verdict, study.steps[task, model], *constants(study)))
    return Table(study.title("Table 3"), COLUMNS, tuple(rows))


def constants(study: GradientStudy) -> tuple[Value, Value]:
    """Encoder and data: the last columns of tidy tables."""
    return study.records[0].encoder, data_kind(study.records[0].testbed)


def notes(study: GradientStudy) -> list[str]:
    """What holds for all tables of the report."""
    lines = ["Gradients in evaluation mode, without dropout; heads trained on the frozen encoder. A claim is about "
             "these checkpoints unless there are several alignment seeds."]  # fmt: skip
    missing: list[str] = []
    known: set[Model] = {model for task in study.tasks for model in study.models(task)}
    for task in study.tasks:
        missing += [f"{task}/{'/'.join(model)}" for model in sorted(known - set(study.models(task)))]
    if missing:
        lines.append(f"Not run: {', '.join(missing)}.")
    if study.left_out:
        lines.append(f"Left out: encoders after {', '.join(map(str, study.left_out))} alignment steps.")
    if study.other_seeds:
        lines.append(f"Other alignment seeds are left out of tables: {', '.join(study.other_seeds)}.")
    if departures := departures_from_paper(study.records):
        lines.append(f"Differs from the paper's setup: {'; '.join(departures)}.")
    return [*lines, *map(str, study.analyses.unfinished)]
