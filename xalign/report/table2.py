"""Table 2 and appendix C: what alignment changes in sentence retrieval, by group of language pairs.

A cell is the mean over the aligned models of the change against the base, both directions averaged, with the range
over the models. Beside the raw cosine stand what it is worth against unrelated sentences, and recall.
"""

from __future__ import annotations

from functools import partial

from xalign.config import LOSSES
from xalign.report.analyses import Analyses
from xalign.report.averages import BASE_MODEL, Model, Values, across_models, changes
from xalign.report.render import Drawing, Report, Table, Value
from xalign.report.retrieval import (
    CENTRED,
    COSINE,
    OTHER_GROUP,
    SEPARATION,
    Measure,
    RetrievalStudy,
    change_rows,
    notes,
    recall,
    study_retrieval,
)
from xalign.report.retrieval_details import (
    draw_groups,
    groups_data,
    measures_table,
    models_data,
    relations_data,
    relations_table,
)

ALL_PAIRS = "mean over all pairs"


def table2(analyses: Analyses, *, step: int | None = None) -> Report:
    """Table 2: changes in cosine by group, with the controls beside it.

    Raises:
        UsageError: no run has that step.
        XalignError: the runs cannot be compared.
    """
    study = study_retrieval(analyses, step)
    measures = (COSINE, SEPARATION, CENTRED, recall(1))
    tables = [groups_table(study, "Table 2", measure) for measure in measures]
    tables += [pairs_table(study, "Table 2", COSINE), relations_table(study, "Table 2", COSINE), measures_table(study)]
    tables.append(Table("Notes", (), (), tuple(notes(study))))
    figures = tuple(
        Drawing(
            f"table2-{name}",
            f"Table 2 as a figure: change in {measure.title}",
            "Dots are means over the aligned models, bars the range over them, one panel a group of language pairs; "
            "right of zero, alignment raised it.",
            partial(draw_groups, study, measure),
        )
        for name, measure in (("cosine", COSINE), ("separation", SEPARATION))
        if study.alignment_pairs
    )
    data = {
        "table2": groups_data(study, measures),
        "table2-models": models_data(study, measures),
        "table2-relations": relations_data(study, measures),
    }
    return Report("table2", tuple(tables), data, figures, leading=2)


def table_c(analyses: Analyses, k: int, *, step: int | None = None) -> Report:
    """Appendix C: the same for recall at `k`, which is 5 or 10."""
    study = study_retrieval(analyses, step)
    name, measure = f"tableC-top{k}", recall(k)
    title = f"Table C (top {k})"
    tables = (
        *(part(study, title, measure) for part in (groups_table, pairs_table, relations_table)),
        Table("Notes", (), (), tuple(notes(study))),
    )
    data = {name: groups_data(study, (measure,)), f"{name}-models": models_data(study, (measure,))}
    return Report(name, tables, data)


def groups_table(study: RetrievalStudy, name: str, measure: Measure) -> Table:
    """One row a group and one for all pairs, the seven configurations as columns."""
    models = changes(study.values(measure))
    rows: list[tuple[Value, ...]] = []
    for group, pairs in (*study.groups.items(), (ALL_PAIRS, study.language_pairs)):
        rows += change_rows(group, (across_models(models, loss, pairs) for loss in LOSSES), measure)
    title = study.title(f"{name}: change in {measure.title}, hidden_states[{study.layer}]")
    return Table(title, ("language pairs", *LOSSES), tuple(rows), tuple(cell_notes(study, models)))


def pairs_table(study: RetrievalStudy, name: str, measure: Measure) -> Table:
    """One row a language pair, with the base's own value."""
    values = study.values(measure)
    models, base = changes(values), values.get(BASE_MODEL, {})
    rows: list[tuple[Value, ...]] = []
    for group, pairs in study.groups.items():
        for pair in pairs:
            cells = [across_models(models, loss, [pair]) for loss in LOSSES]
            shown = (None if cell is None else measure.change(cell.mean) for cell in cells)
            own = base.get(pair)
            rows.append((f"{group[0] if group != OTHER_GROUP else '–'}  {pair}", number(own, measure), *shown))
    title = study.title(f"{name}: change in {measure.title} by language pair, hidden_states[{study.layer}]")
    return Table(title, ("group, pair", "base", *LOSSES), tuple(rows), ("The range over models is in the CSV.",))


def number(value: float | None, measure: Measure) -> str | None:
    """A value, not a change, in the units of the measure."""
    return None if value is None else f"{measure.factor * value:.{measure.decimals}f}"


def cell_notes(study: RetrievalStudy, models: dict[Model, Values]) -> list[str]:
    """What one cell averages."""
    if not models:
        return ["The base is missing: changes cannot be computed."]
    count = len(study.alignment_pairs)
    return [
        f"Mean over {count} aligned model{'s' * (count > 1)} ({', '.join(study.alignment_pairs)}) of the change "
        "against the base, both directions averaged" + ("; the range is over models." if count > 1 else "."),
        "A change in raw cosine alone is no evidence of alignment: separation and the centred cosine are its controls.",
    ]
