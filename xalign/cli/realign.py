"""``xalign realign``: realignment of linked words before or during fine-tuning."""

from __future__ import annotations

from typing import Annotated

import typer

from xalign.cli import completion
from xalign.cli import options as o
from xalign.cli.analyses import Task
from xalign.cli.display import show_config, show_result
from xalign.cli.phases import prepare
from xalign.config import RealignConfig


def realign(
    task: Task,
    pair: o.Pair,
    output: o.Output,
    strategy: Annotated[
        str | None,
        typer.Option(autocompletion=completion.choices("strategy"), help="baseline, before, during or before+during."),
    ] = None,
    aligner: Annotated[
        str | None,
        typer.Option(
            autocompletion=completion.choices("aligner"),
            help="dictionary, statistical, neural, or a file of i-j links, a line a pair.",
        ),
    ] = None,
    freeze: Annotated[
        str | None,
        typer.Option(
            autocompletion=completion.choices("freeze"), help="Layers realignment leaves alone: none, lower or upper."
        ),
    ] = None,
    negatives: Annotated[
        str | None,
        typer.Option(autocompletion=completion.choices("negatives"), help="strong: words of both languages; or weak."),
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(
            autocompletion=completion.choices("mode"), help="full, or linear: a head on the realigned encoder."
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
    """Draw linked words of translations together, before or during fine-tuning on English (realignment).

    Example: accelerate launch -m xalign realign --task pos --pair de-en --strategy before --aligner dictionary
    --model xlm-roberta-base --data DATA --output runs/realign
    """
    given = {
        "task": task, "pair": pair, "strategy": strategy, "aligner": aligner, "freeze": freeze, "negatives": negatives,
        "mode": mode, "model": model, "data": data, "output": output, "seeds": seeds, "epochs": epochs,
        "learning_rate": learning_rate, "precision": precision, "resume": resume, "overwrite": overwrite,
        "tracking": tracking, "log_checkpoints": log_checkpoints, "quiet": quiet or json,
    }  # fmt: skip
    config = prepare(RealignConfig, "realign", preset, assignments, given)
    if dry_run:
        return show_config("realign", config, json)
    from xalign.phases.realign import realign as run

    show_result(run(config), json)
