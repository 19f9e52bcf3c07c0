"""Reports in MLflow: copies of their files, as artifacts of one run named ``report``."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from xalign.tracking.store import one_line, open_store

RUN_NAME = "report"
RUNS_TAG = "xalign.runs"

logger = logging.getLogger(__name__)


def mirror_report(runs: Path, files: Iterable[Path], *, store: str | None = None) -> None:
    """Copy files to the store of `runs`; whatever fails is one warning line and nothing more."""
    try:
        client, experiment = open_store(runs, store)
        tags = {"phase": RUN_NAME, RUNS_TAG: str(runs.resolve())}
        known = f"tags.phase = '{RUN_NAME}'"  # the path is compared here: it may hold a quotation mark
        found = client.search_runs([experiment], filter_string=known)
        same = [run for run in found if run.data.tags.get(RUNS_TAG) == tags[RUNS_TAG]]
        run = same[0] if same else client.create_run(experiment, run_name=RUN_NAME, tags=tags)
        for file in files:
            client.log_artifact(run.info.run_id, str(file))
        client.set_terminated(run.info.run_id)
    except Exception as error:
        logger.warning("MLflow tracking of the report: %s; the files themselves are written", one_line(error))
