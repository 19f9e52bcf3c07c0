"""Making the runs of a grid: in this process, in long-lived workers, or as launches of their own.

A run that fails leaves ``failed.json`` and the others go on; what depends on it is left out. Workers do not write
MLflow's store: the head mirrors each run when it ends.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xalign.errors import UsageError, XalignError
from xalign.phases import run_phase
from xalign.storage import read_json

if TYPE_CHECKING:
    from xalign.grid import Grid, Job

KEPT = ("all", "heads", "none")
Execute = Callable[["Job"], str | None]


def run_jobs(
    grid: Grid,
    jobs: list[Job],
    *,
    workers: int = 1,
    launch: Path | None = None,
    keep: str = "all",
    tracking: str = "mlflow",
    overwrite: bool = False,
    slurm: Mapping[str, Any] | None = None,
) -> None:
    """Make every job that is not complete.

    Args:
        workers: runs at a time, each in a process of its own; 1 runs them here.
        launch: an Accelerate configuration; each training run becomes an ``accelerate launch``.
        keep: what stays of a fine-tuned model after its transfer: all, heads or none.
        tracking: ``mlflow`` or ``none``.
        overwrite: make stale runs anew.
        slurm: options of its jobs, if the runs go to SLURM; then `workers` of a phase run at a time.

    Raises:
        UsageError: inside an ``accelerate launch``, or an option out of range.
        XalignError: at least one run failed.
    """
    if "ACCELERATE_MIXED_PRECISION" in os.environ or "WORLD_SIZE" in os.environ:
        raise UsageError(
            "grid starts its own launches: run 'xalign grid run … --launch CONFIG.yaml' without accelerate"
        )
    if keep not in KEPT:
        raise UsageError(f"--keep {keep} is unknown: choose from {', '.join(KEPT)}")
    if workers < 1 or (launch is not None and not launch.is_file()):
        raise UsageError(
            f"--workers {workers} must be at least 1" if workers < 1 else f"--launch {launch}: no such file"
        )
    failed: dict[str, str] = {}

    def ended(job: Job, error: str | None) -> None:
        if error is not None:
            failed[job.name] = error
            print(f"failed    {job.name}: {error}", file=sys.stderr, flush=True)
        _mirror(grid, job, tracking)
        if error is None and job.phase == "transfer" and job.needs is not None:
            _discard(grid.runs / job.needs, keep)

    todo = []
    remade: set[str] = set()
    for job in jobs:
        state = grid.state(job)
        if state == "complete" and job.needs in remade:
            state = "stale"  # as soon as the run that it reads is another one
        if state == "stale" and overwrite:
            remade.add(job.name)
        if state == "stale" and not overwrite:
            failed[job.name] = "stale: made with other options, or from a run that has changed; use --overwrite"
        elif state != "complete":
            todo.append(job)
    print(f"{len(todo)} of {len(jobs)} runs to make in {grid.runs}", flush=True)
    if slurm is not None:
        from xalign.grid.slurm import run_on_slurm

        run_on_slurm(grid, todo, lambda job: _command(grid, job, launch), ended, parallel=workers, options=slurm)
    elif launch is not None:
        _in_turn(todo, lambda job: _as_launch(grid, job, launch), ended, failed)
    elif workers == 1:
        _in_turn(todo, lambda job: execute(job.phase, _configuration(grid, job)), ended, failed)
    else:
        from xalign.grid.workers import run_in_workers

        run_in_workers(todo, workers, lambda job: (execute, job.phase, _configuration(grid, job)), ended, failed)
    if failed:
        first = next(iter(failed))
        raise XalignError(f"{len(failed)} of {len(jobs)} runs are not complete; the first is {first}: {failed[first]}")


def _configuration(grid: Grid, job: Job) -> Any:
    stale = grid.state(job) == "stale"
    return grid.configuration(job, resume=not stale, overwrite=stale, tracking="none")


def execute(phase: str, config: Any) -> str | None:
    """Run one phase; None, or one line that says why it failed."""
    from xalign.engine.training import StoppedError

    try:
        run_phase(phase, config)
        return None
    except StoppedError as error:
        if error.interrupted:
            raise
        return str(error)
    except XalignError as error:
        return str(error)
    except OSError as error:
        return f"{error.filename or config.output}: {error.strerror or error}"


def _as_launch(grid: Grid, job: Job, launch: Path) -> str | None:
    child = subprocess.run(_command(grid, job, launch), stderr=subprocess.PIPE, text=True, check=False)
    if child.returncode == 0:
        return None
    own = [line for line in child.stderr.splitlines() if line.startswith("xalign: ")]
    failure = grid.runs / job.name / "failed.json"
    if own:
        return own[-1].removeprefix("xalign: ")
    return str(read_json(failure)["error"]) if failure.is_file() else f"the launch ended with code {child.returncode}"


def _command(grid: Grid, job: Job, launch: Path | None) -> list[str]:
    """The command line that makes a run, or goes on with it, with this environment's Python."""
    words = [*grid.command(job, launch), "--tracking", "none"]
    modules = {"xalign": "xalign", "accelerate": "accelerate.commands.accelerate_cli"}
    return [sys.executable, "-m", modules[words[0]], *words[1:], _continuing(grid, job)]


def _continuing(grid: Grid, job: Job) -> str:
    return "--overwrite" if grid.state(job) == "stale" else "--resume"


def _in_turn(todo: list[Job], make: Execute, ended: Callable[[Job, str | None], None], failed: dict[str, str]) -> None:
    for number, job in enumerate(todo, start=1):
        if job.needs in failed:
            failed[job.name] = f"needs {job.needs}, which failed"
            continue
        print(f"[{number}/{len(todo)}] {job.name}", flush=True)
        ended(job, make(job))


def _mirror(grid: Grid, job: Job, tracking: str) -> None:
    if tracking == "none" or not (grid.runs / job.name / "run.json").is_file():
        return
    from xalign.tracking import Mirror

    try:
        Mirror(grid.runs / job.name, grid.runs, None, "none").finish()
    except Exception as error:  # tracking is a mirror: it never stops the work
        print(f"MLflow: {job.name} not mirrored ({error}); 'xalign mlflow sync' repeats it", file=sys.stderr)


def _discard(finetuned: Path, keep: str) -> None:
    """Remove what the user does not want of a fine-tuned model whose transfer is complete."""
    if keep == "all":
        return
    for folder in finetuned.glob("encoder-seed*"):
        shutil.rmtree(folder)
    if keep == "none":
        shutil.rmtree(finetuned / "head", ignore_errors=True)
