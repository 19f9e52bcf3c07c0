"""Reports: from run directories to tables, one function a table of the paper."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from xalign.errors import UsageError
from xalign.report.records import collect_transfers
from xalign.report.render import FORMATS, Report, Table, render, to_rich
from xalign.report.table1 import table1
from xalign.storage import locked, write_text

__all__ = ["FORMATS", "REPORTS", "Report", "Table", "render", "to_rich", "write_report"]

FOLDER = "report"


def report_table1(runs: Path, step: int | None) -> Report:
    """Table 1 of all transfer runs below `runs`."""
    return table1(collect_transfers(runs), step=step)


REPORTS: dict[str, Callable[[Path, int | None], Report]] = {"table1": report_table1}


def write_report(name: str, runs: Path, *, step: int | None = None) -> Report:
    """Make a report and leave it as ``runs/report/NAME.csv``, ``.md`` and ``.tex``, with a CSV for each companion.

    Args:
        name: one of `REPORTS`.
        runs: directory that holds the runs, at any depth.
        step: alignment step of the encoders; None is the last one found.

    Raises:
        UsageError: an unknown report, no runs, a step that no run has, a folder that cannot be written.
        XalignError: runs that are broken, stale or not comparable.
    """
    if name not in REPORTS:
        raise UsageError(f"report {name!r} is unknown: choose from {', '.join(REPORTS)}")
    report = REPORTS[name](runs, step)
    folder = runs / FOLDER
    try:
        folder.mkdir(exist_ok=True)
        with locked(folder / ".lock", wait=True):
            for file, table in report.data.items():
                write_text(folder / f"{file}.csv", render(table, "csv"))
            write_text(folder / f"{name}.md", report.text("markdown"))
            write_text(folder / f"{name}.tex", report.text("latex"))
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written ({error.strerror}); give --runs a directory of yours") from None
    return report
