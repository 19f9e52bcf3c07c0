"""The Typer app behind ``xalign``, ``python -m xalign`` and ``accelerate launch -m xalign``."""

from __future__ import annotations

import typer

from xalign.cli import (
    advise,
    analyses,
    cite,
    data,
    encoders,
    grid,
    joint,
    methods,
    phases,
    realign,
    report,
    runs,
    tools,
)

app = typer.Typer(
    name="xalign",
    help="Align multilingual encoders, measure what alignment did, and find out whether it helps your task.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(phases.align)
app.command()(phases.finetune)
app.command()(phases.transfer)
app.command()(phases.pretrain)
app.command()(analyses.retrieve)
app.command()(analyses.distances)
app.command()(analyses.gradients)
app.command()(analyses.calibrate)
app.command()(methods.langalign)
app.command()(joint.joint)
app.command()(advise.advise)
app.command()(realign.realign)
app.command()(encoders.embed)
app.command()(encoders.export)
app.command()(report.report)
app.command()(report.predict)
app.command()(report.compare)
app.command()(cite.cite)
app.command()(tools.doctor)
app.add_typer(grid.grid_app, name="grid")
app.add_typer(runs.runs_app, name="runs")
app.add_typer(tools.config_app, name="config")
app.add_typer(data.data_app, name="data")
app.add_typer(tools.mlflow_app, name="mlflow")
