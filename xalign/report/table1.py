"""Table 1: accuracy of every aligned encoder by task and mode, and its change against the unaligned one.

From records to tables: the numbers are made in `estimates`, `comparisons` and `statistics`, companions in `details`.
"""

from __future__ import annotations

from xalign.config import LOSSES
from xalign.report.comparisons import Comparison, compare
from xalign.report.consistency import (
    departures_from_paper,
    differing_alignment_options,
    require_comparable,
    select_step,
)
from xalign.report.details import (
    effects_data,
    effects_table,
    language_data,
    language_table,
    measure,
    probe_table,
    variance_table,
)
from xalign.report.estimates import ENGLISH, Block, CellAccuracy, make_blocks
from xalign.report.layout import (
    CHANGE_ROW,
    INTERVAL_ROW,
    TESTBED,
    Study,
    base_cell,
    block_name,
    limits,
    mean_and_sd,
    points,
)
from xalign.report.records import Cell, Transfers
from xalign.report.render import Report, Table, Value
from xalign.report.statistics import DRAWS, LEVEL, SEED

CSV_COLUMNS = (
    *("task", "mode", "pair", "loss", "accuracy", "sd", "change", "low", "high", "adjusted_low", "adjusted_high"),
    *("p_holm", "accuracy_without_english", "change_without_english", "low_without_english", "high_without_english"),
    *("probe_accuracy", "languages", "seeds", "align_seeds", "align_step", "state", "encoder", "data"),
)


def table1(transfers: Transfers, *, step: int | None = None, draws: int = DRAWS, seed: int = SEED) -> Report:
    """Make Table 1 and its companions.

    Args:
        transfers: what `xalign.report.records.collect_transfers` found.
        step: alignment step of the encoders; None is the last one found.
        draws: bootstrap samples.
        seed: of the bootstrap.

    Raises:
        UsageError: no run has that step.
        XalignError: the records cannot be compared (see `require_comparable`).
    """
    selected, left_out = select_step(transfers, step)
    require_comparable(selected.complete)
    study = Study(selected, tuple(make_blocks(selected.complete, draws=draws, seed=seed)))
    overall = compare(study.blocks, english=True)
    without_english = compare(study.blocks, english=False)
    tables = [accuracy_table(study, task, mode, overall, "all languages") for task, mode in study.places]
    if any(ENGLISH in block.languages for block in study.blocks):
        for task, mode in study.places:
            tables.append(accuracy_table(study, task, mode, without_english, "without English"))
    tables += [table for task, mode in study.places if (table := probe_table(study, task, mode)) is not None]
    tables += [effects_table(study, relative=relative) for relative in (False, True) if study.pairs]
    tables += [table for task, mode in study.places if (table := language_table(study, task, mode)) is not None]
    tables += [table] if (table := variance_table(study)) is not None else []
    return Report(
        name="table1",
        tables=(*tables, Table("Notes", (), (), tuple(report_notes(study, left_out, draws)))),
        data={
            "table1": cell_data(study, overall, without_english),
            "table1-languages": language_data(study),
            "table1-effects": effects_data(study),
        },
        leading=len(study.places),
    )


def accuracy_table(study: Study, task: str, mode: str, compared: dict[Cell, Comparison], average: str) -> Table:
    """One task × mode block: the base, repeated in all columns as in the paper, then each pair with its changes."""
    base = base_cell(task, mode)
    base_value = mean_and_sd(compared[base]) if base in compared else study.state(base)
    rows: list[tuple[Value, ...]] = [("base", *[base_value] * len(LOSSES))]
    for pair in study.pairs:
        cells = [Cell(task, mode, pair, loss) for loss in LOSSES]
        rows.append((pair, *(mean_and_sd(compared[c]) if c in compared else study.state(c) for c in cells)))
        changes = [compared[cell].change if cell in compared else None for cell in cells]
        if any(changes):
            rows.append((CHANGE_ROW, *map(points, changes)))
            rows.append((INTERVAL_ROW, *map(limits, changes)))
    title = study.title(f"Table 1: {block_name(task, mode)}, {average}")
    return Table(title, ("model", *LOSSES), tuple(rows), tuple(block_notes(study, task, mode, average)))


def block_notes(study: Study, task: str, mode: str, average: str) -> list[str]:
    """What a reader of one block has to know: what was averaged, and what a claim from it is about."""
    block = study.block(task, mode)
    if block is None:
        return ["No run of this block is complete."]
    languages = [block.languages[i] for i in block.columns(english=average == "all languages")]
    seeds = next(iter(block.cells.values())).records[0].seeds
    notes = [
        f"Mean over {len(languages)} languages ({', '.join(languages)}) and {len(seeds)} fine-tuning "
        f"seed{'s' * (len(seeds) > 1)} ({', '.join(map(str, seeds))}); ± standard deviation over seeds."
    ]
    if block.base is None:
        notes.append("The base is missing: changes cannot be computed.")
    return [*notes, *seed_notes(block)]


