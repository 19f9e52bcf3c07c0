"""``xalign grid``: many runs, planned, made and watched."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from xalign.cli import completion
from xalign.cli import options as o
from xalign.cli.display import console, show_json
from xalign.config import default_preset
from xalign.errors import UsageError
from xalign.grid.slurm import PARALLEL, parse_options

grid_app = typer.Typer(
    help="The paper's matrix of runs: plan it, run what is missing, see how far it is.", no_args_is_help=True
)

Target = Annotated[
    str,
    typer.Argument(
        autocompletion=completion.targets,
        help="A phase, or table1, table2, tableC, table3, figure1, stages, languages, all.",
    ),
]
Launch = Annotated[Path | None, typer.Option(help="accelerate configuration: each training run becomes such a launch.")]
Workers = Annotated[
    int | None, typer.Option(help="Runs at a time, one device each; 1, or with --executor slurm 100, unless given.")
]
Executor = Annotated[
    str,
    typer.Option(
        autocompletion=completion.words("local", "slurm"),
        help="local, or slurm: each run becomes a job, each phase an array.",
    ),
]
SlurmOptions = Annotated[
    list[str] | None,
    typer.Option("--slurm", metavar="KEY=VALUE", help="partition=…, time=MINUTES, gpus_per_node=…; may be repeated."),
]
Keep = Annotated[
    str,
    typer.Option(
        autocompletion=completion.words("all", "heads", "none"),
        help="What stays of fine-tuned models after their transfer: all, heads, none.",
    ),
]


def _grid(model: str, data: Path | None, preset: str | None, assignments: list[str] | None, runs: Path) -> Any:
    from xalign.grid import Grid

    chosen = preset if preset is not None else default_preset(model, data)
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
    json: o.Json = False,
) -> None:
    """Print the runs that a table needs, the commands that make them, and the time and disk they take."""
    grid = _grid(model, data, preset, assignments, runs)
    if json:
        return show_json(grid.listing(target, launch=launch))
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
    workers: Workers = None,
    executor: Executor = "local",
    slurm: SlurmOptions = None,
    keep: Keep = "all",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Make stale runs anew.")] = False,
    tracking: o.Tracking = None,
) -> None:
    """Make every run that a table needs and that is not complete; interrupted ones are resumed."""
    grid = _grid(model, data, preset, assignments, runs)
    jobs = slurm_options(executor, slurm or [])
    parallel = workers if workers is not None else (1 if jobs is None else PARALLEL)
    chosen = tracking or "mlflow"
    grid.run(target, workers=parallel, launch=launch, slurm=jobs, keep=keep, overwrite=overwrite, tracking=chosen)


def slurm_options(executor: str, texts: list[str]) -> dict[str, Any] | None:
    """The options of SLURM's jobs; None where runs are made here.

    Raises:
        UsageError: an unknown executor, or options for the other one.
    """
    if executor not in ("local", "slurm"):
        raise UsageError(f"--executor {executor} is unknown: choose from local, slurm")
    if executor == "local" and texts:
        raise UsageError(f"--slurm {texts[0]} needs --executor slurm")
    return parse_options(texts) if executor == "slurm" else None


@grid_app.command("status")
def status(
    target: Target,
    preset: o.Preset = None,
    runs: o.Runs = Path("runs"),
    model: o.Model = "mini",
    data: o.Data = None,
    assignments: o.Assignments = None,
    json: o.Json = False,
) -> None:
    """Say which of a table's runs are complete, failed, incomplete, stale or missing."""
    grid = _grid(model, data, preset, assignments, runs)
    if json:
        return show_json(grid.listing(target))
    for line in grid.status(target):
        console().print(line, markup=False)
