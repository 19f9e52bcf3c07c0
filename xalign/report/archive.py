"""Records of runs without their models: small enough to be kept and passed on, enough for every report.

An archive has the layout of a runs directory. It holds the complete runs alone: ``run.json``, ``environment.json`` and
``result.json``, their CSV files, and the outcomes of transfer, compressed. Paths in it are relative, so it says nothing
about the machine, and reports on it are those of the runs it came from.
"""

from __future__ import annotations

import gzip
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from xalign.errors import UsageError
from xalign.report.records import OUTCOMES, PACKED_OUTCOMES
from xalign.runs import ARCHIVE, find_runs, state_of
from xalign.storage import read_json, replacing_directory, write_bytes, write_json

RECORDS = ("run.json", "environment.json", "result.json")


def archive(runs: Path, output: Path) -> dict[str, int]:
    """Write the records of all complete runs below `runs` to the new directory `output`.

    Returns:
        how many runs of each phase it holds.

    Raises:
        UsageError: no complete run, or `output` holds something that is no archive.
    """
    if not runs.is_dir():
        raise UsageError(f"{runs}: no such directory; --runs takes the directory that holds the runs")
    if output.exists() and not (output / ARCHIVE).is_file():
        raise UsageError(f"{output}: exists and is no archive; choose a new directory as --output")
    complete = [directory for directory in find_runs(runs) if state_of(directory) == "complete"]
    if not complete:
        raise UsageError(f"{runs}: no complete run here")
    phases: Counter[str] = Counter()
    output.parent.mkdir(parents=True, exist_ok=True)
    with replacing_directory(output) as partial:
        for directory in complete:
            phases[read_json(directory / "run.json")["phase"]] += 1
            _copy(directory, partial / directory.relative_to(runs), runs)
        write_json(partial / ARCHIVE, {"runs": dict(sorted(phases.items()))})
    return dict(phases)


def _copy(directory: Path, folder: Path, runs: Path) -> None:
    folder.mkdir(parents=True)
    for name in RECORDS:
        if (directory / name).is_file():
            write_json(folder / name, _relative(read_json(directory / name), runs))
    for path in directory.glob("*.csv"):
        shutil.copyfile(path, folder / path.name)
    if (directory / OUTCOMES).is_file():
        # Without a time in its head: the same outcomes are the same bytes.
        write_bytes(folder / PACKED_OUTCOMES, gzip.compress((directory / OUTCOMES).read_bytes(), mtime=0))


def _relative(value: Any, runs: Path) -> Any:
    """`value` with each path in it that leaves this folder relative to the runs; of others, the last part."""
    if isinstance(value, dict):
        return {name: _relative(part, runs) for name, part in value.items()}
    if isinstance(value, list):
        return [_relative(part, runs) for part in value]
    if not isinstance(value, str) or not value.startswith(("/", "../")):
        return value
    path, root = Path(value).resolve(), runs.resolve()
    return str(path.relative_to(root)) if path.is_relative_to(root) else path.name