def seed_notes(block: Block) -> list[str]:
    """Whether the block's numbers speak about checkpoints or about configurations."""
    counts = {len(cell.records) for cell in block.cells.values() if cell.cell.aligned}
    if counts == {1}:
        return ["One alignment seed: claims are about these checkpoints, not about the configurations."]
    if len(counts) > 1:
        most = max(counts)
        cells = sorted((c for c in block.cells.values() if c.cell.aligned), key=lambda c: str(c.cell))
        many = ", ".join(f"{c.cell.pair} {c.cell.loss}" for c in cells if len(c.records) == most)
        return [
            f"{most} alignment seeds in {many}, fewer in the other cells: "
            "with one seed, claims are about a checkpoint, not about a configuration."
        ]
    return [f"Cells average {count} alignment seeds, which the intervals resample too." for count in counts]


def report_notes(study: Study, left_out: list[int], draws: int) -> list[str]:
    """What holds for all tables: units, intervals, adjustment, steps, unfinished runs, departures from the paper."""
    steps = {record.align_step for record in study.records if record.align_step is not None}
    notes = [
        "Changes are against the base with the same task, mode and seeds, in percentage points.",
        f"Intervals: {LEVEL:.0%}, percentile bootstrap, {draws:,} draws of seeds × sentences, paired with the base; "
        "topic draws sentence ids that all languages share, POS draws sentences within each language.",
        "* the max-T simultaneous interval over all cells of the same kind of table (all tasks and modes) excludes "
        "zero; Holm's adjusted p-values are in the CSV.",
    ]
    if steps:
        others = f"; runs at {', '.join(map(str, left_out))} are left out" if left_out else ""
        notes.append(f"Encoders after {', '.join(map(str, sorted(steps)))} alignment steps{others}.")
    if departures := departures_from_paper(study.records):
        notes.append(f"Differs from the paper's setup: {'; '.join(departures)}.")
    if mixed := differing_alignment_options(study.records):
        notes.append(f"Alignment options that are not the same in all cells: {', '.join(mixed)}.")
    for run in study.transfers.unfinished:
        notes.append(f"{run.state}: {run.directory}" + (f" ({run.error.splitlines()[0]})" if run.error else ""))
    if gone := sorted({path for record in study.records for path in record.chain.gone}):
        notes.append(f"{len(gone)} upstream runs are gone: what was made from them could not be checked for staleness.")
    return notes


def cell_data(study: Study, overall: dict[Cell, Comparison], without_english: dict[Cell, Comparison]) -> Table:
    """One line a cell, missing cells included; differences are fractions, not points."""
    rows: list[tuple[Value, ...]] = []
    for task, mode in study.places:
        block = study.block(task, mode)
        aligned = [Cell(task, mode, pair, loss) for pair in study.pairs for loss in LOSSES]
        for cell in [base_cell(task, mode), *aligned]:
            line: dict[str, Value] = {"task": task, "mode": mode, "pair": cell.pair, "loss": cell.loss}
            line |= {"state": study.state(cell), "encoder": study.encoder, "data": TESTBED if study.testbed else "real"}
            if block is not None and cell in block.cells:
                line |= cell_numbers(block, block.cells[cell], overall[cell], without_english.get(cell))
            rows.append(tuple(line.get(column) for column in CSV_COLUMNS))
    return Table(study.title("Table 1"), CSV_COLUMNS, tuple(rows))


def cell_numbers(
    block: Block, cell: CellAccuracy, overall: Comparison, without_english: Comparison | None
) -> dict[str, Value]:
    """The numeric fields of a complete cell, by column of the CSV."""
    numbers: dict[str, Value] = {
        "accuracy": overall.accuracy,
        "sd": overall.sd,
        "probe_accuracy": measure(cell, "probe_accuracy"),
        "languages": len(block.languages),
        "seeds": len(cell.records[0].seeds),
    }
    if cell.cell.aligned:
        numbers |= {"align_seeds": len(cell.records), "align_step": cell.records[0].align_step}
    if (change := overall.change) is not None:
        numbers |= {"change": change.estimate, "low": change.low, "high": change.high, "p_holm": change.p_holm}
        numbers |= {"adjusted_low": change.adjusted_low, "adjusted_high": change.adjusted_high}
    if without_english is not None:
        numbers["accuracy_without_english"] = without_english.accuracy
        if (change := without_english.change) is not None:
            values = (change.estimate, change.low, change.high)
            numbers |= {f"{k}_without_english": v for k, v in zip(("change", "low", "high"), values, strict=True)}
    return numbers
