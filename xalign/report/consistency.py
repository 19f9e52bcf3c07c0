"""What may stand in one table: the choice of a checkpoint, and the refusal to compare what is not comparable.

A change against the baseline means something only where both were tested on the same sentences, after the same
fine-tuning, from the same encoder. Each check raises an `XalignError` that names two runs and what differs.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from xalign.config.fields import declaration, pick, plain
from xalign.config.registry import PHASES
from xalign.errors import UsageError, XalignError
from xalign.report.lineage import Chain
from xalign.report.records import TransferRecord, Transfers, UnfinishedTransfer

# Options that distinguish the cells of a table; all others have to agree, or to be named in a note.
COORDINATES = {
    "align": {"pair", "loss", "seed"},
    "finetune": {"task", "mode", "seeds"},
    "transfer": {"languages"},
    "retrieve": {"pairs"},
    "distances": {"pairs"},
    "gradients": {"task", "pair", "loss"},
}
# Departures from the paper that a footnote need not mention: they leave the numbers of a table (nearly) alone.
UNMENTIONED = {"align.pair", "align.loss", "align.seed", "align.keep_steps", "finetune.task", "finetune.mode"} | {
    *("align.precision", "finetune.precision", "transfer.precision", "transfer.languages"),
    *("retrieve.precision", "retrieve.pairs", "distances.precision", "distances.pairs"),
    *("gradients.task", "gradients.pair", "gradients.loss"),
}


class MadeByRun(Protocol):
    """What every record of a run has: its directory, and the runs behind it."""

    @property
    def directory(self) -> Path: ...

    @property
    def chain(self) -> Chain: ...


Record = TypeVar("Record", bound=MadeByRun)


def select_step(transfers: Transfers, step: int | None) -> tuple[Transfers, list[int]]:
    """Keep the baselines and the aligned encoders of one alignment step; None is the last step found.

    Returns:
        The selection, and the steps that were left out.

    Raises:
        UsageError: no run has the step that was asked for.
    """
    runs: list[TransferRecord | UnfinishedTransfer] = [*transfers.complete, *transfers.unfinished]
    steps = {run.align_step for run in runs if run.align_step is not None}
    if step is not None and step not in steps:
        found = ", ".join(map(str, sorted(steps))) or "none"
        raise UsageError(f"step {step}: no transfer run of an encoder aligned for so many steps; there are: {found}")
    chosen = max(steps, default=None) if step is None else step

    def kept(run: TransferRecord | UnfinishedTransfer) -> bool:
        return run.align_step in (None, chosen)

    selection = Transfers(
        [run for run in transfers.complete if kept(run)], [run for run in transfers.unfinished if kept(run)]
    )
    return selection, sorted(steps - {chosen})


def require_comparable(records: Iterable[TransferRecord]) -> None:
    """Refuse records that do not belong in one table.

    Raises:
        XalignError: testbed beside real data; two base encoders; two runs for one place; within a task and mode
            other languages, seeds, fine-tuning or transfer options, or data; within a cell other alignment options.
    """
    records = list(records)
    require_equal(records, "data: the testbed is mixed with real data", lambda r: r.testbed)
    require_equal(records, "base encoder", lambda r: r.encoder)
    known_weights = [record for record in records if record.chain.base_weights is not None]
    require_equal(known_weights, "weights of the base encoder", lambda r: r.chain.base_weights)
    seen: dict[Hashable, TransferRecord] = {}
    for record in records:
        place = (record.cell, record.align_seed)
        if place in seen:
            raise XalignError(
                f"{seen[place].directory} and {record.directory} are two runs for {record.cell} with the same "
                "alignment seed and step; delete one, or give --runs a directory that holds only one of them"
            )
        seen[place] = record
    for block in grouped(records, lambda r: (r.cell.task, r.cell.mode)):
        require_equal(block, "languages", lambda r: r.languages)
        require_equal(block, "fine-tuning seeds", lambda r: r.seeds)
        for phase in ("finetune", "transfer"):
            require_same_options(block, phase)
    for task in grouped(records, lambda r: r.cell.task):
        require_same_data(task)
    for cell in grouped(records, lambda r: r.cell):
        require_same_options(cell, "align")


def grouped(records: Iterable[Record], key: Callable[[Record], Hashable]) -> list[list[Record]]:
    """Records with equal keys together, in the order in which the keys first appear."""
    groups: dict[Hashable, list[Record]] = defaultdict(list)
    for record in records:
        groups[key(record)].append(record)
    return list(groups.values())


def require_equal(records: list[Record], what: str, value: Callable[[Record], Any]) -> None:
    """Refuse the first record whose value differs from that of the first record."""
    for record in records[1:]:
        first, other = value(records[0]), value(record)
        if first != other:
            raise XalignError(
                f"{records[0].directory} and {record.directory} cannot stand in one table: "
                f"{what} ({first} and {other}); "
                "give --runs a directory that holds runs of one kind, or run one of them again"
            )


def options(record: MadeByRun, phase: str) -> dict[str, Any]:
    """The options of a phase that change numbers, less those that name the cell; empty when that run is gone."""
    run = record.chain.phase(phase)
    if run is None:
        return {}
    fields = {f.name: f for f in dataclasses.fields(PHASES[phase]) if declaration(f).kind == "identity"}
    # Options that are younger than the run had their default's effect.
    steady = {name: f.default for name, f in fields.items() if declaration(f).by is None}
    config = {name: value for name, value in steady.items() if value is not dataclasses.MISSING} | run["config"]
    return plain({name: value for name, value in config.items() if name in fields.keys() - COORDINATES[phase]})


def require_same_options(records: list[Record], phase: str, *, ignoring: frozenset[str] = frozenset()) -> None:
    """Refuse records whose runs of that phase were configured differently; runs that are gone are not compared."""
    present = [record for record in records if record.chain.phase(phase) is not None]
    for name in sorted({name for record in present for name in options(record, phase)} - ignoring):
        require_equal(present, f"{phase}.{name}", lambda r, name=name: options(r, phase).get(name))  # type: ignore[misc]


def require_same_data(records: Iterable[MadeByRun], phases: Iterable[str] = ("finetune", "transfer")) -> None:
    """Refuse records whose runs of these phases read different versions of one data file."""
    first: dict[str, tuple[str, MadeByRun]] = {}
    for record in records:
        for phase in phases:
            run = record.chain.phase(phase)
            for path, digest in ((run or {}).get("inputs", {}).get("data") or {}).items():
                known, owner = first.setdefault(path, (digest, record))
                if known != digest:
                    raise XalignError(
                        f"{owner.directory} and {record.directory} cannot stand in one table: "
                        f"they read different versions of {path}; run one of them again"
                    )


def differing_alignment_options(records: Iterable[MadeByRun]) -> list[str]:
    """Names of alignment options that are not the same in all cells: allowed, but worth a note."""
    values: dict[str, set[str]] = defaultdict(set)
    for record in records:
        for name, value in options(record, "align").items():
            values[name].add(str(value))
    return sorted(name for name, found in values.items() if len(found) > 1)


def departures_from_paper(records: Iterable[MadeByRun]) -> list[str]:
    """Options that differ from the defaults, which are the paper's: for example 'finetune.epochs 3 (not 15)'."""
    found: dict[str, set[str]] = defaultdict(set)
    for record in records:
        for phase in COORDINATES:
            run = record.chain.phase(phase)
            config = run["config"] if run else {}
            for field in dataclasses.fields(PHASES[phase]):
                declared, name = declaration(field), f"{phase}.{field.name}"
                if declared.kind != "identity" or name in UNMENTIONED or field.name not in config:
                    continue
                default = field.default
                if declared.by is not None:
                    named = {key: config.get(key) or "" for key in ("task", "mode", "pair")}
                    default = pick(declared.by, **named)
                if as_text(config[field.name]) != as_text(default):
                    found[name].add(f"{as_text(config[field.name])} (not {as_text(default)})")
    return [f"{name} {' or '.join(sorted(values))}" for name, values in found.items()]


def as_text(value: Any) -> str:
    """A value as text, the same for a tuple and the list that JSON makes of it."""
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
