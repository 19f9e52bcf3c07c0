"""MLflow's pages about the runs of a directory: the command that serves them, and the address to open."""

from __future__ import annotations

import sys
from pathlib import Path

from xalign.errors import UsageError
from xalign.tracking import view
from xalign.tracking.store import artifact_location, default_store, open_store
from xalign.tracking.view import LOOPBACK


def page(runs: Path, *, port: int = 5000) -> str:
    """The address of the page that `ui_command` serves, open on the runs with our columns first.

    Raises:
        XalignError: the store cannot be opened.
    """
    client, experiment_id = open_store(runs)
    view.refresh(client, experiment_id)
    return view.address(port, experiment_id)


def ui_command(runs: Path, *, store: str | None = None, port: int = 5000) -> list[str]:
    """The command that serves MLflow's pages about `runs`, to this machine alone.

    Raises:
        UsageError: there is no such directory.
    """
    if not runs.is_dir():
        raise UsageError(f"{runs}: no such directory; --runs takes the directory that holds the runs")
    # A page elsewhere whose name is made to mean 127.0.0.1 would still send that name as its host.
    hosts = ["--allowed-hosts", f"{LOOPBACK}:*,localhost:*"]
    server = ["server", "--host", LOOPBACK, "--port", str(port), "--workers", "1", *hosts]
    stores = ["--backend-store-uri", store or default_store(runs), "--default-artifact-root", artifact_location(runs)]
    return [sys.executable, "-m", "mlflow", *server, *stores, "--no-serve-artifacts"]
