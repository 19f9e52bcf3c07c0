"""Runs of a grid in long-lived worker processes: imports are paid once a process, and no run outlives the grid.

A signal to the grid goes to every worker, where the step under way ends and is saved. Workers whose grid is gone
altogether stop by themselves, likewise saved.
"""

from __future__ import annotations

import concurrent.futures as futures
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import connection
from typing import TYPE_CHECKING, Any

from xalign.errors import XalignError

if TYPE_CHECKING:
    from xalign.grid import Job

STOPPED = "stopped by a signal; what was reached is saved, run the grid again to go on"


def run_in_workers(
    todo: list[Job],
    workers: int,
    call: Callable[[Job], tuple[Callable[..., str | None], str, Any]],
    ended: Callable[[Job, str | None], None],
    failed: dict[str, str],
) -> None:
    """Keep `workers` processes busy with jobs whose inputs exist.

    Args:
        call: a job as a function and its two arguments; it returns None, or one line that says why the run failed.
        ended: told of each run that ended, with its error.
        failed: errors by run, as `ended` collects them; what depends on one of these is left out and added.

    Raises:
        XalignError: a signal stopped the grid; all workers have ended.
    """
    waiting = list(todo)
    running: dict[futures.Future[str | None], Job] = {}
    with _passing_signals_on() as stopped:
        pool = _pool(workers)
        try:
            while (waiting and not stopped.is_set()) or running:
                unfinished = {job.name for job in waiting} | {job.name for job in running.values()}
                for job in [job for job in waiting if job.needs in failed]:
                    failed[job.name] = f"needs {job.needs}, which failed"
                    waiting.remove(job)
                for job in [job for job in waiting if job.needs is None or job.needs not in unfinished]:
                    if len(running) < workers and not stopped.is_set():
                        print(f"[{len(todo) - len(waiting) + 1}/{len(todo)}] {job.name}", flush=True)
                        running[pool.submit(_make, *call(job))] = job
                        waiting.remove(job)
                for future in futures.wait(running, return_when=futures.FIRST_COMPLETED).done:
                    job = running.pop(future)
                    try:
                        ended(job, future.result())
                    except futures.BrokenExecutor:
                        died = "its worker died (out of memory?); run the grid again to resume it"
                        ended(job, STOPPED if stopped.is_set() else died)
                        pool = _pool(workers)
                    except Exception as error:
                        ended(job, f"{type(error).__name__}: {error}")
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        if stopped.is_set():
            raise XalignError(STOPPED)


@contextmanager
def _passing_signals_on() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set; each is also sent to every worker."""
    stopped = threading.Event()

    def pass_on(number: int, _: object) -> None:
        stopped.set()
        for child in multiprocessing.active_children():
            if child.pid is not None and child.is_alive():
                os.kill(child.pid, signal.SIGTERM)

    numbers = (signal.SIGTERM, signal.SIGINT)
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    before = {number: signal.signal(number, pass_on) for number in numbers}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _pool(workers: int) -> futures.ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    numbers = context.Queue()
    for number in range(workers):
        numbers.put(number)
    return futures.ProcessPoolExecutor(workers, context, begin_worker, (numbers, workers))


def begin_worker(numbers: Any, workers: int) -> None:
    """Give a worker a GPU, which it shares where there are fewer, or its share of the cores."""
    import torch

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the grid passes it on as SIGTERM
        signal.signal(signal.SIGTERM, _stop)
    threading.Thread(target=_end_with_the_grid, name="end-with-the-grid", daemon=True).start()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = visible.split(",") if visible else [str(index) for index in range(torch.cuda.device_count())]
    number = numbers.get()
    if devices:
        os.environ["CUDA_VISIBLE_DEVICES"] = devices[number % len(devices)]
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))


class _Work:
    """Whether this worker makes a run just now."""

    under_way = False


def _make(function: Callable[..., str | None], phase: str, config: Any) -> str | None:
    _Work.under_way = True
    try:
        return function(phase, config)
    finally:
        _Work.under_way = False


def _stop(*_: object) -> None:
    """On SIGTERM outside of training, whose own handler saves first. A worker between two runs goes on waiting."""
    if _Work.under_way:
        raise XalignError(STOPPED)


def _end_with_the_grid() -> None:
    """Once the grid's process is gone, stop what is under way, then this process."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    connection.wait([parent.sentinel])
    while _Work.under_way:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)
    os._exit(1)
