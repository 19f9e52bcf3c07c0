"""MLflow as a mirror of run directories: what a run left on disk, shown in MLflow's pages.

The run directory stays the only truth. Mirroring may be stopped, repeated, or pointed at another store at any time:
how many lines of ``metrics.jsonl`` MLflow has stands as a tag of the MLflow run itself, so that nothing is logged
twice. ``tracking.json`` remembers which MLflow run belongs to a directory; without it the run is found by its key.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from xalign.errors import UsageError, XalignError
from xalign.runs import find_runs
from xalign.storage import digest_file, read_json, write_json
from xalign.tracking.store import (
    EXPERIMENT,
    METRICS_PER_CALL,
    as_text,
    log_numbers,
    log_parameters,
    numbers,
    one_line,
    open_store,
)
from xalign.tracking.view import with_average

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from mlflow.entities import Run as MlflowRun
    from mlflow.tracking import MlflowClient

LINES_TAG, MIRRORED_TAG = "xalign.metric_lines", "xalign.mirrored"
RECORDS = ("run.json", "environment.json", "result.json", "failed.json")
UPLOADS = {"none": (), "final": ("encoder", "encoder-seed*", "head"), "all": ("encoder", "encoder-s*", "head")}


@dataclass
class Mirror:
    """One run directory and its counterpart in MLflow, which is made at the first use.

    Args:
        run: the run directory, with at least ``run.json``.
        runs: the directory of all runs, where the default store and the artifacts lie.
        store: MLflow tracking address; None is ``sqlite:///RUNS/mlflow.db``.
        log_checkpoints: ``final`` uploads encoder/ and head/, ``all`` the encoders of earlier steps too.
        experiment: name of the MLflow experiment.
    """

    run: Path
    runs: Path
    store: str | None = None
    log_checkpoints: str = "none"
    experiment: str = EXPERIMENT
    _opened: tuple[MlflowClient, str] | None = field(default=None, init=False, repr=False)
    _lines: int = field(default=0, init=False, repr=False)
    _last_step: int = field(default=0, init=False, repr=False)

    def catch_up(self) -> int:
        """Log the lines of ``metrics.jsonl`` that MLflow does not have yet; returns how many there were.

        Raises:
            XalignError: a line is broken (file:line), or the store cannot be opened.
        """
        client, run_id = self._open()
        path = self.run / "metrics.jsonl"
        # Lines are counted, not compared: a resumed run cuts the file back and writes the same lines again.
        # One without its line end is still being written.
        lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.is_file() else []
        start = self._lines
        if len(lines) <= start:
            return 0
        if start and client.get_run(run_id).info.status != "RUNNING":
            client.update_run(run_id, status="RUNNING")
        timestamp = int(path.stat().st_mtime * 1000)
        waiting: list[Metric] = []
        for number, line in enumerate(lines[start:], start + 1):
            step, metrics = self._read(line, number, timestamp)
            if len(waiting) + len(metrics) > METRICS_PER_CALL:
                self._send(client, run_id, waiting, number - 1)
                waiting = []
            waiting += metrics
            self._last_step = step
        self._send(client, run_id, waiting, len(lines))
        return len(lines) - start

    def finish(self, otherwise: Literal["RUNNING", "FAILED", "KILLED"] = "KILLED") -> str:
        """Log what is left, the final metrics and the artifacts; set and return the status.

        A run with ``result.json`` is FINISHED, one with ``failed.json`` FAILED, any other what `otherwise` says.
        """
        self.catch_up()
        client, run_id = self._open()
        result, failed = self.run / "result.json", self.run / "failed.json"
        status = "FINISHED" if result.is_file() else "FAILED" if failed.is_file() else otherwise
        if status == "RUNNING":
            return status
        ended = next((path for path in (result, failed) if path.is_file()), self.run / "run.json")
        mirrored = f"{status} {self.log_checkpoints} {digest_file(ended)}"
        before = client.get_run(run_id)
        if before.info.status == status and before.data.tags.get(MIRRORED_TAG) == mirrored:
            return status
        if status == "FINISHED":
            log_numbers(client, run_id, with_average(read_json(result)), _milliseconds(result), self._last_step)
        for name in RECORDS:
            if (self.run / name).is_file():
                client.log_artifact(run_id, str(self.run / name))
        for directory in sorted(path for pattern in UPLOADS[self.log_checkpoints] for path in self.run.glob(pattern)):
            client.log_artifacts(run_id, str(directory), artifact_path=directory.name)
        client.set_tag(run_id, MIRRORED_TAG, mirrored)
        stopped_at = time.time() if ended.name == "run.json" else ended.stat().st_mtime
        client.set_terminated(run_id, status, end_time=int(stopped_at * 1000))
        return status

    def _open(self) -> tuple[MlflowClient, str]:
        """The client and the id of the MLflow run: the recorded one, or one with the same key, or a new one."""
        if self._opened is None:
            description = read_json(self.run / "run.json")
            tracking = self.run / "tracking.json"
            recorded = read_json(tracking) if tracking.is_file() else {}
            client, experiment_id = open_store(self.runs, self.store, self.experiment)
            # A repeated run (--overwrite) has the same key and numbers of its own; a resumed one keeps its birthday.
            same_key = client.search_runs([experiment_id], filter_string=f"tags.key = '{description['key']}'")
            same = [run for run in same_key if run.data.tags.get("created") == description["created"]]
            mirrored = next((run for run in same if run.info.run_id == recorded.get("run_id")), None)
            mirrored = mirrored or (same[0] if same else self._create(client, experiment_id, description))
            run_id = mirrored.info.run_id
            if not mirrored.data.params:
                log_parameters(client, run_id, description["config"])
            self._lines = int(mirrored.data.tags.get(LINES_TAG, 0))
            self._last_step = recorded.get("last_step", 0)
            self._remember(run_id)
            self._opened = client, run_id
        return self._opened

    def _create(self, client: MlflowClient, experiment_id: str, description: dict[str, Any]) -> MlflowRun:
        tags = {
            **{name: description["lineage"].get(name) for name in ("encoder", "pair", "loss", "task", "mode")},
            **{name: description.get(name) for name in ("phase", "key", "created", "testbed")},
            "git_commit": (description.get("git") or {}).get("commit"),
            "mlflow.parentRunId": self._parent(client, experiment_id, description),
        }
        return client.create_run(
            experiment_id,
            start_time=int(datetime.fromisoformat(description["created"]).timestamp() * 1000),
            run_name=description["name"],
            tags={name: as_text(value) for name, value in tags.items() if value is not None},
        )

    def _parent(self, client: MlflowClient, experiment_id: str, description: dict[str, Any]) -> str | None:
        """The MLflow run of the run that this one was made from, if it was mirrored."""
        for source in description.get("upstream") or ():
            if found := client.search_runs([experiment_id], filter_string=f"tags.key = '{source['key']}'"):
                return str(found[0].info.run_id)
        return None

    def _read(self, line: str, number: int, timestamp: int) -> tuple[int, list[Metric]]:
        """The step and the numbers of a line; the seeds of a fine-tuning count the same steps and get a group each."""
        from mlflow.entities import Metric

        try:
            record = json.loads(line)
            step, seed = int(record.pop("step")), record.pop("seed", None)
        except (ValueError, KeyError, TypeError, AttributeError):
            where = f"{self.run / 'metrics.jsonl'}:{number}"
            raise XalignError(f"{where}: not a JSON record with a step; repeat the run with --overwrite") from None
        group = "" if seed is None else f"seed_{seed}/"
        return step, [Metric(group + name, value, timestamp, step) for name, value in numbers(record).items()]

    def _send(self, client: MlflowClient, run_id: str, metrics: list[Metric], lines: int) -> None:
        """Log metrics together with the number of lines that MLflow has from now on."""
        from mlflow.entities import RunTag

        client.log_batch(run_id, metrics=metrics, tags=[RunTag(LINES_TAG, str(lines))])
        self._lines = lines
        self._remember(run_id)

    def _remember(self, run_id: str) -> None:
        write_json(self.run / "tracking.json", {"run_id": run_id, "last_step": self._last_step})


def sync(runs: Path, *, store: str | None = None, log_checkpoints: str = "none", experiment: str = EXPERIMENT) -> int:
    """Mirror every run directory below `runs`, and return how many; a run without an end stays as open as it is.

    Raises:
        UsageError: there is no such directory, or no run in it.
        XalignError: the store cannot be opened; or, after all others were mirrored, which runs could not be.
    """
    found = list(find_runs(runs)) if runs.is_dir() else []
    if not found:
        raise UsageError(f"{runs}: no run directory (one with run.json) below it; name another --runs")
    open_store(runs, store, experiment)
    failures = []
    for run in found:
        try:
            Mirror(run, runs, store, log_checkpoints, experiment).finish(otherwise="RUNNING")
        except Exception as error:
            failures.append(f"{run.relative_to(runs)}: {one_line(error)}")
    if failures:
        raise XalignError(f"{len(failures)} of {len(found)} runs not mirrored: {'; '.join(failures)}")
    return len(found)


def _milliseconds(path: Path) -> int:
    return int(path.stat().st_mtime * 1000)
