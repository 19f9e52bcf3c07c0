"""What alignment changes in each language and in each group of languages, with simultaneous intervals.

Changes are paired with the base over sentences, which all languages share in SIB-200, and over seeds. So the change of
a group is jointly distributed with that of any other, and there are two families of simultaneous intervals: one over
all groups and encoders, one over the languages of an encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xalign.config import LOSSES
from xalign.report.comparisons import Interval, difference, intervals
from xalign.report.estimates import ENGLISH, Block, CellAccuracy
from xalign.report.language_groups import Group, make_groups
from xalign.report.layout import PAIR_ORDER, rank
from xalign.report.records import Cell, TransferRecord
from xalign.report.statistics import LEVEL, benjamini_hochberg, normal_p_values


@dataclass(frozen=True)
class Measured:
    """A group or language of one encoder: accuracy and macro F1 before and after alignment, and the change of accuracy.

    A head that gives every sentence the same topic has the accuracy of that topic's share, and next to no macro F1.
    """

    base: float
    accuracy: float
    macro_f1_base: float | None
    macro_f1: float | None
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
    return Measured(before, after, _macro_f1(base, columns), _macro_f1(cell, columns), change)


def _macro_f1(cell: CellAccuracy, columns: Sequence[int]) -> float | None:
    """Mean over languages and records; None where a record has none."""
    codes = [cell.records[0].languages[column] for column in columns]
    scores = [record.measures.get("macro_f1", {}) for record in cell.records]
    if any(code not in by_language for by_language in scores for code in codes):
        return None
    return float(np.mean([by_language[code] for by_language in scores for code in codes]))


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
