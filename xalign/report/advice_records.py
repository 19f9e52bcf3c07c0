"""What advice is held against: advise runs, and the changes in accuracy of configurations that were then run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xalign.config import LOSSES
from xalign.errors import UsageError, XalignError
from xalign.methods.advice import NOTHING
from xalign.report.analyses import read_lines
from xalign.report.estimates import Block
from xalign.report.lineage import read_run
from xalign.runs import find_runs, state_of
from xalign.storage import read_json

COLUMNS = ("rank", "score", "low", "high", "share_first")


@dataclass(frozen=True)
class AdviceRecord:
    """One complete advise run.

    Attributes:
        advice: the configuration that it advised.
        first: the one with the highest score.
        scores: by configuration; None where it was not detectable.
        weights: digest of the encoder.
    """

    directory: Path
    task: str
    pair: str
    advice: str
    first: str
    sure: bool
    scores: Mapping[str, float | None]
    weights: str | None


@dataclass(frozen=True)
class Unit:
    """A task in one mode, and a pair of which every configuration was run.

    Attributes:
        change: by configuration, and `NOTHING`, the change in accuracy against the base, averaged over target
            languages without English, seeds and sentences.
        draws: the same (draws,) in resampled sentences and seeds.
    """

    task: str
    mode: str
    pair: str
    change: Mapping[str, float]
    draws: Mapping[str, np.ndarray]
    record: AdviceRecord

    def __str__(self) -> str:
        return f"{self.task}/{self.mode}/{self.pair}"


def collect_advice(runs: Path) -> list[AdviceRecord]:
    """Every complete advise run below `runs`.

    Raises:
        UsageError: there is none.
        XalignError: a broken file, or two runs for one task and pair.
    """
    found: dict[tuple[str, str], AdviceRecord] = {}
    for directory in find_runs(runs):
        run = read_run(directory)
        if run["phase"] != "advise" or state_of(directory) != "complete" or run["lineage"].get("method"):
            continue
        place = run["config"]["task"], run["config"]["pair"]
        if place in found:
            raise XalignError(
                f"{found[place].directory} and {directory} are two advise runs for {place[0]} on {place[1]}; "
                "delete one, or give --runs a directory that holds only one of them"
            )
        result = read_json(directory / "result.json")
        lines = read_lines(directory / "advice.csv", COLUMNS)
        found[place] = AdviceRecord(
            directory, *place, result["advice"], result["first"], bool(result["sure"]),
            {line["configuration"]: line["score"] for line in lines}, run["inputs"].get("weights"),
        )  # fmt: skip
    if not found:
        raise UsageError(f"{runs}: no complete advise run here; make one for each pair and task that was run")
    return list(found.values())


def make_units(blocks: Iterable[Block], advice: Sequence[AdviceRecord]) -> tuple[list[Unit], list[str]]:
    """All units, and what is left out and why.

    Raises:
        XalignError: advice on another encoder than the one that was aligned.
    """
    records = {(record.task, record.pair): record for record in advice}
    units: list[Unit] = []
    left_out: list[str] = []
    for block in blocks:
        pairs = {cell.pair for cell in block.cells if cell.aligned}
        for pair in sorted(pairs):
            name = f"{block.task}/{block.mode}/{pair}"
            lacking = set(LOSSES) - {cell.loss for cell in block.cells if cell.pair == pair}
            record = records.get((block.task, pair))
            if block.base is None or lacking:
                why = "no base" if block.base is None else f"{len(lacking)} of {len(LOSSES)} configurations not run"
                left_out.append(f"{name}: {why}")
            elif record is None:
                left_out.append(f"{name}: no advise run")
            else:
                units.append(_unit(block, pair, record))
    return units, left_out


def _unit(block: Block, pair: str, record: AdviceRecord) -> Unit:
    assert block.base is not None
    known = block.base.records[0].chain.base_weights
    if record.weights is not None and known is not None and record.weights != known:
        raise XalignError(f"{record.directory}: advice on another encoder than {block.base.records[0].directory} tests")
    columns = block.columns(english=False)
    base, base_draws = block.base.observed[..., columns].mean(), block.base.draws[:, columns].mean(axis=1)
    change, draws = {NOTHING: 0.0}, {NOTHING: np.zeros(len(base_draws))}
    for cell, measured in block.cells.items():
        if cell.pair == pair:
            change[cell.loss] = float(measured.observed[..., columns].mean() - base)
            draws[cell.loss] = measured.draws[:, columns].mean(axis=1) - base_draws
    return Unit(block.task, block.mode, pair, change, draws, record)
