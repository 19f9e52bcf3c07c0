"""One line of a benchmark: our side and theirs measured in turns, as median and spread, written as JSON."""

from __future__ import annotations

import json
import platform
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
import torch.multiprocessing as multiprocessing

from xalign.storage import write_json

RESULTS = Path(__file__).parent / "results"
Side = Callable[[], float]
Ratio = Literal["theirs / ours", "ours / theirs"]


def wall_seconds(run: Callable[[], object]) -> float:
    """Wall time of one call, with the device's work done."""
    began = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def compare(
    measure: str,
    ours: Side,
    theirs: Side,
    *,
    goal: float,
    ratio: Ratio,
    rounds: int,
    higher_is_better: bool = True,
    warm_up: bool = True,
) -> dict[str, Any]:
    """Measure both sides in turns.

    Args:
        measure: what is measured, its unit, data and encoder.
        ours, theirs: each measures its side once.
        goal: what the ratio should reach.
        ratio: ``theirs / ours`` turns costs, such as seconds, into a gain.
        higher_is_better: false where the ratio is a cost that should be small.
        warm_up: an unmeasured call of each side first.

    Returns:
        one entry of a result file.
    """
    if warm_up:
        ours(), theirs()
    values = [(ours(), theirs()) for _ in range(rounds)]
    each = [b / a if ratio == "theirs / ours" else a / b for a, b in values]
    columns = {"ours": [a for a, _ in values], "theirs": [b for _, b in values], "ratio": each}
    entry: dict[str, Any] = {"measure": measure}
    entry |= {name: round(statistics.median(column), 4) for name, column in columns.items()}
    entry |= {"goal": goal, "higher_is_better": higher_is_better}
    entry["spread"] = {name: [round(min(column), 4), round(max(column), 4)] for name, column in columns.items()}
    return entry | {"device": device()}


def device() -> str:
    """The hardware that a line is about."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{platform.machine()}, {torch.get_num_threads()} threads"


def write(name: str, entries: list[dict[str, Any]]) -> None:
    """Write ``results/NAME.json``, and show it."""
    RESULTS.mkdir(exist_ok=True)
    write_json(RESULTS / f"{name}.json", entries)
    for entry in entries:
        print(json.dumps(entry, indent=2))


def peak_memory(step: Callable[[Any], Callable[[], object]], argument: Any) -> float:
    """Peak memory in MB that a step takes, measured in a process of its own.

    Args:
        step: makes everything that the step needs, then returns the step; imported by name.
        argument: what it is called with.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found: float = pool.apply(_peak, (step, argument))
        return found


def _peak(step: Callable[[Any], Callable[[], object]], argument: Any) -> float:
    run = step(argument)
    if torch.cuda.is_available():
        run()
        torch.cuda.reset_peak_memory_stats()
        run()
        return float(torch.cuda.max_memory_allocated()) / 2**20
    before = _resident()
    run()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20
