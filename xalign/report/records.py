"""Result records of transfer runs, read from run directories and nothing else.

Outcomes become integer arrays as they are read, and sentence ids are shared between records, so that the full grid
of the paper (116 transfer runs) takes tens of megabytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from xalign.config import ALL_LANGUAGES
from xalign.errors import UsageError, XalignError
from xalign.naming import BASE
from xalign.report.lineage import Chain, read_chain, read_run
from xalign.report.outcomes import KnownIds, LanguageOutcomes, read_outcomes
from xalign.runs import find_runs, state_of
from xalign.storage import naming_damage, read_json

UNALIGNED = "S0W0M0"
MEASURES = ("accuracy_first_nonblank", "macro_f1", "probe_accuracy")
ROUNDING = 1e-3
OUTCOMES, PACKED_OUTCOMES = "outcomes.jsonl", "outcomes.jsonl.gz"


@dataclass(frozen=True)
class Cell:
    """A place in Table 1. The unaligned encoder has the pair `BASE` and the loss `UNALIGNED`."""

    task: str
    mode: str
    pair: str
    loss: str

    @property
    def aligned(self) -> bool:
        """Whether the encoder was aligned."""
        return self.pair != BASE

    def __str__(self) -> str:
        return f"{self.task}/{self.mode}/{self.pair}" + (f"/{self.loss}" if self.aligned else "")


@dataclass(frozen=True)
class TransferRecord:
    """One complete transfer run.

    Attributes:
        measures: the other values of ``result.json``, averaged over seeds.
        method: what was done beyond the paper's alignment (`xalign.naming.with_method`), if anything was.
    """

    directory: Path
    cell: Cell
    encoder: str
    align_seed: int | None
    align_step: int | None
    testbed: bool
    seeds: tuple[int, ...]
    outcomes: Mapping[str, LanguageOutcomes]
    measures: Mapping[str, Mapping[str, float]]
    chain: Chain
    method: str | None = None

    @property
    def languages(self) -> tuple[str, ...]:
        """ISO 639-3 codes, sorted."""
        return tuple(sorted(self.outcomes))


@dataclass(frozen=True)
class UnfinishedTransfer:
    """A transfer run without a result: `state` is 'failed' or 'incomplete' (running, or interrupted)."""

    directory: Path
    cell: Cell
    encoder: str
    align_seed: int | None
    align_step: int | None
    testbed: bool
    state: str
    error: str = ""


@dataclass(frozen=True)
class Transfers:
    """What was found below a runs directory."""

    complete: list[TransferRecord] = field(default_factory=list)
    unfinished: list[UnfinishedTransfer] = field(default_factory=list)


def collect_transfers(runs: Path, *, methods: bool = False, everywhere: bool = False) -> Transfers:
    """Read every transfer run below `runs`.

    Args:
        methods: also those of methods beyond the paper's alignment, which have no place in its tables.
        everywhere: those that tested all languages of the data, which have a report of their own, and no others.

    Raises:
        UsageError: `runs` is not a directory, or holds no transfer run.
        XalignError: a file is broken, outcomes disagree with the result, or a run is stale.
    """
    if not runs.is_dir():
        raise UsageError(f"{runs}: no such directory; --runs takes the directory that holds the runs")
    transfers = Transfers()
    known_ids: KnownIds = {}
    for directory in find_runs(runs):
        run = read_run(directory)
        if run["phase"] != "transfer" or tested_everywhere(run) != everywhere:
            continue
        if run["lineage"].get("method") and not methods:
            continue
        with naming_damage(directory):
            if state_of(directory) == "complete":
                transfers.complete.append(read_record(directory, run, known_ids))
            else:
                transfers.unfinished.append(read_unfinished(directory, run))
    if not transfers.complete and not transfers.unfinished:
        where, target = ("in all languages ", "languages") if everywhere else ("", "table1")
        raise UsageError(
            f"{runs}: no transfer run {where}here; make some with 'xalign grid run {target} --runs {runs}'"
        )
    return transfers


def tested_everywhere(run: Mapping[str, Any]) -> bool:
    """Whether a transfer run was to test every language of the data, rather than chosen ones."""
    return tuple(run["config"].get("languages", ())) == ALL_LANGUAGES


def cell_of(run: dict[str, Any]) -> Cell:
    """The place of a run in Table 1, from its lineage."""
    lineage = run["lineage"]
    return Cell(lineage["task"], lineage["mode"], lineage.get("pair") or BASE, lineage.get("loss") or UNALIGNED)


def read_unfinished(directory: Path, run: dict[str, Any]) -> UnfinishedTransfer:
    """A run without ``result.json``, and the error that ended it if one did."""
    lineage = run["lineage"]
    state = state_of(directory)
    return UnfinishedTransfer(
        directory=directory,
        cell=cell_of(run),
        encoder=lineage["encoder"],
        align_seed=lineage.get("align_seed"),
        align_step=lineage.get("align_step"),
        testbed=run["testbed"],
        state=state,
        error=str(read_json(directory / "failed.json").get("error", "")) if state == "failed" else "",
    )


def read_record(directory: Path, run: dict[str, Any], known_ids: KnownIds) -> TransferRecord:
    """One complete transfer run; `known_ids` lets records with the same sentences share their ids.

    Raises:
        XalignError: a broken file, a stale run, or outcomes that do not add up to the stored accuracy.
    """
    lineage = run["lineage"]
    result = read_json(directory / "result.json")
    packed = directory / PACKED_OUTCOMES
    seeds, outcomes = read_outcomes(packed if packed.is_file() else directory / OUTCOMES, known_ids)
    for language, language_outcomes in outcomes.items():
        stored = result.get("accuracy", {}).get(language, {})
        for seed, accuracy in zip(seeds, language_outcomes.accuracy, strict=True):
            if abs(stored.get(str(seed), np.inf) - accuracy) > ROUNDING:
                raise XalignError(
                    f"{directory}/outcomes.jsonl: {language}, seed {seed}: accuracy {accuracy:.4f}, but result.json "
                    f"says {stored.get(str(seed), 'nothing')}; run it again with --overwrite"
                )
    return TransferRecord(
        directory=directory,
        cell=cell_of(run),
        encoder=lineage["encoder"],
        align_seed=lineage.get("align_seed"),
        align_step=lineage.get("align_step"),
        testbed=run["testbed"],
        seeds=seeds,
        outcomes=outcomes,
        measures={name: mean_over_seeds(result[name]) for name in MEASURES if name in result},
        chain=read_chain(directory),
        method=lineage.get("method"),
    )


def mean_over_seeds(values: Mapping[str, float | Mapping[str, float]]) -> dict[str, float]:
    """Language → value, where the stored value is a number, or one number a seed."""
    return {
        language: float(np.mean(list(value.values()) if isinstance(value, Mapping) else value))
        for language, value in values.items()
    }
