"""The companions of Table 1: the converged probe, effects of the losses, languages, parts of the variance."""

from __future__ import annotations

import numpy as np

from xalign.config import LOSSES
from xalign.report.comparisons import compare_language, compare_losses, variance_parts
from xalign.report.estimates import CellAccuracy
from xalign.report.factorial import CORNERS, EFFECTS, REFERENCE
from xalign.report.layout import INTERVAL_ROW, TESTBED, Study, base_cell, block_name, limits, points, signed
from xalign.report.records import MEASURES, Cell
from xalign.report.render import Table, Value

NOT_COMPUTABLE = "not computable"
RELATIVE = tuple(corner for corner in CORNERS if corner != REFERENCE)
LANGUAGE_COLUMNS = (
    *("task", "mode", "pair", "loss", "language", "accuracy", "sd", "change", "low", "high"),
    *(*MEASURES, "sentences", "encoder", "data"),
)
EFFECT_COLUMNS = (
    *("task", "mode", "pair", "kind", "effect", "estimate", "low", "high", "adjusted_low", "adjusted_high"),
    *("p_holm", "state", "encoder", "data"),
)


def measure(cell: CellAccuracy, name: str, language: str | None = None) -> float | None:
    """A stored measure of a cell, averaged over alignment seeds and over languages unless one is named."""
    values = [
        value
        for record in cell.records
        for code, value in record.measures.get(name, {}).items()
        if language in (None, code)
    ]
    return float(np.mean(values)) if values else None


def probe_table(study: Study, task: str, mode: str) -> Table | None:
    """The converged probe beside the linear recipe, each with its change; None where no run has a probe."""
    block = study.block(task, mode)
    if block is None or not any(measure(cell, "probe_accuracy") is not None for cell in block.cells.values()):
        return None

    def recipe(cell: CellAccuracy | None) -> float | None:
        return None if cell is None else float(cell.observed.mean())

    def probe(cell: CellAccuracy | None) -> float | None:
        return None if cell is None else measure(cell, "probe_accuracy")

    def with_change(value: float | None, base: float | None) -> str | None:
        if value is None:
            return None
        return f"{value:.3f}" if base is None else f"{value:.3f} ({signed(value - base)})"

    rows: list[tuple[Value, ...]] = []
    kinds = (("recipe", recipe), ("probe", probe))
    for name, value in kinds:
        rows.append((f"base {name}", *[with_change(value(block.base), None)] * len(LOSSES)))
    for pair in study.pairs:
        cells = [block.cells.get(Cell(task, mode, pair, loss)) for loss in LOSSES]
        for name, value in kinds:
            rows.append((f"{pair} {name}", *(with_change(value(cell), value(block.base)) for cell in cells)))
    notes = (
        "Recipe: the paper's fixed rate and number of epochs. Probe: standardised features, L-BFGS to convergence, "
        "regularisation by English dev. In brackets the change in percentage points.",
    )
    title = study.title(f"Table 1: {block_name(task, mode)}, converged probe beside the recipe")
    return Table(title, ("model", *LOSSES), tuple(rows), notes)


def effects_table(study: Study, *, relative: bool) -> Table:
    """Effects of the losses by task, mode and pair, with intervals: a 2³ factorial, or the corners less S0W0M1."""
    effects = compare_losses(study.blocks, relative=relative)
    names = RELATIVE if relative else EFFECTS
    rows: list[tuple[Value, ...]] = []
    for task, mode in study.places:
        for pair in study.pairs:
            found = [effects.get((task, mode, pair, name)) for name in names]
            rows.append((f"{task} {mode} {pair}", *(points(effect) or NOT_COMPUTABLE for effect in found)))
            if any(found):
                rows.append((INTERVAL_ROW, *map(limits, found)))
    if relative:
        notes = ("M alone is extra training on the pair's text, not alignment; S0W0M0 is the base.",)
        title = study.title(f"Table 1: change against {REFERENCE} in percentage points, all languages")
    else:
        notes = (
            "Mean of the corners where the sign is + less the mean where it is −; the sign of an interaction is the "
            "product of its losses' signs. An effect needs the base and all seven configurations.",
        )
        title = study.title("Table 1: effects of S, W, M (2³ factorial) in percentage points, all languages")
    return Table(title, ("task, mode, pair", *names), tuple(rows), notes)


