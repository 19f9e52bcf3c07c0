"""``xalign joint``: alignment and the English task in one training."""

from __future__ import annotations

from typing import Annotated

import typer

from xalign.cli import completion
from xalign.cli import options as o
from xalign.cli.analyses import Task
from xalign.cli.display import show_config, show_result
from xalign.cli.phases import prepare
from xalign.config import JointConfig


def joint(
    task: Task,
    pair: o.Pair,
    output: o.Output,
    combine: Annotated[
        str | None,
        typer.Option(
            autocompletion=completion.choices("combine"),
            help="sum, pcgrad, cagrad, mgda, gradvac; random and alternate are controls.",
        ),
    ] = None,
    loss: o.Loss = None,
    align_weight: Annotated[float | None, typer.Option(help="Factor of the alignment losses.")] = None,
    freeze: Annotated[
        str | None,
        typer.Option(
            autocompletion=completion.choices("freeze"), help="none, or lower: the lower half of the encoder."
        ),
    ] = None,
    model: o.Model = "mini",
    data: o.Data = None,
    preset: o.Preset = None,
    assignments: o.Assignments = None,
    seeds: Annotated[str | None, typer.Option(help="Comma-separated seeds, one model each.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the task's training data.")] = None,
    learning_rate: o.LearningRate = None,
    precision: o.Precision = None,
    dry_run: o.DryRun = False,
    resume: o.Resume = False,
    overwrite: o.Overwrite = False,
    tracking: o.Tracking = None,
    log_checkpoints: o.LogCheckpoints = None,
    quiet: o.Quiet = False,
    json: o.Json = False,
) -> None:
    """Train alignment and the English task together, combining their gradients where they conflict.

    Example: xalign joint --combine pcgrad --task topic --pair de-en --loss S1W0M0 --model xlm-roberta-base --data DATA
    --output runs/joint
    """
    given = {
        "task": task, "pair": pair, "combine": combine, "loss": loss, "align_weight": align_weight, "freeze": freeze,
        "model": model, "data": data, "output": output, "seeds": seeds, "epochs": epochs,
        "learning_rate": learning_rate, "precision": precision, "resume": resume, "overwrite": overwrite,
        "tracking": tracking, "log_checkpoints": log_checkpoints, "quiet": quiet or json,
    }  # fmt: skip
    config = prepare(JointConfig, "joint", preset, assignments, given)
    if dry_run:
        return show_config("joint", config, json)
    from xalign.phases.joint import joint as run

    show_result(run(config), json)
