"""The run directory: identity, state, and everything that a run leaves behind.

A directory holds one run. ``run.json`` is written first, ``result.json`` last: it alone means *complete*. The key of a
run is a digest of everything that changes its numbers, so a run that exists need not be made again, and a directory
that holds another run is never mixed with this one.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xalign.config import as_dict, keyed
from xalign.errors import UsageError, XalignError
from xalign.extensions import used
from xalign.full_disk import naming_full_disk
from xalign.provenance import circumstances
from xalign.run_claim import claim, make_writable
from xalign.storage import (
    digest_json,
    locked,
    read_json,
    read_record,
    remove_partials,
    write_json,
    write_text,
)

ARTIFACTS = "mlartifacts"  # where MLflow keeps its copies, beside the runs
ARCHIVE = "archive.json"  # marks a directory of records whose models were left behind
METHOD_VERSION = 1  # raised by hand when the same options would give other numbers


@dataclass(frozen=True)
class Inputs:
    """What a run reads: the digest of its input weights, and of each data file under its path in the data directory."""

    weights: str | None = None
    data: Mapping[str, str] = field(default_factory=dict)
    upstream: list[dict[str, str]] = field(default_factory=list)
    testbed: bool = False


@dataclass(frozen=True)
class RunResult:
    """What a phase returns: where its run is, what it found, and whether it had been done before."""

    directory: Path
    result: dict[str, Any]
    reused: bool = False


def run_key(phase: str, config: Any, inputs: Inputs) -> str:
    """The identity of a run: SHA-256 over the phase, the options that change numbers, and the digests of its inputs."""
    identity = {
        "phase": phase,
        "options": {k: list(v) if isinstance(v, tuple) else v for k, v in keyed(config).items()},
        "weights": inputs.weights,
        "data": dict(inputs.data),
        "method_version": METHOD_VERSION,
    }
    # Of a package that adds a task or a loss the version counts: its author raises it when numbers change.
    added = used(getattr(config, "task", None), getattr(config, "loss", None))
    return digest_json(identity | {"packages": added} if added else identity)


class Run:
    """A run directory that this process may write, or (`main` false) the same run seen from another process."""

    def __init__(self, directory: Path, record: dict[str, Any], *, resuming: bool, main: bool) -> None:
        self.directory, self.record, self.resuming, self.main = directory, record, resuming, main
        self.resumed_from: list[int] = self._earlier_resumes() if main else []
        self.started = time.monotonic()

    @property
    def _resumes(self) -> Path:
        return self.directory / "resumed.json"

    def _earlier_resumes(self) -> list[int]:
        steps = read_json(self._resumes) if self._resumes.is_file() else []
        if not isinstance(steps, list) or not all(isinstance(step, int) for step in steps):
            raise XalignError(f"{self._resumes}: not a list of steps; delete it, then --resume")
        return steps

    @property
    def metrics(self) -> Path:
        """``metrics.jsonl``."""
        return self.directory / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        """``checkpoints/``."""
        return self.directory / "checkpoints"

    def log(self, line: Mapping[str, Any]) -> None:
        """Append a line to ``metrics.jsonl`` and flush it."""
        if self.main:
            with naming_full_disk(self.metrics), self.metrics.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")

    def note_resume(self, step: int) -> None:
        """Cut ``metrics.jsonl`` back to `step`, and remember that the run went on from there."""
        if not self.main:
            return
        kept = [line for number, line in enumerate(_lines(self.metrics), 1) if self._step(line, number) <= step]
        write_text(self.metrics, "".join(kept))
        self.resumed_from.append(step)
        write_json(self._resumes, self.resumed_from)

    def _step(self, line: str, number: int) -> float:
        try:
            return float(json.loads(line)["step"])
        except (ValueError, KeyError, TypeError, RecursionError):
            where = f"{self.metrics}:{number}"
            raise XalignError(f"{where}: not a JSON record with a step; delete the line, or use --overwrite") from None

    def write(self, name: str, value: Any) -> None:
        """Write a JSON file of the run."""
        if self.main:
            write_json(self.directory / name, value)

    def fail(self, error: str, step: int | None) -> None:
        """Leave ``failed.json`` for status and reports."""
        self.write("failed.json", {"error": error, "step": step})

    def finish(self, result: dict[str, Any]) -> RunResult:
        """Write ``result.json``: from now on the run is complete. Its checkpoints are no longer needed."""
        result = {**result, "seconds": round(time.monotonic() - self.started, 3), "resumed_from": self.resumed_from}
        if self.main:
            for name in ("failed.json", "resumed.json"):
                (self.directory / name).unlink(missing_ok=True)
            if any(self.directory.rglob("encoder*/config.json")):
                from xalign.sharing.model_card import write_cards  # most runs leave no encoder, and need no card

                write_cards(self.directory, result)
            write_json(self.directory / "result.json", result)
            shutil.rmtree(self.checkpoints, ignore_errors=True)
        return RunResult(self.directory, result)


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        return []
    # A line without its newline was being written when the process died.
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]
    return [f"{line}\n" for line in lines]


def completed(directory: Path, key: str) -> RunResult | None:
    """The result of a complete run with this key, or None."""
    if not (directory / "result.json").is_file() or not (directory / "run.json").is_file():
        return None
    if read_record(directory / "run.json").get("key") != key:
        return None
    return RunResult(directory, read_record(directory / "result.json"), reused=True)


@contextmanager
def open_run(
    config: Any, phase: str, name: str, lineage: Mapping[str, Any], inputs: Inputs, *, main: bool = True
) -> Iterator[Run]:
    """Take possession of ``config.output`` for one run, under its lock.

    An error inside the block leaves ``failed.json``, and what was written stays for ``--resume``.

    Raises:
        UsageError: the directory holds another run, an unfinished one, something that is no run, or cannot be written.
    """
    directory = Path(config.output)
    record = {
        "phase": phase,
        "name": name,
        "config": as_dict(config),
        "key": run_key(phase, config, inputs),
        "method_version": METHOD_VERSION,
        "lineage": dict(lineage),
        "upstream": inputs.upstream,
        "inputs": {"weights": inputs.weights, "data": dict(inputs.data)},
        "testbed": inputs.testbed,
    }
    if not main:
        yield Run(directory, record, resuming=config.resume, main=False)
        return
    make_writable(directory, config.data)
    with locked(directory / ".lock"):
        resuming = claim(directory, record, resume=config.resume, overwrite=config.overwrite)
        remove_partials(directory)
        (directory / "failed.json").unlink(missing_ok=True)
        if not resuming:
            write_json(directory / "run.json", record | circumstances())
        run = Run(directory, record, resuming=resuming, main=True)
        try:
            yield run
        except BaseException as error:
            if not (directory / "result.json").exists():
                with suppress(XalignError, OSError):  # the reason must reach the user where it cannot be written
                    run.fail(str(error) or type(error).__name__, getattr(error, "step", None))
            raise


def state_of(directory: Path) -> str:
    """``complete``, ``failed``, ``incomplete`` or ``missing``."""
    if (directory / "result.json").is_file():
        return "complete"
    if (directory / "failed.json").is_file():
        return "failed"
    return "incomplete" if (directory / "run.json").is_file() else "missing"


def find_runs(runs: Path) -> Iterator[Path]:
    """Run directories below `runs`, in sorted order; not inside a run, nor among MLflow's copies of them."""
    if (runs / "run.json").is_file():
        yield runs
        return
    for entry in sorted(runs.iterdir()):
        # Names that begin with a dot are half-written directories.
        if entry.is_dir() and entry.name != ARTIFACTS and not entry.name.startswith("."):
            yield from find_runs(entry)


def require_complete(directory: Path) -> dict[str, Any]:
    """The ``run.json`` of a complete run.

    Raises:
        UsageError: no run there.
        XalignError: it is not complete.
    """
    if not (directory / "run.json").is_file():
        raise UsageError(f"{directory}: not a run directory (no run.json)")
    if state_of(directory) != "complete":
        raise XalignError(f"{directory}: this run is {state_of(directory)}; finish it with --resume")
    return read_record(directory / "run.json", phase=str, key=str, config=dict, lineage=dict)
