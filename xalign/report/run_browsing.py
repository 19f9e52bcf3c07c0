"""Looking at runs and clearing them away: what is there, what a run was, how two differ, which can go.

Everything is read from run directories; nothing here trains or changes a run, and `prune` deletes only what it listed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xalign.errors import UsageError, XalignError
from xalign.report.lineage import read_chain
from xalign.runs import find_runs, state_of
from xalign.storage import locked, read_record

WHAT = ("failed", "incomplete", "stale", "checkpoints", "models")
MODELS = ("encoder", "head", "adapter")  # prefixes of what holds weights in a run directory
EXECUTION = ("output", "resume", "overwrite", "tracking", "log_checkpoints", "quiet", "workers")


@dataclass(frozen=True)
class RunLine:
    """A run in a list: where it is, what made it, how it stands, its seconds (None: not complete) and bytes."""

    directory: Path
    name: str
    phase: str
    state: str
    created: str
    seconds: float | None
    size: int


@dataclass(frozen=True)
class Removal:
    """A path that `prune` would delete, why, and how many bytes that frees."""

    path: Path
    why: str
    size: int


def list_runs(runs: Path) -> list[RunLine]:
    """Every run below `runs`, by name.

    Raises:
        UsageError: `runs` is not a directory, or holds no run.
    """
    if not runs.is_dir():
        raise UsageError(f"{runs}: no such directory; --runs takes the directory that holds the runs")
    found = []
    for directory in find_runs(runs):
        record, state = read_record(directory / "run.json", name=str, phase=str), state_of(directory)
        seconds = _seconds(directory / "result.json") if state == "complete" else None
        state = "stale" if state == "complete" and is_stale(directory) else state
        created = str(record.get("created", ""))[:16].replace("T", " ")
        found.append(RunLine(directory, record["name"], record["phase"], state, created, seconds, size_of(directory)))
    if not found:
        raise UsageError(f"{runs}: no run here")
    return sorted(found, key=lambda line: (line.phase, line.name))


def is_stale(directory: Path) -> bool:
    """Whether a run that this one goes back to, however far, was made again with other options or inputs since."""
    try:
        read_chain(directory)
    except XalignError:
        return True
    return False


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a directory."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file() and not file.is_symlink())


def describe(directory: Path) -> dict[str, Any]:
    """What a run was and found: its record, where it ran, its result or what ended it.

    Raises:
        UsageError: no run there.
    """
    record = _record(directory)
    found = {"state": state_of(directory), **record}
    for part in ("environment", "result", "failed"):
        if (directory / f"{part}.json").is_file():
            found[part] = read_record(directory / f"{part}.json")
    return found


def difference(first: Path, second: Path) -> list[tuple[str, Any, Any]]:
    """(what, there, here) for everything that changes numbers and is not the same in two runs, then for their results.

    Raises:
        UsageError: one of them is no run.
    """
    rows: list[tuple[str, Any, Any]] = []
    sides = [describe(first), describe(second)]
    for part in ("phase", "config", "lineage", "inputs", "method_version", "versions", "git", "environment", "result"):
        left, right = (dict(flatten(side.get(part), part)) for side in sides)
        for name in dict.fromkeys((*left, *right)):
            option = name.removeprefix("config.").partition(".")[0]
            if left.get(name) != right.get(name) and not (part == "config" and option in EXECUTION):
                rows.append((name, left.get(name), right.get(name)))
    return rows


def flatten(value: Any, name: str) -> Iterable[tuple[str, Any]]:
    """Nested dictionaries as (dotted name, value); anything else as it is."""
    if isinstance(value, Mapping) and value:
        for key, part in value.items():
            yield from flatten(part, f"{name}.{key}")
    elif value is not None:
        yield name, value


def removable(runs: Path, what: Iterable[str]) -> list[Removal]:
    """What `prune` would delete.

    Args:
        what: of `WHAT`: runs that failed, were left incomplete, or are stale; checkpoints of interrupted runs; models
            (encoders and heads) of complete runs, whose records stay.

    Raises:
        UsageError: a word that is not in `WHAT`, or no run.
    """
    wanted = set(what)
    if unknown := wanted - set(WHAT):
        raise UsageError(f"prune {', '.join(sorted(unknown))}: choose from {', '.join(WHAT)}")
    found = []
    for line in list_runs(runs):
        parts: list[tuple[Path, str]] = []
        if line.state in wanted:
            parts = [(line.directory, line.state)]
        else:
            if "checkpoints" in wanted:
                parts += [(line.directory / "checkpoints", "checkpoints")]
            if "models" in wanted and line.state == "complete":
                parts += [(path, "model") for path in line.directory.iterdir() if path.name.startswith(MODELS)]
        found += [Removal(path, why, size_of(path)) for path, why in parts if path.exists()]
    return found


def prune(removals: Iterable[Removal], runs: Path) -> int:
    """Delete what `removable` listed, each run under its lock; returns the bytes that were freed.

    Raises:
        XalignError: a run is being written by another process.
    """
    freed = 0
    for removal in removals:
        directory = next(p for p in (removal.path, *removal.path.parents) if (p / "run.json").is_file())
        if not directory.resolve().is_relative_to(runs.resolve()):
            raise XalignError(f"{removal.path}: lies outside of {runs}; nothing more is deleted")
        with locked(directory / ".lock"):
            if removal.path.is_dir():
                shutil.rmtree(removal.path)
            else:
                removal.path.unlink()
        freed += removal.size
    return freed


def _record(directory: Path) -> dict[str, Any]:
    if not (directory / "run.json").is_file():
        raise UsageError(f"{directory}: not a run directory (no run.json)")
    return read_record(directory / "run.json")


def _seconds(result: Path) -> float | None:
    seconds = read_record(result).get("seconds")
    return seconds if isinstance(seconds, (int, float)) else None
