"""All languages of the data: what alignment changes in each, by script, by family, and by what XLM-R has seen.

One head, trained on English, is tested in every language; the numbers are made in `language_changes`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from xalign.data.language_facts import facts
from xalign.data.languages import find
from xalign.report.comparisons import Interval
from xalign.report.consistency import require_comparable, select_step
from xalign.report.estimates import ENGLISH, Block, make_blocks
from xalign.report.language_changes import AlignedEncoder, Measured, measure_blocks
from xalign.report.language_groups import ALL
from xalign.report.languages_drawing import MOST_COLUMNS, draw_languages
from xalign.report.layout import INTERVAL_ROW, block_name, data_kind, points, signed
from xalign.report.layout import titled as with_encoder
from xalign.report.records import collect_transfers
from xalign.report.render import Drawing, Report, Table, Value
from xalign.report.statistics import DRAWS, LEVEL, SEED

NUMBERS = (
    *("accuracy_base", "accuracy", "macro_f1_base", "macro_f1", "change", "low", "high"),
    *("adjusted_low", "adjusted_high"),
)
GROUP_COLUMNS = (
    *("task", "mode", "pair", "loss", "kind", "group", "languages", *NUMBERS, "p_holm", "seeds", "align_seeds"),
    *("encoder", "data"),
)
LANGUAGE_COLUMNS = (
    *("task", "mode", "pair", "loss", "language", "name", "script", "family", "in_xlmr", *NUMBERS),
    *("p_benjamini_hochberg", "encoder", "data"),
)


def languages(runs: Path, *, step: int | None = None, draws: int = DRAWS, seed: int = SEED) -> Report:
    """Make the tables and the figure of all transfer runs below `runs` that tested every language.

    Args:
        step: alignment step of the encoders; None is the last one found.

    Raises:
        UsageError: no such runs, or none with that step.
        XalignError: runs that are broken, stale or not comparable.
    """
    selected, _ = select_step(collect_transfers(runs, everywhere=True), step)
    require_comparable(selected.complete)
    blocks = make_blocks(selected.complete, draws=draws, seed=seed)
    found = measure_blocks(blocks)
    any_run = (selected.complete or selected.unfinished)[0]
    titled = partial(with_encoder, encoder=any_run.encoder, testbed=any_run.testbed)
    leading: list[Table] = []
    companions: list[Table] = []
    drawings: list[Drawing] = []
    for block, encoders in zip(blocks, found, strict=True):
        place = block_name(block.task, block.mode)
        leading.append(count_table(titled(f"Languages that alignment helps: {place}"), block, encoders))
        for pair in dict.fromkeys(encoder.cell.pair for encoder in encoders):
            of_pair = [encoder for encoder in encoders if encoder.cell.pair == pair]
            leading.append(group_table(titled(f"Change by group of languages: {place}, {pair}"), of_pair))
        companions.append(language_table(titled(f"Change by language: {place}"), encoders))
        drawn = [encoder for encoder in encoders if encoder.groups]  # none where English alone was tested
        for first in range(0, len(drawn), MOST_COLUMNS):
            shown = drawn[first : first + MOST_COLUMNS]
            drawings.append(_drawing(titled(f"Change by language: {place}"), shown, len(drawings)))
    unfinished = [f"{run.state}: {run.directory}" for run in selected.unfinished]
    notes = (*report_notes(blocks, found, draws), *unfinished)
    return Report(
        name="languages",
        tables=(*leading, *companions, Table("Notes", (), (), notes)),
        data={
            "languages": group_data(titled("Groups of languages"), found, any_run.encoder, any_run.testbed),
            "languages-each": language_data(titled("Languages"), found, any_run.encoder, any_run.testbed),
        },
        figures=tuple(drawings),
        leading=len(leading),
    )


def _drawing(title: str, encoders: list[AlignedEncoder], number: int) -> Drawing:
    caption = (
        "Change in percentage points against the unaligned encoder. Above, means of groups with simultaneous 95 % "
        "intervals over all groups and encoders; below, each language with its own 95 % interval, by family. Filled: "
        "the simultaneous interval (below: over the encoder's languages) excludes zero."
    )
    name = "languages" if not number else f"languages-{number + 1}"
    return Drawing(name, title, caption, partial(draw_languages, encoders))


def count_table(title: str, block: Block, encoders: list[AlignedEncoder]) -> Table:
    """A line an encoder: in how many languages alignment helps and harms, with two corrections for their number."""
    number = len([code for code in block.languages if code != ENGLISH])
    rows: list[tuple[Value, ...]] = []
    for encoder in encoders:
        everywhere = next((measured for group, measured in encoder.groups.items() if group.kind == ALL), None)
        higher, lower = (
            sum(np.sign(encoder.languages[c].change.estimate) == s for c in encoder.p_values) for s in (1, -1)
        )
        counts = [encoder.count(sign, corrected=how) for how in ("max-T", "BH") for sign in (1, -1)]
        mean: tuple[Value, ...] = (None, None, None)
        if everywhere is not None:
            mean = points(everywhere.change), simultaneous(everywhere.change), f1_change(everywhere)
        english = encoder.languages.get(ENGLISH)
        own = None if english is None else signed(english.change.estimate)
        rows.append((encoder.name, *mean, own, int(higher), int(lower), *counts))
    columns = (
        *("encoder", f"mean of {number}", "interval", "macro F1: base, aligned", "English", "higher", "lower"),
        *("helped", "harmed", "helped (BH)", "harmed (BH)"),
    )
    note = () if block.base is not None else ("The base is missing: changes cannot be computed.",)
    return Table(title, columns, tuple(rows), note)


def f1_change(measured: Measured) -> str | None:
    """Macro F1 before and after alignment."""
    if measured.macro_f1_base is None or measured.macro_f1 is None:
        return None
    return f"{measured.macro_f1_base:.3f}, {measured.macro_f1:.3f}"


def simultaneous(change: Interval) -> str:
    """The simultaneous interval in percentage points."""
    return f"[{signed(change.adjusted_low)}, {signed(change.adjusted_high)}]"


def group_table(title: str, encoders: list[AlignedEncoder]) -> Table:
    """Groups as lines, each with its simultaneous interval below; the losses of one pair as columns."""
    rows: list[tuple[Value, ...]] = []
    kind = ""
    for group in encoders[0].groups:
        measured = [encoder.groups[group] for encoder in encoders]
        label = f"{group.kind}: {group.name}" if group.kind != kind else f"  {group.name}"
        kind = group.kind
        before = (f"{measured[0].base:.3f}", measured[0].macro_f1_base)
        rows.append((label, len(group.languages), *before, *(points(m.change) for m in measured)))
        rows.append((INTERVAL_ROW, "", "", "", *(simultaneous(m.change) for m in measured)))
    columns = ("group", "languages", "base", "macro F1", *(encoder.cell.loss for encoder in encoders))
    return Table(title, columns, tuple(rows))


def language_table(title: str, encoders: list[AlignedEncoder]) -> Table:
    """Languages as lines, by family; accuracy of the base and change by each encoder."""
    if not encoders:
        return Table(title, ("language",), ())
    codes = sorted(encoders[0].languages, key=lambda code: (facts(find(code)).family, find(code).name))
    rows = []
    for code in codes:
        language, measured = find(code), [encoder.languages[code] for encoder in encoders]
        about = (language.name, language.flores, facts(language).family)
        rows.append((*about, f"{measured[0].base:.3f}", *(points(m.change) for m in measured)))
    columns = ("language", "code", "family", "base", *(encoder.name for encoder in encoders))
    return Table(title, columns, tuple(rows), ("* as in the table of counts, by max-T over the encoder's languages.",))


def report_notes(blocks: list[Block], found: list[list[AlignedEncoder]], draws: int) -> list[str]:
    """What holds for all tables: units, resampling, corrections, what is counted."""
    seeds = sorted({seed for block in blocks for cell in block.cells.values() for seed in cell.records[0].seeds})
    aligned = {len(encoder.records) for encoders in found for encoder in encoders}
    notes = [
        "Changes are against the base with the same task, mode and seeds, in percentage points, averaged over "
        f"{len(seeds)} fine-tuning seed{'s' * (len(seeds) != 1)}.",
        f"Intervals: {LEVEL:.0%}, bootstrap, {draws:,} draws of seeds × sentences, paired with the base; topic draws "
        "sentence ids that all languages share, so that groups and languages are drawn jointly.",
        "Groups: simultaneous (max-T) over all groups and encoders of this report, which a * says exclude zero. They "
        "speak about these languages: languages are not resampled.",
        "Helped and harmed: languages by max-T over an encoder's languages, or by Benjamini and Hochberg's p-values ≤ "
        f"{1 - LEVEL:.2f}. English, the language of training, stands apart from groups and counts.",
        "Where macro F1 is low, heads give most sentences one label, and accuracy follows that label's share.",
        "Families are Glottolog's; 'seen by XLM-R' says nothing of encoders with other pre-training.",
    ]
    if aligned == {1}:
        notes.append("One alignment seed: claims are about these checkpoints, not about the configurations.")
    return notes


def _origin(encoder: AlignedEncoder) -> tuple[str, str, str, str]:
    cell = encoder.cell
    return cell.task, cell.mode, cell.pair, cell.loss


def _numbers(measured: Measured) -> tuple[float | None, ...]:
    change = measured.change
    limits = (change.low, change.high, change.adjusted_low, change.adjusted_high)
    return measured.base, measured.accuracy, measured.macro_f1_base, measured.macro_f1, change.estimate, *limits


def group_data(title: str, found: list[list[AlignedEncoder]], encoder: str, testbed: bool) -> Table:
    """One line an encoder and group; differences are fractions, not points."""
    rows: list[tuple[Value, ...]] = []
    for each in (each for encoders in found for each in encoders):
        seeds = (len(each.records[0].seeds), len(each.records), encoder, data_kind(testbed))
        for group, measured in each.groups.items():
            about = (group.kind, group.name, len(group.languages))
            rows.append((*_origin(each), *about, *_numbers(measured), measured.change.p_holm, *seeds))
    return Table(title, GROUP_COLUMNS, tuple(rows))


def language_data(title: str, found: list[list[AlignedEncoder]], encoder: str, testbed: bool) -> Table:
    """One line an encoder and language; differences are fractions, not points."""
    rows: list[tuple[Value, ...]] = []
    for each in (each for encoders in found for each in encoders):
        for code, measured in each.languages.items():
            language, about = find(code), facts(find(code))
            names = (code, language.name, language.script, about.family, "yes" if about.in_xlmr else "no")
            last = (each.p_values.get(code), encoder, data_kind(testbed))
            rows.append((*_origin(each), *names, *_numbers(measured), *last))
    return Table(title, LANGUAGE_COLUMNS, tuple(rows))
