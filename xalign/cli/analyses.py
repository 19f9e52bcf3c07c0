"""``xalign retrieve | distances | gradients | calibrate``: each builds a configuration and calls its analysis."""

from __future__ import annotations

from typing import Annotated

import typer

from xalign.cli import completion
from xalign.cli import options as o
from xalign.cli.display import show_config, show_result
from xalign.cli.phases import prepare
from xalign.config import CalibrateConfig, DistancesConfig, GradientsConfig, RetrieveConfig

Task = Annotated[
    str,
    typer.Option(autocompletion=completion.choices("task"), help="pos (UD part-of-speech tags) or topic (SIB-200)."),
]
Pairs = Annotated[str | None, typer.Option(help="Comma-separated language pairs: deu-eng,kor-fra.")]


def retrieve(
    output: o.Output,
    model: o.Model = "mini",
    pairs: Pairs = None,
    transform: o.Transform = None,
    transform_text: o.TransformText = None,
    data: o.Data = None,
    preset: o.Preset = None,
    assignments: o.Assignments = None,
    batch_size: o.EncodedTogether = None,
    precision: o.Precision = None,
    dry_run: o.DryRun = False,
    resume: o.Resume = False,
    overwrite: o.Overwrite = False,
    tracking: o.Tracking = None,
    quiet: o.Quiet = False,
    json: o.Json = False,
) -> None:
    """Measure how near sentences lie to their translations, at every layer and both ways.

    Example: xalign retrieve --model runs/align/de-en/S1W0M1 --data DATA --pairs deu-eng,kor-fra --output runs/retrieval
    """
    given = {
        "model": model, "pairs": pairs, "transform": transform, "transform_text": transform_text, "data": data,
        "output": output, "batch_size": batch_size, "precision": precision, "resume": resume, "overwrite": overwrite,
        "tracking": tracking, "quiet": quiet or json,
    }  # fmt: skip
    config = prepare(RetrieveConfig, "retrieve", preset, assignments, given)
    if dry_run:
        return show_config("retrieve", config, json)
    from xalign.phases.retrieve import retrieve as run

    show_result(run(config), json)


def distances(
    output: o.Output,
    model: o.Model = "mini",
    pairs: Pairs = None,
    layers: Annotated[str | None, typer.Option(help="k of hidden_states[k], or shares of the depth.")] = None,
    data: o.Data = None,
    preset: o.Preset = None,
    assignments: o.Assignments = None,
    batch_size: o.EncodedTogether = None,
    precision: o.Precision = None,
    dry_run: o.DryRun = False,
    resume: o.Resume = False,
    overwrite: o.Overwrite = False,
    tracking: o.Tracking = None,
    quiet: o.Quiet = False,
    json: o.Json = False,
) -> None:
    """Measure cosine distances of translated sentences and of dictionary words, before and after fine-tuning.

    Example: xalign distances --model runs/finetune/pos/full/base --layers 4,8,12 --data DATA --output runs/distances
    """
    given = {
        "model": model, "pairs": pairs, "layers": layers, "data": data, "output": output, "batch_size": batch_size,
        "precision": precision, "resume": resume, "overwrite": overwrite, "tracking": tracking, "quiet": quiet or json,
    }  # fmt: skip
    config = prepare(DistancesConfig, "distances", preset, assignments, given)
    if dry_run:
        return show_config("distances", config, json)
    from xalign.phases.distances import distances as run

    show_result(run(config), json)


def gradients(
    task: Task,
    output: o.Output,
    model: o.Model = "mini",
    pair: Annotated[
        str | None, typer.Option(autocompletion=completion.pairs, help="Alignment pair; default: the model's own.")
    ] = None,
    loss: o.Loss = None,
    heads: Annotated[str | None, typer.Option(help="A linear finetune run with heads; default: train them.")] = None,
    protocol: Annotated[
        str | None, typer.Option(autocompletion=completion.choices("protocol"), help="checkpoint or along-finetuning.")
    ] = None,
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
    """Compare the gradients of a task with those of an alignment objective, and of languages with each other.

    Example: xalign gradients --task pos --pair de-en --loss S1W0M1 --model runs/align/de-en/S1W0M1 --data DATA
    --output runs/gradients
    """
    given = {
        "task": task, "model": model, "pair": pair, "loss": loss, "heads": heads, "protocol": protocol, "data": data,
        "output": output, "resume": resume, "overwrite": overwrite, "tracking": tracking, "quiet": quiet or json,
    }  # fmt: skip
    config = prepare(GradientsConfig, "gradients", preset, assignments, given)
    if dry_run:
        return show_config("gradients", config, json)
    from xalign.phases.gradients import gradients as run

    show_result(run(config), json)


def calibrate(
    task: Task,
    output: o.Output,
    mode: Annotated[
        str | None,
        typer.Option(autocompletion=completion.choices("mode"), help="full, or linear: a head on the frozen encoder."),
    ] = None,
    model: o.Model = "mini",
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
    """Choose learning rates of fine-tuning by English development data, and write them as a preset.

    Example: xalign calibrate --task pos --mode linear --model xlm-roberta-base --data DATA --output runs/calibration
    """
    given = {
        "task": task, "mode": mode, "model": model, "data": data, "output": output, "resume": resume,
        "overwrite": overwrite, "tracking": tracking, "quiet": quiet or json,
    }  # fmt: skip
    config = prepare(CalibrateConfig, "calibrate", preset, assignments, given)
    if dry_run:
        return show_config("calibrate", config, json)
    from xalign.phases.calibrate import calibrate as run

    show_result(run(config), json)
