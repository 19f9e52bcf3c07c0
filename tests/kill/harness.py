"""A command is ended at some point, then run again until it is done; what it leaves must be what it leaves untouched.

A `Point` is a moment of the clock or a change to a file. After the end, nothing that stands under a final name may be
half-written; after the repetition, every file must equal that of a run which nobody touched.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal as signals
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from forking import Forks
from safetensors import safe_open

from xalign.storage import PARTIAL

SIGNALS = (signals.SIGKILL, signals.SIGTERM, signals.SIGINT)
# What differs between two runs of one command: when, where, how fast, and how often interrupted.
WHEN = frozenset({"created", "seconds", "resumed_from", "resume", "output", "model", "heads", "path", "runs"})
BESIDE = frozenset({"said.txt", "changes.txt", ".lock"})


@dataclass(frozen=True)
class Point:
    """Where a command is ended: after a share of its usual time, or before a share of its changes to files."""

    signal: signals.Signals
    by: str  # "clock" or "change"
    share: float

    def __str__(self) -> str:
        return f"{self.signal.name} at {100 * self.share:.0f} % by {self.by}"


@dataclass(frozen=True)
class Command:
    """The arguments of a command that writes nowhere but below a folder, and what must be there before."""

    words: Callable[[Path], list[str]]
    prepare: Callable[[Path], object] = lambda folder: folder.mkdir(parents=True)


@dataclass(frozen=True)
class Untouched:
    """A command that nobody ended: what it leaves, how long it takes, how many changes it makes to files."""

    command: Command
    content: dict[str, Any]
    seconds: float
    changes: int


def points(number: int, seed: int) -> list[Point]:
    """`number` random points for each signal; by clock and by change in turn."""
    draw = random.Random(seed)
    return [
        Point(signal, ("change", "clock")[(index + which) % 2], draw.random())
        for index in range(number)
        for which, signal in enumerate(SIGNALS)
    ]


def finish(forks: Forks, words: list[str], folder: Path) -> float:
    """Run a command to its end and return its seconds; it must succeed."""
    began = time.monotonic()
    code = forks.wait(forks.start(words, folder))
    assert code == 0, f"ended with {code}: {(folder / 'said.txt').read_text()[-2000:]}"
    return time.monotonic() - began


def untouched(forks: Forks, command: Command, folder: Path) -> Untouched:
    """The command as it runs when nobody ends it."""
    command.prepare(folder)
    seconds = finish(forks, command.words(folder), folder)
    return Untouched(command, content(folder), seconds, int((folder / "changes.txt").read_text()))


def end_and_repeat(forks: Forks, reference: Untouched, point: Point, folder: Path) -> str:
    """End the command at `point`, look at what it left, run it again.

    Returns:
        what the end met: "before it wrote", "while it ran", or "after it had ended".

    Raises:
        AssertionError: something half-written, a traceback, or another content than that of the untouched command.
    """
    reference.command.prepare(folder)
    before = content(folder).keys()
    words = reference.command.words(folder)
    if point.by == "change":
        pid = forks.start(words, folder, change=1 + int(point.share * reference.changes), signal=point.signal)
    else:
        pid = forks.start(words, folder)
        time.sleep(point.share * reference.seconds)
        os.kill(pid, point.signal)
    code = forks.wait(pid)
    said = (folder / "said.txt").read_text() if (folder / "said.txt").is_file() else ""
    assert "Traceback" not in said, said
    left = content(folder)  # reads every file that has its final name
    finish(forks, words, folder)
    found = content(folder)
    assert found.keys() == reference.content.keys(), sorted(found.keys() ^ reference.content.keys())
    for name, value in found.items():
        assert value == reference.content[name], f"{name} is not what it is when nobody ends the command"
    shutil.rmtree(folder)
    if code == 0:
        return "after it had ended"
    return "while it ran" if left.keys() - before else "before it wrote"


def content(folder: Path) -> dict[str, Any]:
    """Every file below `folder` by name, less what differs between two runs; checkpoints are read, not listed.

    Raises:
        ValueError, SafetensorError: a file is not whole.
    """
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if not path.is_file() or PARTIAL in name or path.name in BESIDE:
            continue
        read = _read(path, folder)
        if "checkpoints/" not in name and path.name not in ("failed.json", "resumed.json"):
            found[name] = read
    return found


def _read(path: Path, folder: Path) -> Any:
    if path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
            digests = {name: sha256(tensor.numpy().tobytes()).hexdigest() for name, tensor in tensors.items()}
            return file.metadata(), digests
    if path.suffix == ".json":
        return _steady(json.loads(path.read_text()))
    if path.name == "metrics.jsonl":
        # A line without its end was being written.
        return [_steady(json.loads(line)) for line in path.read_text().splitlines(keepends=True) if line[-1] == "\n"]
    return path.read_bytes().replace(bytes(folder), b"FOLDER")


def _steady(value: Any) -> Any:
    """A JSON value without what differs between two runs of one command."""
    if isinstance(value, dict):
        return {
            name: _steady(each) for name, each in value.items() if name not in WHEN and not name.endswith("per_second")
        }
    return [_steady(each) for each in value] if isinstance(value, list) else value
