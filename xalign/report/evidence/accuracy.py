"""Effects on accuracy; sentences and seeds are resampled jointly in all encoders, see `xalign.report.estimates`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from xalign.report.claims import Effect
from xalign.report.estimates import Block, CellAccuracy
from xalign.report.evidence.sources import Evidence
from xalign.report.factorial import CORNERS, signs
from xalign.report.records import UNALIGNED, Cell
from xalign.report.statistics import percentile_interval


def accuracy_change(evidence: Evidence, *, task: str, loss: str, mode: str | None = None) -> Effect | None:
    """Mean change of a configuration's accuracy against the base, over pairs, modes and languages."""
    return _contrast(evidence.of_task(task, mode), {loss: 1.0, UNALIGNED: -1.0})


def loss_difference(
    evidence: Evidence, *, task: str, first: str, second: str, mode: str | None = None
) -> Effect | None:
    """Mean difference in accuracy between two configurations of the same pair."""
    return _contrast(evidence.of_task(task, mode), {first: 1.0, second: -1.0})


def main_effect(evidence: Evidence, *, task: str, loss: str, mode: str | None = None) -> Effect | None:
    """Mean main effect of one loss in the 2³ factorial, over pairs and modes; needs all eight corners."""
    weights = {corner: float(sign) / 4 for corner, sign in zip(CORNERS, signs(loss), strict=True)}
    return _contrast(evidence.of_task(task, mode), weights)


def mode_difference(evidence: Evidence, *, task: str) -> Effect | None:
    """Accuracy of full fine-tuning less that of a linear head, over all encoders that have both."""
    modes = {block.mode: block for block in evidence.of_task(task)}
    if set(modes) < {"full", "linear"}:
        return None
    points, draws = [], []
    for cell, full in modes["full"].cells.items():
        linear = modes["linear"].cells.get(Cell(task, "linear", cell.pair, cell.loss))
        if linear is not None and modes["full"].languages == modes["linear"].languages:
            points.append(full.observed.mean() - linear.observed.mean())
            draws.append(full.draws.mean(axis=1) - linear.draws.mean(axis=1))
    return _from_draws(points, draws, f"{len(points)} encoders")


def _contrast(blocks: Iterable[Block], weights: Mapping[str, float]) -> Effect | None:
    """Mean over blocks and pairs of a weighted sum of cells; a pair without all of its cells is left out."""
    points, draws, pairs = [], [], set()
    for block in blocks:
        for pair in dict.fromkeys(cell.pair for cell in block.cells if cell.aligned):
            parts: list[tuple[float, CellAccuracy | None]] = [
                (weight, block.base if loss == UNALIGNED else block.cells.get(Cell(block.task, block.mode, pair, loss)))
                for loss, weight in weights.items()
            ]
            present = [(weight, cell) for weight, cell in parts if cell is not None]
            if len(present) == len(parts):
                points.append(sum(weight * float(cell.observed.mean()) for weight, cell in present))
                draws.append(sum(weight * cell.draws.mean(axis=1) for weight, cell in present))
                pairs.add(pair)
    return _from_draws(points, draws, f"{len(pairs)} pairs, {len(points)} blocks")


def _from_draws(points: list[float], draws: list[np.ndarray], over: str) -> Effect | None:
    if not points:
        return None
    low, high = percentile_interval(np.mean(draws, axis=0))
    return Effect(float(np.mean(points)), float(low), float(high), over)
