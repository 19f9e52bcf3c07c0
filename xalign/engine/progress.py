"""What a person sees while a run trains: a live bar in a terminal, now and then a plain line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

PLAIN_SECONDS = 10.0


class Reporter:
    """Shows steps as they end."""

    def __init__(self, title: str, total: int, item: str, bar: Progress | None, *, silent: bool) -> None:
        self.title, self.total, self.item, self.bar, self.silent = title, total, item, bar, silent
        self.task = bar.add_task(title, total=total, values="") if bar is not None else None
        self.printed = time.monotonic()
        self.began, self.first_step = time.monotonic(), -1

    def step(self, step: int, line: Mapping[str, float]) -> None:
        """Show that `step` steps are done."""
        if self.silent:
            return
        if self.first_step < 0:
            self.first_step = step - 1
        values = self.describe(line)
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, completed=step, values=values)
        elif time.monotonic() - self.printed >= PLAIN_SECONDS or step == self.total:
            left = (time.monotonic() - self.began) / (step - self.first_step) * (self.total - step)
            print(f"{self.title}  step {step}/{self.total}  {values}  {_duration(left)} left", flush=True)
            self.printed = time.monotonic()

    def describe(self, line: Mapping[str, float]) -> str:
        """Loss and its parts, items/s and tokens/s on one line."""
        parts = " ".join(f"{key[5:]} {line[key]:.3f}" for key in line if key.startswith("loss_"))
        detail = f" ({parts})" if parts else ""
        speed = f"{line[f'{self.item}_per_second']:,.0f} {self.item}/s  {line['tokens_per_second']:,.0f} tokens/s"
        speed += f"  {line['mfu']:.0%} MFU" if "mfu" in line else ""
        return f"loss {line['loss']:.4f}{detail}  {speed}"

    def say(self, text: str) -> None:
        """A line of its own, above the bar."""
        if not self.silent:
            (self.bar.console.print if self.bar is not None else print)(text)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@contextmanager
def reporting(title: str, total: int, *, item: str, silent: bool) -> Iterator[Reporter]:
    """A `Reporter` for `total` steps; `silent` on every process but the first, and with ``--quiet``."""
    if silent or not sys.stdout.isatty():
        yield Reporter(title, total, item, None, silent=silent)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[values]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console()) as bar:
        yield Reporter(title, total, item, bar, silent=False)
