"""``xalign grid`` and ``xalign report``: many runs, and what they show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from xalign.cli import options as o
from xalign.cli.display import console
from xalign.config import default_preset

grid_app = typer.Typer(
    help="The paper's matrix of runs: plan it, run what is missing, see how far it is.", no_args_is_help=True
)

Target = Annotated[str, typer.Argument(help="align, finetune, transfer, or a table: table1.")]
Launch = Annotated[Path | None, typer.Option(help="accelerate configuration: each training run becomes such a launch.")]
Workers = Annotated[int, typer.Option(help="Runs at a time, one device each.")]
Keep = Annotated[str, typer.Option(help="What stays of fine-tuned models after their transfer: all, heads, none.")]


def _grid(model: str, data: Path | None, preset: str | None, assignments: list[str] | None, runs: Path) -> Any:
    from xalign.grid import Grid

    chosen = preset or default_preset(model, data)
    return Grid.build(runs, preset=chosen, model=model, data=str(data) if data else None, assignments=assignments or [])


@grid_app.command("plan")
def plan(
    target: Target,
    preset: o.Preset = None,
    runs: o.Runs = Path("runs"),
    model: o.Model = "mini",
    data: o.Data = None,
    assignments: o.Assignments = None,
    launch: Launch = None,
) -> None:
    """Print the runs that a table needs, the commands that make them, and the time and disk they take."""
    grid = _grid(model, data, preset, assignments, runs)
    for line in grid.plan(target, launch=launch):
        console().print(line, markup=False)


@grid_app.command("run")
def run(
    target: Target,
    preset: o.Preset = None,
    runs: o.Runs = Path("runs"),
    model: o.Model = "mini",
    data: o.Data = None,
    assignments: o.Assignments = None,
    launch: Launch = None,
    workers: Workers = 1,
    keep: Keep = "all",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Make stale runs anew.")] = False,
    tracking: o.Tracking = None,
) -> None:
    """Make every run that a table needs and that is not complete; interrupted ones are resumed."""
    grid = _grid(model, data, preset, assignments, runs)
    grid.run(target, workers=workers, launch=launch, keep=keep, overwrite=overwrite, tracking=tracking or "mlflow")


@grid_app.command("status")
def status(
    target: Target,
    preset: o.Preset = None,
    runs: o.Runs = Path("runs"),
    model: o.Model = "mini",
    data: o.Data = None,
    assignments: o.Assignments = None,
) -> None:
    """Say which of a table's runs are complete, failed, incomplete, stale or missing."""
    grid = _grid(model, data, preset, assignments, runs)
    for line in grid.status(target):
        console().print(line, markup=False)


def report(
    name: Annotated[str, typer.Argument(help="table1.")],
    runs: o.Runs = Path("runs"),
    format: Annotated[str, typer.Option(help="rich, markdown, csv or latex.")] = "rich",
    step: Annotated[int | None, typer.Option(help="Alignment checkpoint; default: the final one.")] = None,
) -> None:
    """Make a table from the runs that are complete, print it, and leave it under RUNS/report."""
    from xalign.report import write_report
    from xalign.report.render import to_rich

    written = write_report(name, runs, step=step)
    if format == "rich":
        for table in written.tables:
            console().print(to_rich(table))
    else:
        print(written.text(format))
