"""All methods in one table: accuracy by language, change with interval, and what each costs.

Every change is paired with the method's own reference (`xalign.report.methods`), over sentences and, where both have
the same, over seeds; one max-T family holds all mean and target changes of the report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from xalign.report.compare_drawing import draw_gain_and_cost
from xalign.report.comparisons import Interval, intervals
from xalign.report.estimates import ENGLISH, CellAccuracy, draw_sentences, estimate_cell
from xalign.report.layout import MODES, TASKS, block_name, data_kind, limits, points, rank, signed, titled
from xalign.report.method_costs import Cost
from xalign.report.methods import Method, collect_methods
from xalign.report.render import Drawing, Report, Table, Value
from xalign.report.statistics import DRAWS, LEVEL, SEED

MEAN, OTHERS, TARGET = "mean", "without English", "target"
FAMILY = (MEAN, OTHERS, TARGET)  # what one max-T family holds
COLUMNS = (
    *("task", "mode", "method", "reference", "language", "accuracy", "change", "low", "high", "adjusted_low"),
    *("adjusted_high", "p_holm", "parameters", "seconds", "translations", "seeds", "encoder", "data"),
)


@dataclass(frozen=True)
class Compared:
    """A method with its accuracies: `change` has intervals by language code, `MEAN` and `TARGET`."""

    method: Method
    accuracy: dict[str, float]
    change: dict[str, Interval]


def compare_methods(runs: Path, *, draws: int = DRAWS, seed: int = SEED) -> Report:
    """Make the comparison of all methods that were tested below `runs`.

    Raises:
        UsageError: nothing was tested.
        XalignError: runs that are broken, stale, or not comparable.
    """
    found = compared(collect_methods(runs), draws=draws, seed=seed)
    encoder = found[0].method.records[0].encoder
    testbed = found[0].method.records[0].testbed
    places = sorted(
        {(row.method.task, row.method.mode) for row in found},
        key=lambda place: (rank(place[0], TASKS), rank(place[1], MODES)),
    )
    blocks = {place: [row for row in found if (row.method.task, row.method.mode) == place] for place in places}
    title = titled("Methods", encoder, testbed)
    leading = [main_table(titled(f"Methods: {block_name(*p)}", encoder, testbed), rows) for p, rows in blocks.items()]
    languages = [
        language_table(titled(f"Methods: {block_name(*p)} by language", encoder, testbed), rows)
        for p, rows in blocks.items()
    ]
    drawing = Drawing(
        "compare",
        f"{title}: gain and cost",
        "Changes in percentage points with their 95 % intervals, mean of all languages (filled) and the language that "
        "the method was made for (hollow), beside the seconds of training of all seeds.",
        partial(draw_gain_and_cost, blocks),
    )
    return Report(
        name="compare",
        tables=(*leading, *languages, Table("Notes", (), (), notes(found, draws))),
        data={"compare": data(title, found, encoder, testbed)},
        figures=(drawing,),
        leading=len(leading),
    )


def compared(methods: Sequence[Method], *, draws: int, seed: int) -> list[Compared]:
    """Every method against its reference, references first in their block."""
    estimated: dict[tuple[str, str, str], CellAccuracy] = {}
    for task in dict.fromkeys(method.task for method in methods):
        of_task = [method for method in methods if method.task == task]
        records = [record for method in of_task for record in method.records]
        sampled = draw_sentences(task, records, draws=draws, seed=seed)
        for method in of_task:
            first = method.records[0]
            estimated[method.key] = estimate_cell(first.cell, list(method.records), sampled, draws, seed)
    differences = {method.key: _differences(method, estimated) for method in methods}
    family = [
        (key, what) for key, found in differences.items() for what in FAMILY if what in found
    ]  # languages are left out of the family: they are companions
    adjusted = intervals(
        [differences[key][what][0] for key, what in family], [differences[key][what][1] for key, what in family]
    )
    rows = []
    for method in methods:
        change = {
            what: intervals([point], [drawn])[0]
            for what, (point, drawn) in differences[method.key].items()
            if what not in FAMILY
        }
        change |= {what: found for (key, what), found in zip(family, adjusted, strict=True) if key == method.key}
        rows.append(Compared(method, _accuracies(method, estimated[method.key]), change))
    return sorted(rows, key=lambda row: (row.method.reference, row.method.name != row.method.reference))


def _accuracies(method: Method, cell: CellAccuracy) -> dict[str, float]:
    by_language = cell.observed.mean(axis=(0, 1))
    found = dict(zip(method.records[0].languages, map(float, by_language), strict=True))
    groups = {
        MEAN: list(found),
        OTHERS: [language for language in found if language != ENGLISH],
        TARGET: [language for language in method.targets if language in found],
    }
    return {name: float(np.mean([found[code] for code in codes])) for name, codes in groups.items() if codes} | found


Differences = dict[str, tuple[float, np.ndarray]]


def _differences(method: Method, estimated: dict[tuple[str, str, str], CellAccuracy]) -> Differences:
    """Change and its draws (draws,) by language, mean and target; nothing for references and where there is none."""
    key = (method.task, method.mode, method.reference)
    if method.name == method.reference or key not in estimated:
        return {}
    cell, base = estimated[method.key], estimated[key]
    here, there = cell.records[0].languages, base.records[0].languages
    common = [language for language in here if language in there]
    found: Differences = {}
    groups = {language: [language] for language in common}
    if common == list(here):  # a mean over other languages than the reference's would be no change
        groups[MEAN] = common
        groups[OTHERS] = [language for language in common if language != ENGLISH] or common
    targets = [language for language in method.targets if language in common]
    if targets:
        groups[TARGET] = targets
    for name, languages in groups.items():
        mine, other = ([of.index(language) for language in languages] for of in (here, there))
        point = cell.observed[..., mine].mean() - base.observed[..., other].mean()
        found[name] = float(point), cell.draws[:, mine].mean(axis=1) - base.draws[:, other].mean(axis=1)
    return found


def main_table(title: str, rows: list[Compared]) -> Table:
    """A line a method: mean accuracy, changes with intervals, and what it costs."""
    lines = [
        (
            *(row.method.name, row.accuracy[MEAN], with_limits(row.change.get(MEAN))),
            with_limits(row.change.get(OTHERS)),
            *(", ".join(row.method.targets) or None, with_limits(row.change.get(TARGET))),
            *costs(row.method.cost),
        )
        for row in rows
    ]
    columns = (
        *("method", "accuracy", "change", "without English", "target", "change there"),
        *("parameters", "seconds", "translations"),
    )
    return Table(title, columns, tuple(lines))


def with_limits(change: Interval | None) -> str | None:
    """A change and its interval, in points."""
    return None if change is None else f"{points(change)} {limits(change)}"


def costs(cost: Cost) -> tuple[Value, ...]:
    """Parameters, seconds and translations as people read them."""
    rounded = (cost.parameters, None if cost.seconds is None else round(cost.seconds), cost.translations)
    return tuple(None if number is None else f"{number:,}" for number in rounded)


def language_table(title: str, rows: list[Compared]) -> Table:
    """Accuracy of references and changes of methods, in points, by language."""
    languages = sorted({language for row in rows for language in row.method.records[0].languages})
    lines: list[tuple[Value, ...]] = []
    for row in rows:
        if row.change:
            values = [row.change.get(language) for language in languages]
            lines.append((row.method.name, *(None if v is None else signed(v.estimate) for v in values)))
        else:
            accuracies = [row.accuracy.get(language) for language in languages]
            lines.append((row.method.name, *(None if a is None else f"{a:.3f}" for a in accuracies)))
    notes = ("References show accuracy, methods the change in percentage points; intervals are in the CSV.",)
    return Table(title, ("method", *languages), tuple(lines), notes)


def notes(rows: list[Compared], draws: int) -> tuple[str, ...]:
    """How to read the tables, and what is uneven in them."""
    lines = [
        "Changes are in percentage points against the base of the same task and mode; LangAlign's against heads on "
        "plain English of the same run, realignment's against its own baseline where the recipe is another one.",
        "'target' are the languages of the method's pair without English.",
        f"Intervals: {LEVEL:.0%}, percentile bootstrap, {draws:,} draws of seeds × sentences, paired. * the max-T "
        "interval over all changes of this report excludes zero.",
        "parameters: at inference beyond encoder and head. seconds: all training behind the test, all seeds, on the "
        "machine as it was; a dash where a run was resumed. translations: translated sentences trained or fitted on.",
    ]
    without = sorted(
        {str(row.method.key) for row in rows if not row.change and row.method.name != row.method.reference}
    )
    if without:
        lines.append(f"Without their reference, so without a change: {', '.join(without)}.")
    uneven = {row.method.records[0].seeds for row in rows}
    if len(uneven) > 1:
        lines.append("Methods have different seeds: seeds are paired only where they are the same.")
    return tuple(lines)


def data(title: str, rows: list[Compared], encoder: str, testbed: bool) -> Table:
    """One line a method and language, with 'mean' and 'target'; differences are fractions."""
    lines: list[tuple[Value, ...]] = []
    for row in rows:
        method, cost = row.method, row.method.cost
        for language, accuracy in row.accuracy.items():
            change = row.change.get(language)
            numbers: tuple[Value, ...] = (None,) * 6
            if change is not None:
                numbers = (change.estimate, change.low, change.high)
                numbers += (change.adjusted_low, change.adjusted_high, change.p_holm)
                if language not in FAMILY:
                    numbers = (*numbers[:3], None, None, None)
            lines.append(
                (
                    *(method.task, method.mode, method.name, method.reference, language, accuracy, *numbers),
                    *(cost.parameters, cost.seconds, cost.translations),
                    *(len(method.records[0].seeds), encoder, data_kind(testbed)),
                )
            )
    return Table(title, COLUMNS, tuple(lines))
