"""``xalign langalign``: methods beyond the paper's alignment."""

from __future__ import annotations

from typing import Annotated

import typer

from xalign.cli import completion
from xalign.cli import options as o
from xalign.cli.analyses import Task
from xalign.cli.display import show_config, show_result
from xalign.cli.phases import prepare
from xalign.config import LangalignConfig


def langalign(
    task: Task,
    pair: o.Pair,
    output: o.Output,
    architecture: Annotated[
        str | None, typer.Option(autocompletion=completion.choices("architecture"), help="fc, or ae: an autoencoder.")
    ] = None,
    model: o.Model = "mini",
    reverse: Annotated[bool, typer.Option("--reverse", help="Map the target language to English.")] = False,
    skip_step1: Annotated[bool, typer.Option("--skip-step1", help="No fine-tuning of the encoder first.")] = False,
    step1: Annotated[str | None, typer.Option(help="Where to keep the fine-tuned encoder, shared by runs.")] = None,
    parallel: Annotated[str | None, typer.Option(help="in-domain: the task's sentences; or general.")] = None,
    sentences: Annotated[int | None, typer.Option(help="Translated sentences; default: all there are.")] = None,
    noise: Annotated[float | None, typer.Option(help="Share of translations that are wrong, 0 to 1.")] = None,
    unfrozen: Annotated[bool, typer.Option("--unfrozen", help="Also a network whose encoder learns with it.")] = False,
    adapter_layers: Annotated[int | None, typer.Option(help="Linear layers of the adapter.")] = None,
    data: o.Data = None,
    preset: o.Preset = None,
    assignments: o.Assignments = None,
    dry_run: o.DryRun = False,
    resume: o.Resume = False,
    overwrite: o.Overwrite = False,
    tracking: o.Tracking = None,
    quiet: o.Quiet = False,
    json: o.Json = False,
) -> None:
    """Train an adapter that makes English vectors those of a target language, and heads on it (LangAlign).

    Example: xalign langalign --task topic --pair de-en --architecture fc --model xlm-roberta-base --data DATA
    --output runs/langalign
    """
    given = {
        "task": task, "pair": pair, "architecture": architecture, "model": model, "reverse": reverse or None,
        "skip_step1": skip_step1 or None, "step1": step1, "parallel": parallel, "sentences": sentences, "noise": noise,
        "unfrozen": unfrozen or None, "adapter_layers": adapter_layers, "data": data, "output": output,
        "resume": resume, "overwrite": overwrite, "tracking": tracking, "quiet": quiet or json,
    }  # fmt: skip
    config = prepare(LangalignConfig, "langalign", preset, assignments, given)
    if dry_run:
        return show_config("langalign", config, json)
    from xalign.phases.langalign import langalign as run

    show_result(run(config), json)