def language_table(study: Study, task: str, mode: str) -> Table | None:
    """Accuracy of the base in each language, and the change of each aligned encoder; None if nothing is complete."""
    block = study.block(task, mode)
    if block is None:
        return None
    rows: list[tuple[Value, ...]] = []
    order = [base_cell(task, mode), *(Cell(task, mode, p, loss) for p in study.pairs for loss in LOSSES)]
    for cell in (block.cells[cell] for cell in order if cell in block.cells):
        name = f"{cell.cell.pair} {cell.cell.loss}" if cell.cell.aligned else "base"
        if cell.cell.aligned and block.base is not None:
            change = cell.observed.mean(axis=(0, 1)) - block.base.observed.mean(axis=(0, 1))
            rows.append((name, *(signed(value) for value in change)))
        else:
            rows.append((name, *(f"{value:.3f}" for value in cell.observed.mean(axis=(0, 1)))))
    contents = "accuracy" if block.base is None else "accuracy of the base, changes in percentage points"
    notes = ("Intervals of single languages, and further measures, are in the CSV of languages.",)
    title = study.title(f"Table 1: {block_name(task, mode)} by language, {contents}")
    return Table(title, ("model", *block.languages), tuple(rows), notes)


def variance_table(study: Study) -> Table | None:
    """The parts of the variance of each change; None where no cell has several alignment seeds."""
    rows: list[tuple[Value, ...]] = []
    for block in study.blocks:
        for cell in block.cells.values():
            parts = variance_parts(block, cell)
            if parts is not None:
                values = (parts.sd_align_seeds, parts.sd_finetune_seeds, parts.standard_error_sentences)
                shown = (None if value is None else f"{100 * value:.2f}" for value in values)
                rows.append((str(cell.cell), len(cell.records), *shown))
    if not rows:
        return None
    columns = ("cell", "alignment seeds", "sd over alignment seeds", "sd over fine-tuning seeds", "se from sentences")
    title = study.title("Table 1: parts of the variance of the change, in percentage points")
    return Table(title, columns, tuple(rows))


def language_data(study: Study) -> Table:
    """One line a complete cell and language; differences are fractions."""
    rows: list[tuple[Value, ...]] = []
    for block in study.blocks:
        for cell in block.cells.values():
            for column, language in enumerate(block.languages):
                compared = compare_language(block, cell, column)
                change = compared.change
                rows.append(
                    (
                        *(block.task, block.mode, cell.cell.pair, cell.cell.loss, language),
                        *(compared.accuracy, compared.sd),
                        *((change.estimate, change.low, change.high) if change else (None,) * 3),
                        *(measure(cell, name, language) for name in MEASURES),
                        len(cell.records[0].outcomes[language].sentence_ids),
                        *(study.encoder, TESTBED if study.testbed else "real"),
                    )
                )
    return Table(study.title("Table 1 by language"), LANGUAGE_COLUMNS, tuple(rows))


def effects_data(study: Study) -> Table:
    """One line an effect; differences are fractions."""
    rows: list[tuple[Value, ...]] = []
    for relative in (False, True):
        kind = f"less {REFERENCE}" if relative else "factorial"
        for (task, mode, pair, effect), found in compare_losses(study.blocks, relative=relative).items():
            numbers: tuple[Value, ...] = (None,) * 6
            if found is not None:
                numbers = (found.estimate, found.low, found.high, found.adjusted_low, found.adjusted_high, found.p_holm)
            state = NOT_COMPUTABLE if found is None else "complete"
            data = TESTBED if study.testbed else "real"
            rows.append((task, mode, pair, kind, effect, *numbers, state, study.encoder, data))
    return Table(study.title("Table 1: effects"), EFFECT_COLUMNS, tuple(rows))
