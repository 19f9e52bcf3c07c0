"""Changes against the unaligned encoder, with intervals for one and for all: the numbers of Table 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xalign.report.estimates import Block, CellAccuracy
from xalign.report.factorial import CORNERS, factorial_effects, relative_effects
from xalign.report.records import UNALIGNED, Cell
from xalign.report.statistics import holm, normal_p_values, percentile_interval, simultaneous_interval, standard_error


@dataclass(frozen=True)
class Interval:
    """A difference, its percentile interval, its max-T interval among all of its table, and Holm's adjusted p-value."""

    estimate: float
    low: float
    high: float
    adjusted_low: float
    adjusted_high: float
    p_holm: float

    @property
    def significant(self) -> bool:
        """Whether the simultaneous interval excludes zero."""
        return self.adjusted_low > 0 or self.adjusted_high < 0


@dataclass(frozen=True)
class Comparison:
    """Macro-averaged accuracy of a cell, its standard deviation over seeds, and its change against the base."""

    accuracy: float
    sd: float | None
    change: Interval | None


@dataclass(frozen=True)
class VarianceParts:
    """Where the uncertainty of a change comes from: standard deviations over seeds, standard error from sentences."""

    sd_align_seeds: float
    sd_finetune_seeds: float | None
    standard_error_sentences: float


def intervals(estimates: Sequence[float], draws: Sequence[np.ndarray]) -> list[Interval]:
    """Intervals of differences that stand in one table; `draws` holds a (draws,) array for each, drawn jointly."""
    if not len(estimates):
        return []
    points, sampled = np.array(estimates), np.stack(draws, axis=1)
    columns = (
        points,
        *percentile_interval(sampled),
        *simultaneous_interval(points, sampled),
        holm(normal_p_values(points, sampled)),
    )
    return [Interval(*map(float, row)) for row in zip(*columns, strict=True)]


def compare(blocks: Sequence[Block], *, english: bool) -> dict[Cell, Comparison]:
    """Every cell of every block against its block's base, averaged over languages with English or without."""
    found: dict[Cell, Comparison] = {}
    changes: dict[Cell, tuple[float, np.ndarray]] = {}
    for block in blocks:
        columns = block.columns(english=english)
        for cell, measured in block.cells.items() if columns else ():
            by_seed = measured.observed[..., columns].mean(axis=(0, 2))
            sd = float(by_seed.std(ddof=1)) if len(by_seed) > 1 else None
            found[cell] = Comparison(float(by_seed.mean()), sd, None)
            if block.base is not None and cell.aligned:
                changes[cell] = difference(measured, block.base, columns)
    adjusted = intervals([point for point, _ in changes.values()], [draws for _, draws in changes.values()])
    for cell, interval in zip(changes, adjusted, strict=True):
        found[cell] = Comparison(found[cell].accuracy, found[cell].sd, interval)
    return found


def difference(cell: CellAccuracy, base: CellAccuracy, columns: Sequence[int]) -> tuple[float, np.ndarray]:
    """Macro average of a cell less that of the base: observed, and in each draw."""
    point = cell.observed[..., columns].mean() - base.observed[..., columns].mean()
    return float(point), cell.draws[:, columns].mean(axis=1) - base.draws[:, columns].mean(axis=1)


def compare_language(block: Block, cell: CellAccuracy, column: int) -> Comparison:
    """One language of a cell against the base; its interval is adjusted for nothing else."""
    by_seed = cell.observed[..., column].mean(axis=0)
    sd = float(by_seed.std(ddof=1)) if len(by_seed) > 1 else None
    change = None
    if block.base is not None and cell.cell.aligned:
        point, draws = difference(cell, block.base, [column])
        change = intervals([point], [draws])[0]
    return Comparison(float(by_seed.mean()), sd, change)


Effects = dict[tuple[str, str, str, str], Interval | None]


def compare_losses(blocks: Sequence[Block], *, relative: bool) -> Effects:
    """Effects of the losses for each pair, keyed (task, mode, pair, effect); None where a cell is missing.

    Args:
        relative: the corners less S0W0M1, instead of main effects and interactions.
    """
    contrast = relative_effects if relative else factorial_effects
    effects: Effects = {}
    found: dict[tuple[str, str, str, str], tuple[float, np.ndarray]] = {}
    for block in blocks:
        columns = block.columns(english=True)
        for pair in dict.fromkeys(cell.pair for cell in block.cells if cell.aligned):
            corners = {loss: block.cells.get(Cell(block.task, block.mode, pair, loss)) for loss in CORNERS}
            corners[UNALIGNED] = block.base
            present = {loss: cell for loss, cell in corners.items() if cell is not None}
            points = contrast({loss: cell.observed[..., columns].mean() for loss, cell in present.items()})
            sampled = contrast({loss: cell.draws[:, columns].mean(axis=1) for loss, cell in present.items()})
            for effect, point in points.items():
                key, draws = (block.task, block.mode, pair, effect), sampled[effect]
                effects[key] = None
                if point is not None and draws is not None:
                    found[key] = float(point), draws
    adjusted = intervals([point for point, _ in found.values()], [draws for _, draws in found.values()])
    return effects | dict(zip(found, adjusted, strict=True))


def variance_parts(block: Block, cell: CellAccuracy) -> VarianceParts | None:
    """Split the uncertainty of a cell's change over all languages; None with fewer than two alignment seeds."""
    base = block.base
    if base is None or len(cell.records) < 2:
        return None
    changes = (cell.observed - base.observed).mean(axis=2)  # (align seeds, seeds)
    by_seed = changes.mean(axis=0)
    sentences = (cell.sentence_draws - base.sentence_draws).mean(axis=1)
    return VarianceParts(
        sd_align_seeds=float(changes.mean(axis=1).std(ddof=1)),
        sd_finetune_seeds=float(by_seed.std(ddof=1)) if len(by_seed) > 1 else None,
        standard_error_sentences=float(standard_error(sentences)),
    )
