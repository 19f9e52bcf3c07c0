"""What the doctor sees around an installation: optional packages, the cache, the hub, a tracking server, a plan's disk.

Like all of the doctor: nothing is changed or downloaded, and nothing is waited for longer than `CONNECT_SECONDS`.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse

from xalign.doctor import CONNECT_SECONDS, GB, Finding, hub_answers
from xalign.errors import XalignError
from xalign.mlflow_store import without_password

# Distribution, what it is for, and the words that install it.
OPTIONAL = (
    ("peft", "align --adapter lora", "'xalign[adapters]'"),
    ("submitit", "grid run --executor slurm", "'xalign[slurm]'"),
    ("eflomal", "realign --aligner statistical", "'xalign[statistical]'"),
    ("sentence-transformers", "benchmarks and tests", "'xalign[test]'"),
    ("torchjd", "tests of joint", "'xalign[test]'"),
    ("playwright", "tests of MLflow's page", "'xalign[test]'"),
)


def optional_packages() -> Iterator[Finding]:
    """The packages that single options need; an absent one is worth a word, not an error."""
    found, absent = [], []
    for name, purpose, source in OPTIONAL:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            absent.append((f"{name} ({purpose})", source))
    if found:
        yield Finding("optional", "ok", ", ".join(found))
    if absent:
        sources = " ".join(dict.fromkeys(source for _, source in absent))
        yield Finding("optional", "note", f"not installed: {', '.join(n for n, _ in absent)}", f"pip install {sources}")


def nearest(path: Path) -> Path:
    """The path itself where it is a directory, else the nearest one above it."""
    return next(each for each in (path.absolute(), *path.absolute().parents) if each.is_dir())


def cache() -> Finding:
    """Where derived files go; unlike a run, the doctor does not make the directory."""
    path = Path(os.environ.get("XALIGN_CACHE") or Path.home() / ".cache" / "xalign")
    if not os.access(nearest(path), os.W_OK):
        return Finding("cache", "missing", f"{path} cannot be written", "set XALIGN_CACHE to a directory of yours")
    return Finding("cache", "ok", f"{path}, {shutil.disk_usage(nearest(path)).free / GB:.0f} GB free")


def hub() -> Finding:
    """Whether models can be fetched by name."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return Finding("hub", "ok", "switched off (HF_HUB_OFFLINE): only what is cached is loaded by name")
    if hub_answers():
        return Finding("hub", "ok", f"{without_password(constants.ENDPOINT)} answers")
    return Finding("hub", "note", "cannot be reached: give models as directories", "set HF_HUB_OFFLINE=1 to save time")


def tracking_server(address: str) -> Finding:
    """Whether the MLflow server of an address accepts a connection."""
    shown, parts = without_password(address), urlparse(address)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname, port), timeout=CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        advice = "start it, or unset MLFLOW_TRACKING_URI; runs do not need it"
        return Finding("mlflow", "missing", f"{shown} (from MLFLOW_TRACKING_URI) does not answer: {why}", advice)
    return Finding("mlflow", "ok", f"{shown} (from MLFLOW_TRACKING_URI) answers", "unset it to use RUNS/mlflow.db")


def planned_disk(target: str, preset: str | None, runs: Path, model: str, data: Path | None) -> Finding:
    """The encoders that a target of the grid still has to write, against what is free."""
    from xalign.config import default_preset
    from xalign.grid import Grid
    from xalign.grid_costs import disk_bytes

    chosen = preset or default_preset(model, data)
    try:
        grid = Grid.build(runs, preset=chosen, model=model, data=str(data) if data else None, assignments=[])
        todo = [job for job in grid.jobs(target) if grid.state(job) != "complete"]
        needed = disk_bytes(grid, todo) / GB
    except XalignError as error:
        return Finding("plan", "missing", f"{target}: {error}", "ask: xalign grid plan --help")
    free = shutil.disk_usage(nearest(runs)).free / GB
    text = f"{target}, preset {chosen}: {len(todo)} runs to make, {needed:.1f} GB of encoders, {free:.0f} GB free"
    if needed > free:
        return Finding("plan", "missing", text, "free some, choose another --runs, or grid run --keep none")
    return Finding("plan", "ok", text)
