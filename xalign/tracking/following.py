"""Mirroring a run while it trains, in a thread that never disturbs it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from xalign.tracking.mirror import Mirror
from xalign.tracking.store import one_line

if TYPE_CHECKING:
    from xalign.runs import Run

logger = logging.getLogger(__name__)


@contextmanager
def following(
    run: Run,
    *,
    runs: Path,
    store: str | None = None,
    tracking: str = "mlflow",
    log_checkpoints: str = "final",
    every_seconds: float = 5.0,
) -> Iterator[None]:
    """Mirror a run while the block trains it, in a thread of the main process, and finish when the block ends.

    The block writes ``result.json`` before it ends, if it succeeds. Whatever fails in tracking is one warning line for
    the whole run, and tried again; it never reaches the block. With `tracking` ``none`` nothing happens.
    """
    if tracking == "none" or not run.main:
        yield
        return
    mirror = Mirror(run.directory, runs, store, log_checkpoints)
    ended, warned = threading.Event(), threading.Event()
    outcome: list[Literal["FAILED", "KILLED"]] = ["KILLED"]

    def attempt(finish: bool) -> None:
        try:
            if finish:
                mirror.finish(outcome[0])
            else:
                mirror.catch_up()
        except Exception as error:
            if not warned.is_set():
                logger.warning("MLflow tracking: %s; repair it with `xalign mlflow sync`", one_line(error))
            warned.set()

    def follow() -> None:
        while not ended.wait(every_seconds):
            attempt(finish=False)
        attempt(finish=True)

    thread = threading.Thread(target=follow, name="mlflow-mirror", daemon=True)
    thread.start()
    try:
        yield
    except Exception:
        outcome[0] = "FAILED"
        raise
    finally:
        ended.set()
        thread.join()
