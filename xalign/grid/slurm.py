"""Runs of a grid as array jobs of SLURM.

Each phase is one array, which waits for the phases before it. A job that is preempted, or that reaches its time limit,
saves, goes back into the queue and goes on exactly where it was. What became of a run stands in its own directory, so
that nothing is lost when the process that submitted ends first.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xalign.errors import UsageError

if TYPE_CHECKING:
    from xalign.grid import Grid, Job

FOLDER = ".slurm"  # below the runs directory: scripts and logs
POLL_SECONDS = 5.0
PARALLEL = 100  # runs of an array at a time
REQUEUES = 1000
OURS = ("additional_parameters", "array_parallelism", "nodes", "ntasks_per_node")


@dataclass
class GridTask:
    """One run as a command. SLURM's warning becomes a SIGTERM, which `xalign` answers by saving."""

    command: list[str]
    child: Any = field(default=None, repr=False)

    def __call__(self) -> None:
        """Run the command.

        Raises:
            RuntimeError: it failed, so that SLURM too calls the job failed.
        """
        self.child = subprocess.Popen(self.command, preexec_fn=_ignore_warning)
        if code := self.child.wait():
            raise RuntimeError(f"ended with code {code}: {' '.join(self.command)}")

    def checkpoint(self) -> Any:
        """Called by submitit before a preemption or the time limit: save, and be submitted again."""
        from submitit.helpers import DelayedSubmission

        if self.child is not None:
            self.child.send_signal(signal.SIGTERM)
            with suppress(ChildProcessError):  # it has ended already
                # Not `wait`: the call that this signal interrupted holds its lock.
                os.waitid(os.P_PID, self.child.pid, os.WEXITED | os.WNOWAIT)
        return DelayedSubmission(GridTask(self.command))


def _ignore_warning() -> None:
    """SLURM signals all processes of a job; for a run its signal is translated, by `GridTask.checkpoint`."""
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)


def parse_options(texts: list[str]) -> dict[str, Any]:
    """Read ``--slurm KEY=VALUE``, where KEY is a parameter of submitit's `SlurmExecutor`, such as partition or time."""
    options: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or key in OURS:
            raise UsageError(f"--slurm {text}: write KEY=VALUE, for example partition=gpu, time=120, gpus_per_node=1")
        options[key] = int(value) if value.isdigit() else value
    return options


def run_on_slurm(
    grid: Grid,
    todo: list[Job],
    command: Callable[[Job], list[str]],
    ended: Callable[[Job, str | None], None],
    *,
    parallel: int,
    options: Mapping[str, Any],
) -> None:
    """Submit every job, and wait until all have left the queue.

    Args:
        todo: runs to make, each after the one that it reads.
        command: the command line of a run.
        ended: called with each run that has ended, and why if it failed.
        parallel: runs of an array at a time.
        options: parameters of submitit's `SlurmExecutor`.

    Raises:
        UsageError: no SLURM here, or an option that it does not know.
    """
    waiting: dict[str, Job] = {}
    before: str | None = None
    for _, wave in itertools.groupby(todo, key=lambda job: job.phase):
        jobs = list(wave)
        ids = _submit(grid.runs / FOLDER, [command(job) for job in jobs], before, parallel=parallel, options=options)
        before = ids[0].partition("_")[0]
        waiting |= dict(zip(ids, jobs, strict=True))
        print(f"array {before}: {len(jobs)} × {jobs[0].phase}", flush=True)
    print(f"waiting for {len(waiting)} jobs; logs in {grid.runs / FOLDER}", flush=True)
    while waiting:
        for identifier in _gone(waiting):
            job = waiting.pop(identifier)
            ended(job, _why(grid, job, identifier))
        time.sleep(POLL_SECONDS if waiting else 0)


def _submit(
    folder: Path, commands: list[list[str]], before: str | None, *, parallel: int, options: Mapping[str, Any]
) -> list[str]:
    """One array job; returns the id of each of its tasks."""
    try:
        import submitit
    except ImportError:
        raise UsageError("--executor slurm needs submitit: pip install 'xalign[slurm]'") from None
    try:
        executor = submitit.SlurmExecutor(folder, max_num_timeout=REQUEUES)
    except RuntimeError:
        raise UsageError("no SLURM here (srun is not on the path): use --executor local") from None
    additional = {"requeue": True} | ({"dependency": f"afterany:{before}"} if before is not None else {})
    try:
        executor.update_parameters(array_parallelism=parallel, additional_parameters=additional, **options)
    except (ValueError, NameError, TypeError) as error:
        raise UsageError(f"--slurm: {str(error).splitlines()[0]}") from None
    try:
        with executor.batch():
            jobs = [executor.submit(GridTask(command)) for command in commands]
    except submitit.core.utils.FailedJobError as error:
        raise UsageError(f"SLURM refuses the job: {str(error).strip().splitlines()[-1]}") from None
    return [str(job.job_id) for job in jobs]


def _gone(waiting: Mapping[str, Job]) -> Iterator[str]:
    """Ids that are no longer in the queue; all stay where the queue cannot be read."""
    words = ["squeue", "--me", "--array", "--noheader", "--states=all", "--format=%i %T"]
    found = subprocess.run(words, capture_output=True, text=True, check=False)
    if found.returncode != 0:
        return
    states = dict(line.split() for line in found.stdout.splitlines())
    alive = ("PENDING", "RUNNING", "CONFIGURING", "COMPLETING", "REQUEUED", "REQUEUE_HOLD", "SUSPENDED", "PREEMPTED")
    yield from [identifier for identifier in waiting if states.get(identifier) not in alive]


def _why(grid: Grid, job: Job, identifier: str) -> str | None:
    """Why a run that has left the queue is not complete; None if it is."""
    from xalign.runs import state_of
    from xalign.storage import read_json

    directory = grid.runs / job.name
    if state_of(directory) == "complete":
        return None
    failure = directory / "failed.json"
    logs = f"{grid.runs / FOLDER}/{identifier}_0_log.err"
    reason = read_json(failure)["error"] if failure.is_file() else "it left the queue without a result"
    return f"{reason}; see {logs}"
