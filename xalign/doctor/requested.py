"""What the doctor was asked about: data, a model, the store of the runs, the disk that a plan takes."""

from __future__ import annotations

import shutil
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlparse

from xalign.doctor.finding import CONNECT_SECONDS, GB, Finding
from xalign.doctor.surroundings import hub_answers, nearest
from xalign.errors import XalignError
from xalign.tracking.store import default_store, without_password


def data_directory(path: Path) -> Iterator[Finding]:
    """What a data directory holds, kind by kind."""
    from xalign.data.inventory import inventory
    from xalign.data.layout import DataDirectory

    try:
        data = DataDirectory(path)
    except XalignError as error:
        yield Finding("data", "missing", str(error), "write the testbed with: xalign data testbed --output DIR")
        return
    found = {holding.kind: holding.names for holding in inventory(data)}
    if not any(found.values()):
        advice = "its folders should be parallel/, ud/, sib200/, flores200_dataset/, muse/: see xalign data fetch"
        yield Finding("data", "missing", f"{path}: nothing that xalign reads", advice)
        return
    label = "data (testbed)" if data.testbed else "data"
    for kind, names in found.items():
        some = " ".join(names[:12]) + (" ..." if len(names) > 12 else "")
        # A command needs only the parts that it uses, so an absent part is worth a word, not an error.
        yield Finding(label, "ok" if names else "note", f"{kind}: {len(names)}" + (f" ({some})" if names else ""))


def reachable_model(name: str) -> Finding:
    """Whether a MODEL argument can be loaded from here; a hub name is looked up, never downloaded."""
    from xalign.model_source import EMBEDDED, find_model

    if name == EMBEDDED or Path(name).exists() or name.startswith((".", "/")) or name.count("/") > 1:
        try:
            return Finding("model", "ok", f"{name}: {find_model(name).directory}")
        except XalignError as error:
            return Finding("model", "missing", str(error))
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    advice = f"copy the model here and give its directory, or take {EMBEDDED!r}"
    try:
        if isinstance(try_to_load_from_cache(name, "config.json"), str):
            return Finding("model", "ok", f"{name}: in the hub's local cache")
    except HFValidationError:
        return Finding("model", "missing", f"{name}: neither a directory nor a valid hub name", advice)
    if hub_answers():
        return Finding(
            "model", "note", f"{name}: not in the hub's local cache; the hub answers, a run would download it"
        )
    return Finding("model", "missing", f"{name}: not in the hub's local cache, and the hub cannot be reached", advice)


def tracking_store(runs: Path) -> Finding:
    """The MLflow store that mirrors `runs`."""
    address = default_store(runs)
    if address.startswith(("http://", "https://")):
        return tracking_server(address)
    if not address.startswith("sqlite:///"):
        return Finding(
            "mlflow",
            "note",
            f"{without_password(address)} (from MLFLOW_TRACKING_URI)",
            "unset it to use RUNS/mlflow.db",
        )
    database = Path(address.removeprefix("sqlite:///"))
    if not database.is_file():
        return Finding("mlflow", "ok", f"{database}: made by the first run, or by: xalign mlflow sync")
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            [count] = connection.execute("SELECT count(*) FROM runs").fetchone()
    except sqlite3.Error as error:
        return Finding("mlflow", "missing", f"{database}: {error}", "delete it, then: xalign mlflow sync")
    return Finding("mlflow", "ok", f"{database}: {count} runs")


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
    from xalign.grid.costs import disk_bytes

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
