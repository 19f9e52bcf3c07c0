"""The chain of runs behind a result: which run made its input, and is that run still the same?

A run directory records the key of each run it read from. When an upstream run has been made again with other
options, its ``run.json`` carries another key, and everything that was derived from the old one is *stale*.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xalign.errors import XalignError
from xalign.naming import runs_directory
from xalign.storage import read_record

RUN_FILE = "run.json"
REQUIRED = {
    "phase": str, "name": str, "config": dict, "key": str, "lineage": dict, "upstream": list, "inputs": dict,
    "testbed": bool,
}  # fmt: skip


@dataclass(frozen=True)
class Chain:
    """One run and those upstream of it, nearest first.

    Attributes:
        runs: their ``run.json``.
        gone: upstream runs that no longer exist.
        directories: where `runs` are.
    """

    runs: tuple[dict[str, Any], ...]
    gone: tuple[str, ...]
    directories: tuple[Path, ...] = ()

    def phase(self, phase: str) -> dict[str, Any] | None:
        """The ``run.json`` of the nearest run of that phase, or None."""
        return next((run for run in self.runs if run["phase"] == phase), None)

    @property
    def base_weights(self) -> str | None:
        """Digest of the weights of the unaligned encoder that the chain starts from, if its first reader is known."""
        run = self.runs[0]
        reader = self.phase("align" if run["lineage"].get("pair") is not None else "finetune")
        if reader is None and not run["upstream"]:
            reader = run
        return reader["inputs"].get("weights") if reader else None


def read_run(directory: Path) -> dict[str, Any]:
    """The content of ``run.json``.

    Raises:
        XalignError: the file is missing, is not JSON, or lacks a field.
    """
    path = directory / RUN_FILE
    run = read_record(path, **REQUIRED)
    for source in run["upstream"]:
        if not isinstance(source, dict) or not all(isinstance(source.get(name), str) for name in ("path", "key")):
            raise XalignError(f"{path}: an upstream run without path and key; make the run again with --overwrite")
    return run


def read_chain(directory: Path) -> Chain:
    """Follow ``upstream`` from a run to its origin, and check every key on the way.

    Raises:
        XalignError: an upstream run has another key than the one recorded: this run is stale.
    """
    root = runs_directory(directory, read_run(directory)["name"])
    found: list[dict[str, Any]] = []
    directories: list[Path] = []
    gone: list[str] = []
    pending = [directory]
    visited: set[Path] = set()
    while pending:
        current = pending.pop(0)
        if current in visited:
            continue
        visited.add(current)
        run = read_run(current)
        found.append(run)
        directories.append(current)
        for source in run["upstream"]:
            upstream = locate(Path(source["path"]), root)
            if upstream is None:
                gone.append(source["path"])
                continue
            if read_run(upstream)["key"] != source["key"]:
                raise XalignError(
                    f"{current}: stale, because {upstream} was made again with other options or inputs; "
                    "run it again with --overwrite, or delete it"
                )
            pending.append(upstream)
    return Chain(tuple(found), tuple(gone), tuple(directories))


def locate(path: Path, root: Path) -> Path | None:
    """The upstream run at `path`; None when it is gone.

    A path was recorded as it was typed, and the whole runs directory `root` may have moved since: what lies below
    `root` under the end of that path comes first, then the path itself.
    """
    parts = path.parts[1:] if path.is_absolute() else path.parts
    below = (root.joinpath(*parts[start:]) for start in range(len(parts)))
    return next((candidate for candidate in (*below, path) if (candidate / RUN_FILE).is_file()), None)
