"""All languages of the data: what alignment changes in each, by script, by family, and by what XLM-R has seen.

One head, trained on English, is tested in every language; changes are paired with the base over sentences, which all
languages share in SIB-200, and over seeds. So the change of a group is jointly distributed with that of any other, and
two families of simultaneous intervals are possible: one over all groups and encoders, one over an encoder's languages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from xalign.config import LOSSES
from xalign.data.language_facts import facts
from xalign.data.languages import find
from xalign.report.comparisons import Interval, difference, intervals
from xalign.report.consistency import require_comparable, select_step
from xalign.report.estimates import ENGLISH, Block, CellAccuracy, make_blocks
from xalign.report.language_groups import Group, make_groups, script_of
from xalign.report.languages_drawing import MOST_COLUMNS, draw_languages
from xalign.report.layout import INTERVAL_ROW, PAIR_ORDER, block_name, data_kind, points, rank, signed
from xalign.report.layout import titled as with_encoder
from xalign.report.records import Cell, TransferRecord, collect_transfers
from xalign.report.render import Drawing, Report, Table, Value
from xalign.report.statistics import DRAWS, LEVEL, SEED, benjamini_hochberg, normal_p_values

GROUP_COLUMNS = (
    *(
        "task",
        "mode",
        "pair",
        "loss",
        "kind",
        "group",
        "languages",
        "accuracy_base",
        "accuracy",
        "change",
        "low",
        "high",
    ),
    *("adjusted_low", "adjusted_high", "p_holm", "seeds", "align_seeds", "encoder", "data"),
)
LANGUAGE_COLUMNS = (
    *("task", "mode", "pair", "loss", "language", "name", "script", "family", "in_xlmr", "accuracy_base", "accuracy"),
    *("change", "low", "high", "adjusted_low", "adjusted_high", "p_benjamini_hochberg", "encoder", "data"),
)


@dataclass(frozen=True)
class Measured:
    """A group or language of one encoder: accuracies before and after alignment, and the change between them."""

    base: float
    accuracy: float
    change: Interval


@dataclass(frozen=True)
class AlignedEncoder:
    """What alignment did in each group and in each language; `p_values` are Benjamini and Hochberg's, by language.

    English stands among `languages`, but is left out of the groups, of `p_values` and of what is counted.
    """

    cell: Cell
    records: tuple[TransferRecord, ...]
    groups: dict[Group, Measured]
    languages: dict[str, Measured]
    p_values: dict[str, float]

    @property
    def name(self) -> str:
        """Pair and loss."""
        return f"{self.cell.pair} {self.cell.loss}"

    def count(self, sign: int, *, corrected: str) -> int:
        """Languages in which the change has this sign, by the simultaneous interval (``max-T``) or ``BH``."""
        return sum(
            bool(np.sign(self.languages[code].change.estimate) == sign)
            and (self.languages[code].change.significant if corrected == "max-T" else p_value <= 1 - LEVEL)
            for code, p_value in self.p_values.items()
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
        for first in range(0, len(encoders), MOST_COLUMNS):
            shown = encoders[first : first + MOST_COLUMNS]
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


def measure_blocks(blocks: Sequence[Block]) -> list[list[AlignedEncoder]]:
    """The aligned encoders of each block, in the paper's order; nothing where the base is missing."""
    cells = [(block, block.base, cell) for block in blocks if block.base is not None for cell in _aligned(block)]
    groups = [make_groups(block.languages, cell.cell.pair) for block, _, cell in cells]
    places = [(*of, group) for of, found in zip(cells, groups, strict=True) for group in found]
    columns = [[block.languages.index(code) for code in group.languages] for block, _, _, group in places]
    changes = [difference(cell, base, on) for (_, base, cell, _), on in zip(places, columns, strict=True)]
    adjusted = intervals([point for point, _ in changes], [draws for _, draws in changes])
    by_cell: dict[Cell, dict[Group, Measured]] = {}
    for (_, base, cell, group), on, change in zip(places, columns, adjusted, strict=True):
        by_cell.setdefault(cell.cell, {})[group] = _measured(base, cell, on, change)
    return [
        [_encoder(block, block.base, cell, by_cell.get(cell.cell, {})) for cell in _aligned(block)]
        if block.base is not None
        else []
        for block in blocks
    ]


def _aligned(block: Block) -> list[CellAccuracy]:
    found = [cell for cell in block.cells.values() if cell.cell.aligned]
    return sorted(found, key=lambda cell: (rank(cell.cell.pair, PAIR_ORDER), rank(cell.cell.loss, LOSSES)))


def _measured(base: CellAccuracy, cell: CellAccuracy, columns: Sequence[int], change: Interval) -> Measured:
    before, after = (float(of.observed[..., columns].mean()) for of in (base, cell))
    return Measured(before, after, change)


