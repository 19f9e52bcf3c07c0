"""Beyond Table 3: agreement of gradients by layer and between languages, and what one alignment step does to a task."""

from __future__ import annotations

from functools import partial

from xalign.config import LOSSES
from xalign.report.analyses import Analyses
from xalign.report.averages import mean
from xalign.report.gradient_study import (
    LANGUAGES_BY_MLM,
    LANGUAGES_BY_TASK,
    GradientStudy,
    study_gradients,
)
from xalign.report.gradients_drawing import draw_languages, draw_layers
from xalign.report.language_gradients import average_matrix, languages_of, short
from xalign.report.layout import TASKS
from xalign.report.render import Drawing, Report, Table, Value
from xalign.report.table3 import constants, notes

VIEWS = {LANGUAGES_BY_TASK: "task gradients", LANGUAGES_BY_MLM: "masked-LM gradients"}
LAYER_COLUMNS = (
    *("task", "pair", "loss", "first", "second", "group", "cosine_corrected", "low", "high", "cosine"),
    *("noise_ceiling", "align_step", "encoder", "data"),
)
LANGUAGE_COLUMNS = (
    *("view", "task", "pair", "loss", "first", "second", "group", "cosine_corrected", "low", "high", "cosine"),
    *("noise_ceiling", "magnitude_similarity", "align_step", "encoder", "data"),
)
LOOKAHEAD_COLUMNS = (
    *("task", "pair", "loss", "language", "step_size", "loss_before", "loss_after", "change", "low", "high"),
    *("align_step", "encoder", "data"),
)


def gradients(analyses: Analyses, *, step: int | None = None) -> Report:
    """Layers, languages, lookahead.

    Raises:
        UsageError: no run has that step.
        XalignError: the runs cannot be compared.
    """
    study = study_gradients(analyses, step)
    tables: list[Table] = []
    figures: list[Drawing] = []
    for task in study.tasks:
        if study.layer_groups:
            tables.append(layers_table(study, task))
            figures.append(
                Drawing(
                    f"gradients-layers-{task}",
                    f"Corrected cosine of task and alignment gradients by layer: {TASKS.get(task, task)}",
                    "One panel a configuration, one line an aligned pair, with 95 % intervals; emb: the embedding "
                    "table. Lines end where a loss does not reach, and have gaps where nothing is detectable.",
                    partial(draw_layers, study, task),
                )
            )
    for view, name in VIEWS.items():
        for task in study.tasks:
            if languages_of(study, task, view):
                tables.append(languages_table(study, task, view))
                figures.append(
                    Drawing(
                        f"gradients-{view}-{task}",
                        f"Corrected cosine of {name} of two languages: heads of {TASKS.get(task, task)}",
                        f"Mean over {len(study.models(task))} aligned models, over shared parameters; an empty cell is "
                        "not detectable in any of them.",
                        partial(draw_languages, study, task, view),
                    )
                )
    tables += [table for task in study.tasks if (table := lookahead_table(study, task)) is not None]
    tables.append(Table("Notes", (), (), tuple(notes(study))))
    data = {
        "gradients-layers": layers_data(study),
        "gradients-languages": languages_data(study),
        "gradients-lookahead": lookahead_data(study),
    }
    return Report("gradients", tuple(tables), data, tuple(figures), leading=len(study.tasks))


def layers_table(study: GradientStudy, task: str) -> Table:
    """A row a parameter group: the mean over pairs of the corrected cosine of each configuration."""
    rows: list[tuple[Value, ...]] = []
    for group in study.layer_groups:
        cells = []
        for loss in LOSSES:
            lines = [study.main(task, (pair, loss), group) for pair in study.pairs]
            cells.append(mean(line["cosine_corrected"] for line in lines if line is not None))
        rows.append((group, *(None if cell is None else f"{cell:+.3f}" for cell in cells)))
    title = study.title(f"Gradients by layer: {TASKS.get(task, task)} against alignment, corrected cosine")
    explained = ("Mean over aligned pairs. – : out of a loss's reach, not detectable, or not run.",)
    return Table(title, ("parameters", *LOSSES), tuple(rows), explained)


