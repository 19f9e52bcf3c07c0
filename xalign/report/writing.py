"""Reports as files below ``RUNS/report``: each on its own, or all that can be made together with the report page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from xalign.errors import UsageError, XalignError
from xalign.report.artifacts import mirror_report
from xalign.report.catalogue import REPORTS
from xalign.report.figures import styled, to_png, to_svg
from xalign.report.lineage import read_run
from xalign.report.page import FOLDER, PAGE, Missing, Section, page
from xalign.report.render import Report, render
from xalign.runs import ARCHIVE, find_runs
from xalign.storage import locked, write_bytes, write_text


@dataclass(frozen=True)
class AllReports:
    """What ``all`` made: the page, the reports by name, those without runs, and those whose runs are not usable."""

    page: Path
    made: dict[str, Report]
    missing: dict[str, str]
    refused: dict[str, str]


def write_report(name: str, runs: Path, *, step: int | None = None, tracking: str = "none") -> Report:
    """Make a report and leave it below ``runs/report``.

    ``NAME.csv``, ``.md`` and ``.tex``, a CSV for each companion, and each figure as PNG and SVG.

    Args:
        name: one of `REPORTS`.
        runs: directory that holds the runs, at any depth.
        step: alignment step of the encoders; None is the last one found.
        tracking: 'mlflow' copies the files to the store of `runs` too.

    Raises:
        UsageError: an unknown report, no runs, a step that no run has, a folder that cannot be written.
        XalignError: runs that are broken, stale or not comparable.
    """
    if name not in REPORTS:
        raise UsageError(f"report {name!r} is unknown: choose from {', '.join(REPORTS)}, all")
    return keep(REPORTS[name].make(runs, step), runs, tracking=tracking)


def keep(report: Report, runs: Path, *, tracking: str = "none") -> Report:
    """Leave a finished report below ``runs/report``, and in MLflow unless it is off or `runs` an archive."""
    files = write_files(report, runs)
    if tracking != "none" and not (runs / ARCHIVE).is_file():
        mirror_report(runs, files)
    return report


def write_all(runs: Path, *, step: int | None = None, tracking: str = "none") -> AllReports:
    """Make every report for which runs exist, then ``runs/report/index.html`` with all of them.

    A report whose runs are broken, stale or not comparable does not keep the others from being made; it stands in
    `AllReports.refused`, and on the page.

    Raises:
        UsageError: no report can be made.
    """
    if not runs.is_dir():
        raise UsageError(f"{runs}: no such directory; --runs takes the directory that holds the runs")
    present = {read_run(directory)["phase"] for directory in find_runs(runs)}
    files: list[Path] = []
    made: dict[str, Report] = {}
    missing: dict[str, str] = {}
    refused: dict[str, str] = {}
    for name, entry in REPORTS.items():
        if not present & set(entry.phases):
            missing[name] = f"no {' or '.join(entry.phases)} run here"
            continue
        try:
            made[name] = entry.make(runs, step)
            files += write_files(made[name], runs)
        except UsageError as error:
            missing[name] = str(error)
        except XalignError as error:
            refused[name] = str(error)
    if not made:
        reasons = "; ".join(dict.fromkeys([*refused.values(), *missing.values()]))
        raise UsageError(f"{runs}: no report can be made: {reasons}")
    place = runs / FOLDER / PAGE
    sections = [Section(name, REPORTS[name], report) for name, report in made.items()]
    gaps = [Missing(name, REPORTS[name], why) for name, why in (missing | refused).items()]
    write_text(place, page(runs, sections, gaps, step=step))
    if tracking != "none" and not (runs / ARCHIVE).is_file():
        mirror_report(runs, [*files, place])
    return AllReports(place, made, missing, refused)


def write_files(report: Report, runs: Path) -> list[Path]:
    """Write a report in all formats and return its files."""
    folder = runs / FOLDER
    contents: dict[str, bytes] = {}
    for file, table in report.data.items():
        contents[f"{file}.csv"] = render(table, "csv").encode()
    contents[f"{report.name}.md"] = report.text("markdown").encode()
    contents[f"{report.name}.tex"] = report.text("latex").encode()
    for drawing in report.figures:
        figure = styled(drawing.draw)
        contents[f"{drawing.name}.png"] = to_png(figure)
        contents[f"{drawing.name}.svg"] = to_svg(figure, drawing.name)
    try:
        folder.mkdir(exist_ok=True)
        with locked(folder / ".lock", wait=True):
            for name, content in contents.items():
                write_bytes(folder / name, content)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written ({error.strerror}); give --runs a directory of yours") from None
    return [folder / name for name in contents]
