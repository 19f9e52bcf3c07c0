"""``xalign report``, ``predict`` and ``compare``: what runs show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from xalign.cli import completion
from xalign.cli import options as o
from xalign.cli.display import console, show_json
from xalign.errors import UsageError, XalignError

if TYPE_CHECKING:
    from xalign.report import AllReports, Report

# Not read from the catalogue of reports: it imports matplotlib, for which a shell would have to wait.
REPORT_NAMES = (
    "table1", "table2", "tableC-top5", "tableC-top10", "figure1", "table3", "gradients", "predict", "stages", "compare",
    "langalign", "realignment", "languages", "all",
)  # fmt: skip
REPORT_HELP = f"{', '.join(REPORT_NAMES[:-1])}, or all."
Format = Annotated[
    str,
    typer.Option(
        autocompletion=completion.words("rich", "markdown", "csv", "latex"), help="rich, markdown, csv or latex."
    ),
]
Step = Annotated[int | None, typer.Option(help="Alignment checkpoint; default: the final one.")]


def report(
    name: Annotated[str, typer.Argument(autocompletion=completion.words(*REPORT_NAMES), help=REPORT_HELP)],
    runs: o.Runs = Path("runs"),
    format: Format = "rich",
    step: Step = None,
    tracking: o.Tracking = None,
    json: o.Json = False,
) -> None:
    """Make tables and figures from the runs that are complete, print the tables, and leave all under RUNS/report.

    'all' makes every report for which there are runs, and RUNS/report/index.html, a page that holds all of them.
    """
    from xalign.report import write_all, write_report

    chosen = check_output(format, tracking)
    if name == "all":
        return show_reports(write_all(runs, step=step, tracking=chosen), json)
    show_report(write_report(name, runs, step=step, tracking=chosen), runs, format, json)


def predict(
    runs: o.Runs = Path("runs"),
    hypothesis: Annotated[
        str | None,
        typer.Option(autocompletion=completion.words("HI", "HII"), help="HI or HII: only the claims about it."),
    ] = None,
    format: Format = "rich",
    step: Step = None,
    tracking: o.Tracking = None,
    json: o.Json = False,
) -> None:
    """Correlate what was measured with how well models transfer, and judge the papers' claims by rules set before.

    Example: xalign predict --runs runs/demo --hypothesis HII
    """
    from xalign.report.predict import predict as make
    from xalign.report.writing import keep

    chosen = check_output(format, tracking)
    show_report(keep(make(runs, step=step, hypothesis=hypothesis), runs, tracking=chosen), runs, format, json)


def compare(
    runs: o.Runs = Path("runs"),
    format: Format = "rich",
    tracking: o.Tracking = None,
    json: o.Json = False,
) -> None:
    """Put every method that was tested below RUNS into one table: gain by language with intervals, and cost.

    Example: xalign compare --runs runs/demo
    """
    from xalign.report import write_report

    show_report(write_report("compare", runs, tracking=check_output(format, tracking)), runs, format, json)


def check_output(format: str, tracking: str | None) -> str:
    """Refuse an unknown format or tracking before reports take their time; returns the tracking that is meant.

    Raises:
        UsageError: which, and what there is.
    """
    from xalign.report import FORMATS

    if format not in FORMATS:
        raise UsageError(f"format {format!r} is unknown: choose from {', '.join(FORMATS)}")
    if tracking not in (None, "mlflow", "none"):
        raise UsageError(f"tracking={tracking}: choose from mlflow, none")
    return tracking or "mlflow"


def show_report(written: Report, runs: Path, format: str, json: bool = False) -> None:
    """A report's tables in one of the formats, and where its figures are; or its data, as a list of rows by file."""
    from xalign.report.terminal import to_rich

    if json:
        tables = written.data.items()
        return show_json({name: [dict(zip(t.columns, row, strict=True)) for row in t.rows] for name, t in tables})
    if format == "rich":
        for table in written.tables:
            console().print(to_rich(table))
        for figure in written.figures:
            console().print(f"{runs / 'report' / figure.name}.png, .svg: {figure.title}", markup=False)
    else:
        print(written.text(format))


def show_reports(reports: AllReports, json: bool = False) -> None:
    """What `all` made, what it could not make, and where the page is.

    Raises:
        XalignError: the runs of a report are broken, stale, or not comparable.
    """
    if json:
        show_json(
            {"made": list(reports.made), "missing": reports.missing, "refused": reports.refused}
            | {"page": str(reports.page)}
        )
    for name, made in () if json else reports.made.items():
        console().print(f"[green]made[/]     {name}: {len(made.tables)} tables, {len(made.figures)} figures")
    for name, why in () if json else reports.missing.items():
        console().print(f"[yellow]missing[/]  {name}: ", end="")
        console().print(why, markup=False)
    if not json:
        console().print(f"[bold]{escape(str(reports.page))}[/]")
    if reports.refused:
        raise XalignError("; ".join(f"{name}: {why}" for name, why in reports.refused.items()))