def languages_table(study: GradientStudy, task: str, view: str) -> Table:
    """Languages by languages: the corrected cosine, mean over models."""
    languages = languages_of(study, task, view)
    matrix = average_matrix(study, task, view)
    rows: list[tuple[Value, ...]] = []
    for first in languages:
        cells = (matrix.get((first, second)) for second in languages)
        rows.append((first, *(None if cell is None else short(cell) for cell in cells)))
    explained = ["Over shared parameters; mean over aligned models."]
    if view == LANGUAGES_BY_MLM:
        explained.append(
            "Checkpoints that were trained without M have a stale masked-LM head: here it is refitted on the frozen "
            "encoder; the CSV has both (@stale, @refitted)."
        )
    title = study.title(f"Gradients of languages: {VIEWS[view]}, heads of {TASKS.get(task, task)}, corrected cosine")
    return Table(title, ("language", *languages), tuple(rows), tuple(explained))


def lookahead_table(study: GradientStudy, task: str) -> Table | None:
    """What one alignment step does to the task loss: a row a model, a column a language; None without any."""
    languages = list(
        dict.fromkeys(line["language"] for model in study.models(task) for line in study.lookahead(task, model))
    )
    rows: list[tuple[Value, ...]] = []
    for model in study.models(task):
        lines = {line["language"]: line for line in study.lookahead(task, model)}
        if lines:
            rows.append((" ".join(model), *(lookahead_cell(lines.get(language)) for language in languages)))
    if not rows:
        return None
    title = study.title(f"Lookahead: {TASKS.get(task, task)}, change of the task loss × 1,000 after one alignment step")
    explained = ("Below zero the step helps. In brackets the interval.",)
    return Table(title, ("model", *languages), tuple(rows), explained)


def lookahead_cell(line: dict[str, Value] | None) -> str | None:
    """A change of the loss in thousandths, with its interval."""
    if line is None or line["change"] is None:
        return None
    change, low, high = (None if line[name] is None else 1000 * line[name] for name in ("change", "low", "high"))  # type: ignore[operator]
    limits = "" if low is None or high is None else f" [{low:+.2f}, {high:+.2f}]"
    return f"{change:+.2f}{limits}"


def layers_data(study: GradientStudy) -> Table:
    """One line a task, model and layer (or the embeddings)."""
    rows: list[tuple[Value, ...]] = []
    for task in study.tasks:
        for model in study.models(task):
            for group in study.layer_groups:
                for line in study.alignment_lines(task, model, group):
                    numbers = (line[name] for name in LAYER_COLUMNS[3:11])
                    rows.append((task, *model, *numbers, study.steps[task, model], *constants(study)))
    return Table(study.title("Gradients by layer"), LAYER_COLUMNS, tuple(rows))


def languages_data(study: GradientStudy) -> Table:
    """One line a view, task, model, pair of languages and parameter group."""
    rows: list[tuple[Value, ...]] = []
    for view in VIEWS:
        for task in study.tasks:
            for model in study.models(task):
                for line in study.lines(task, model, view):
                    numbers = (line[name] for name in LANGUAGE_COLUMNS[4:13])
                    rows.append((view, task, *model, *numbers, study.steps[task, model], *constants(study)))
    return Table(study.title("Gradients of languages"), LANGUAGE_COLUMNS, tuple(rows))


def lookahead_data(study: GradientStudy) -> Table:
    """One line a task, model and language."""
    rows: list[tuple[Value, ...]] = []
    for task in study.tasks:
        for model in study.models(task):
            for line in study.lookahead(task, model):
                numbers = (line[name] for name in LOOKAHEAD_COLUMNS[3:10])
                rows.append((task, *model, *numbers, study.steps[task, model], *constants(study)))
    return Table(study.title("Lookahead"), LOOKAHEAD_COLUMNS, tuple(rows))
