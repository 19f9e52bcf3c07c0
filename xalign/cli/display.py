"""What commands print: resolved options, results, findings. On the first process only."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from xalign.config import as_dict

if TYPE_CHECKING:
    from xalign.config import Provenance
    from xalign.runs import RunResult

MOST_NUMBERS = 40  # of one result that are printed one by one
STATES = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "missing": "[red]missing[/]"}


def console() -> Console:
    """Standard output; silent on every process of a launch but the first."""
    return Console(quiet=not _first_process(), soft_wrap=True, highlight=False, emoji=False)


def _first_process() -> bool:
    return os.environ.get("RANK", "0") == "0"


def show_config(phase: str, config: Any, as_json: bool = False) -> None:
    """A phase's resolved options, one a line."""
    if as_json:
        return show_json({"phase": phase, "config": as_dict(config)})
    console().print(f"[bold]{phase}[/]")
    for name, value in as_dict(config).items():
        console().print(f"  {name}: {value}", markup=False)


def show_preset(rows: Iterable[tuple[str, str, Any, Provenance]]) -> None:
    """Every value of a preset with its mark and source."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("phase", "option", "value", "mark", "source"):
        table.add_column(column, overflow="fold")
    for phase, name, value, provenance in rows:
        shown = "by the encoder" if value is None and name == "dropout" else _plain(value)
        table.add_row(*map(Text, (phase, name, shown, provenance.mark, provenance.source)))
    console().print(table, markup=False)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {item}" for key, item in value.items())
    if isinstance(value, (tuple, list)):
        return ",".join(map(str, value))
    return "none" if value is None else str(value)


def show_result(outcome: RunResult, as_json: bool = False) -> None:
    """Where a run is, and its main numbers; as JSON all that its ``result.json`` says."""
    if as_json:
        return show_json({"directory": str(outcome.directory), "reused": outcome.reused, "result": outcome.result})
    out = console()
    head = "already complete" if outcome.reused else f"done in {outcome.result['seconds']:.0f} s"
    out.print(f"[bold green]{head}[/]  {escape(str(outcome.directory))}")
    for name, value in outcome.result.items():
        shown = {key: _mean(item) for key, item in value.items()} if isinstance(value, dict) else {}
        numbers = {key: number for key, number in shown.items() if number is not None}
        if numbers:
            out.print(f"  {name}: {_few(numbers)}", markup=False)


def _few(numbers: dict[str, float]) -> str:
    """Every number with its key; of more than can be read, the mean and the extremes."""
    if len(numbers) <= MOST_NUMBERS:
        return ", ".join(f"{key} {_number(number)}" for key, number in numbers.items())
    low, high = (choose(numbers, key=numbers.__getitem__) for choose in (min, max))
    mean = sum(numbers.values()) / len(numbers)
    return f"mean {mean:.3f} of {len(numbers)}, from {low} {numbers[low]:.3f} to {high} {numbers[high]:.3f}"


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def _mean(value: Any) -> float | None:
    """A number, or the mean of a dictionary's numbers; None for anything else."""
    if isinstance(value, int):
        return value
    values = list(value.values()) if isinstance(value, dict) else [value]
    numbers = [item for item in values if isinstance(item, int | float)]
    return sum(numbers) / len(numbers) if numbers and len(numbers) == len(values) else None


def show_json(value: Any) -> None:
    """A value as indented JSON, and nothing else."""
    if _first_process():
        print(json.dumps(value, indent=2, ensure_ascii=False))


def show_rows(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Rows under a header, as wide as the terminal; a value that is absent is a dash."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(Text(column), overflow="fold")
    for row in rows:
        table.add_row(*(Text("–" if value is None else _plain(value)) for value in row))
    console().print(table)


def show_findings(findings: Iterable[Any]) -> None:
    """`doctor`'s findings as a table."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("", "topic", "found", "what to do"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        table.add_row(STATES[finding.state], *map(Text, (finding.topic, finding.text, finding.advice)))
    console().print(table)
