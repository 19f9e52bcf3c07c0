"""What may end a training from outside: signals, which let the step under way end, and processes that are lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from xalign.engine import checkpoint, collective
from xalign.errors import LostProcessError
from xalign.runs import Run


@contextmanager
def noticing_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set, so that the step under way can end and be saved."""
    noticed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield noticed
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, lambda *_: noticed.set())
    try:
        yield noticed
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def naming_lost_processes(run: Run) -> Iterator[None]:
    """Turn what a collective operation raises when another process is gone into one line."""
    try:
        yield
    except Exception as error:
        if not collective.is_lost_process(error):
            raise
        newest = checkpoint.latest(run.checkpoints)
        saved = f"step {checkpoint.step_of(newest)} is saved" if newest is not None else "nothing was saved yet"
        raise LostProcessError(
            f"a process of this launch died or cannot be reached ({str(error).splitlines()[0][:160]}); {saved}: "
            f"start all processes again with --resume"
        ) from None