def _encoder(block: Block, base: CellAccuracy, cell: CellAccuracy, groups: dict[Group, Measured]) -> AlignedEncoder:
    """An encoder's languages; those of transfer share one max-T family, English stands alone."""
    change = dict(zip(block.languages, (difference(cell, base, [i]) for i in range(len(block.languages))), strict=True))
    codes = [code for code in block.languages if code != ENGLISH]
    family = intervals([change[code][0] for code in codes], [change[code][1] for code in codes])
    found = dict(zip(codes, family, strict=True))
    p_values = np.array([])
    if codes:
        sampled = np.stack([change[code][1] for code in codes], axis=1)
        p_values = benjamini_hochberg(normal_p_values(np.array([change[code][0] for code in codes]), sampled))
    if ENGLISH in change:
        found[ENGLISH] = intervals([change[ENGLISH][0]], [change[ENGLISH][1]])[0]
    measured = {code: _measured(base, cell, [block.languages.index(code)], found[code]) for code in block.languages}
    return AlignedEncoder(
        cell.cell, cell.records, groups, measured, dict(zip(codes, map(float, p_values), strict=True))
    )


def count_table(title: str, block: Block, encoders: list[AlignedEncoder]) -> Table:
    """A line an encoder: in how many languages alignment helps and harms, with two corrections for their number."""
    number = len([code for code in block.languages if code != ENGLISH])
    rows: list[tuple[Value, ...]] = []
    for encoder in encoders:
        everywhere = next((m.change for g, m in encoder.groups.items() if len(g.languages) == number), None)
        higher, lower = (
            sum(np.sign(encoder.languages[c].change.estimate) == s for c in encoder.p_values) for s in (1, -1)
        )
        counts = [encoder.count(sign, corrected=how) for how in ("max-T", "BH") for sign in (1, -1)]
        mean = None if everywhere is None else f"{points(everywhere)} {simultaneous(everywhere)}"
        english = encoder.languages.get(ENGLISH)
        own = None if english is None else signed(english.change.estimate)
        rows.append((encoder.name, mean, own, int(higher), int(lower), *counts))
    columns = (
        *("encoder", f"mean of {number}", "English", "higher", "lower"),
        *("helped, max-T", "harmed, max-T", "helped, BH", "harmed, BH"),
    )
    note = () if block.base is not None else ("The base is missing: changes cannot be computed.",)
    return Table(title, columns, tuple(rows), note)


def simultaneous(change: Interval) -> str:
    """The simultaneous interval in percentage points."""
    return f"[{signed(change.adjusted_low)}, {signed(change.adjusted_high)}]"


def group_table(title: str, encoders: list[AlignedEncoder]) -> Table:
    """Groups as lines, each with its simultaneous interval below; the losses of one pair as columns."""
    rows: list[tuple[Value, ...]] = []
    kind = ""
    for group in encoders[0].groups:
        measured = [encoder.groups[group] for encoder in encoders]
        label = f"{group.kind}: {group.name}" if group.kind != kind and len(group.languages) else f"  {group.name}"
        kind = group.kind
        rows.append((label, len(group.languages), f"{measured[0].base:.3f}", *(points(m.change) for m in measured)))
        rows.append((INTERVAL_ROW, None, None, *(simultaneous(m.change) for m in measured)))
    columns = ("group", "languages", "base", *(encoder.cell.loss for encoder in encoders))
    return Table(title, columns, tuple(rows))


def language_table(title: str, encoders: list[AlignedEncoder]) -> Table:
    """Languages as lines, by family; accuracy of the base and change by each encoder."""
    if not encoders:
        return Table(title, ("language",), ())
    codes = sorted(encoders[0].languages, key=lambda code: (facts(find(code)).family, find(code).name))
    rows = []
    for code in codes:
        language, measured = find(code), [encoder.languages[code] for encoder in encoders]
        about = (language.name, language.flores, script_of(language), facts(language).family)
        rows.append((*about, f"{measured[0].base:.3f}", *(points(m.change) for m in measured)))
    columns = ("language", "code", "script", "family", "base", *(encoder.name for encoder in encoders))
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
        "Counts of languages: max-T over an encoder's languages, or Benjamini and Hochberg's adjusted p-values ≤ "
        f"{1 - LEVEL:.2f}. English, the language of training, stands apart from groups and counts.",
        "Families are Glottolog's; 'seen by XLM-R' says nothing of encoders with other pre-training.",
    ]
    if aligned == {1}:
        notes.append("One alignment seed: claims are about these checkpoints, not about the configurations.")
    return notes


def _origin(encoder: AlignedEncoder) -> tuple[str, str, str, str]:
    cell = encoder.cell
    return cell.task, cell.mode, cell.pair, cell.loss


def _numbers(measured: Measured) -> tuple[float, ...]:
    change = measured.change
    limits = (change.low, change.high, change.adjusted_low, change.adjusted_high)
    return (measured.base, measured.accuracy, change.estimate, *limits)


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
