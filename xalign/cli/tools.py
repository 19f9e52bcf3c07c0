"""``xalign config | doctor | mlflow``: what surrounds the phases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xalign.cli import completion
from xalign.cli import options as o
from xalign.cli.display import console, show_findings, show_json, show_preset
from xalign.config import show
from xalign.errors import XalignError

config_app = typer.Typer(help="Presets, and where their values come from.", no_args_is_help=True)
mlflow_app = typer.Typer(help="MLflow, the mirror of a runs directory.", no_args_is_help=True)


@config_app.command("show")
def config_show(
    preset: Annotated[
        str, typer.Argument(autocompletion=completion.presets, help="paper, small, demo, smoke, or a YAML file.")
    ],
    json: o.Json = False,
) -> None:
    """Print every value of a preset with its provenance.

    Example: xalign config show paper
    """
    rows = list(show(preset))
    if json:
        columns = ("phase", "option", "value", "mark", "source")
        return show_json([dict(zip(columns, (*row[:3], row[3].mark, row[3].source), strict=True)) for row in rows])
    show_preset(rows)


@mlflow_app.command("sync")
def mlflow_sync(
    runs: o.Runs = Path("runs"),
    store: Annotated[str | None, typer.Option(help="Tracking store; default: sqlite in the runs directory.")] = None,
    log_checkpoints: Annotated[
        str, typer.Option(autocompletion=completion.words("none", "final", "all"), help="none, final or all.")
    ] = "none",
) -> None:
    """Mirror every run directory to MLflow; what is there already is left alone."""
    from xalign.tracking import sync

    console().print(f"{sync(runs, store=store, log_checkpoints=log_checkpoints)} runs mirrored")


@mlflow_app.command("ui")
def mlflow_ui(
    runs: o.Runs = Path("runs"),
    port: Annotated[int, typer.Option(help="Port on the loopback interface.", min=1, max=65535)] = 5000,
) -> None:
    """Serve MLflow's page on 127.0.0.1."""
    import subprocess

    from xalign.tracking.page import page, ui_command

    command = ui_command(runs, port=port)
    console().print(page(runs, port=port), markup=False)
    raise typer.Exit(subprocess.call(command))


def doctor(
    data: o.Data = None,
    model: Annotated[str | None, typer.Option(help=o.MODEL_HELP)] = None,
    runs: Annotated[Path | None, typer.Option(help="Runs directory.")] = None,
    plan: Annotated[
        str | None,
        typer.Option(autocompletion=completion.targets, help="A target of 'grid plan': is the disk large enough?"),
    ] = None,
    preset: o.Preset = None,
    json: o.Json = False,
) -> None:
    """Say what this machine and launch can do, what is missing, and what to do about it.

    Example: xalign doctor --data DATA --model xlm-roberta-base --plan table1
    """
    from dataclasses import asdict

    from xalign.doctor import examine

    findings = examine(data=data, model=model, runs=runs, plan=plan, preset=preset, network=True)
    if json:
        show_json([asdict(finding) for finding in findings])
    else:
        show_findings(findings)
    missing = [finding.topic for finding in findings if finding.state == "missing"]
    if missing:
        raise XalignError(f"missing: {', '.join(missing)}; the last column says what to do")
