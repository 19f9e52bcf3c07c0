"""``xalign pretrain | align | finetune | transfer``: each builds a configuration and calls its phase."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from xalign.cli import completion
from xalign.cli import options as o
from xalign.cli.display import show_config, show_result
from xalign.config import (
    AlignConfig,
    FinetuneConfig,
    PretrainConfig,
    TransferConfig,
    build,
    default_preset,
    parse_assignments,
)


def prepare(phase: type, name: str, preset: str | None, assignments: list[str] | None, given: dict[str, Any]) -> Any:
    """Build a phase's configuration from what the command line gave."""
    chosen = preset if preset is not None else default_preset(given.get("model"), given.get("data"))
    plain = {key: str(value) if isinstance(value, Path) else value for key, value in given.items()}
    return build(phase, chosen, plain | parse_assignments(name, assignments or []))


def align(
    pair: o.Pair,
    output: o.Output,
    loss: o.Loss = None,
    model: o.Model = "mini",
    data: o.Data = None,
    preset: o.Preset = None,
    assignments: o.Assignments = None,
    steps: o.Steps = None,
    batch_size: o.BatchSize = None,
    accumulation: o.Accumulation = None,
    learning_rate: o.LearningRate = None,
    layer: Annotated[str | None, typer.Option(help="k of hidden_states[k], or a share of the depth: 2/3.")] = None,
    positives: Annotated[
        str | None,
        typer.Option(
            autocompletion=completion.choices("positives"),
            help="What S draws together: translations, or dropout (a sentence and itself).",
        ),
    ] = None,
    adapter: Annotated[
        str | None,
        typer.Option(
            autocompletion=completion.choices("adapter"),
            help="lora: train low-rank adapters, the encoder frozen; or none.",
        ),
    ] = None,
    seed: o.Seed = None,
    precision: o.Precision = None,
    compile: o.Compile = False,
    gradient_checkpointing: o.GradientCheckpointing = False,
    dry_run: o.DryRun = False,
    resume: o.Resume = False,
    overwrite: o.Overwrite = False,
    tracking: o.Tracking = None,
    log_checkpoints: o.LogCheckpoints = None,
    quiet: o.Quiet = False,
    json: o.Json = False,
) -> None:
    """Phase I: align an encoder on sentence pairs of two languages.

    Example: accelerate launch -m xalign align --pair de-en --loss S1W0M1 --model xlm-roberta-base --data DATA
    --output runs/align/de-en/S1W0M1
    """
    given = {
        "pair": pair, "loss": loss, "model": model, "data": data, "output": output, "steps": steps,
        "batch_size": batch_size, "accumulation": accumulation, "learning_rate": learning_rate, "layer": layer,
        "positives": positives, "adapter": adapter, "seed": seed, "precision": precision,
        "compile": compile or None, "gradient_checkpointing": gradient_checkpointing or None,
        "resume": resume, "overwrite": overwrite, "tracking": tracking,
        "log_checkpoints": log_checkpoints, "quiet": quiet or json,
    }  # fmt: skip
    config = prepare(AlignConfig, "align", preset, assignments, given)
    if dry_run:
        return show_config("align", config, json)
    from xalign.phases.align import align as run

    show_result(run(config), json)


def finetune(
    task: Annotated[
        str,
        typer.Option(
            autocompletion=completion.choices("task"),
            help="pos (UD part-of-speech tags), topic (SIB-200), or one that a package adds.",
        ),
    ],
    output: o.Output,
    mode: Annotated[
        str | None,
        typer.Option(autocompletion=completion.choices("mode"), help="full, or linear: a head on the frozen encoder."),
    ] = None,
    model: o.Model = "mini",
    data: o.Data = None,
    preset: o.Preset = None,
    assignments: o.Assignments = None,
    seeds: Annotated[str | None, typer.Option(help="Comma-separated seeds, one model each.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training data.")] = None,
    batch_size: o.BatchSize = None,
    learning_rate: o.LearningRate = None,
    codeswitch: Annotated[float | None, typer.Option(help="Share of the words exchanged for translations.")] = None,
    codeswitch_languages: Annotated[str | None, typer.Option(help="Languages of these: deu,kaz.")] = None,
    precision: o.Precision = None,
    compile: o.Compile = False,
    gradient_checkpointing: o.GradientCheckpointing = False,
    dry_run: o.DryRun = False,
    resume: o.Resume = False,
    overwrite: o.Overwrite = False,
    tracking: o.Tracking = None,
    log_checkpoints: o.LogCheckpoints = None,
    quiet: o.Quiet = False,
    json: o.Json = False,
) -> None:
    """Phase II: fine-tune an encoder, or a head on it, on the English task data.

    Example: xalign finetune --task topic --mode linear --model runs/align/de-en/S1W0M1 --data DATA --output runs/topic
    """
    given = {
        "task": task, "mode": mode, "model": model, "data": data, "output": output, "seeds": seeds, "epochs": epochs,
        "batch_size": batch_size, "learning_rate": learning_rate, "codeswitch": codeswitch,
        "codeswitch_languages": codeswitch_languages, "precision": precision,
        "compile": compile or None, "gradient_checkpointing": gradient_checkpointing or None, "resume": resume,
        "overwrite": overwrite, "tracking": tracking, "log_checkpoints": log_checkpoints, "quiet": quiet or json,
    }  # fmt: skip
    config = prepare(FinetuneConfig, "finetune", preset, assignments, given)
    if dry_run:
        return show_config("finetune", config, json)
    from xalign.phases.finetune import finetune as run

    show_result(run(config), json)


def transfer(
    model: Annotated[str, typer.Option(help="The directory of a 'xalign finetune' run.")],
    output: o.Output,
    languages: o.Languages = None,
    transform: o.Transform = None,
    transform_layer: Annotated[
        str | None, typer.Option(help="Layer to map: k of hidden_states[k], or a share.")
    ] = None,
    transform_text: o.TransformText = None,
    data: o.Data = None,
    preset: o.Preset = None,
    assignments: o.Assignments = None,
    batch_size: Annotated[int | None, typer.Option(help="Sentences encoded together.")] = None,
    precision: o.Precision = None,
    dry_run: o.DryRun = False,
    resume: o.Resume = False,
    overwrite: o.Overwrite = False,
    tracking: o.Tracking = None,
    quiet: o.Quiet = False,
    json: o.Json = False,
) -> None:
    """Phase III: evaluate a fine-tuned model zero-shot in other languages.

    Example: xalign transfer --model runs/topic --data DATA --languages deu,kaz,jpn --output runs/topic-transfer
    """
    given = {
        "model": model, "languages": languages, "transform": transform, "transform_layer": transform_layer,
        "transform_text": transform_text, "data": data, "output": output, "batch_size": batch_size,
        "precision": precision, "resume": resume, "overwrite": overwrite, "tracking": tracking, "quiet": quiet or json,
    }  # fmt: skip
    config = prepare(TransferConfig, "transfer", preset, assignments, given)
    if dry_run:
        return show_config("transfer", config, json)
    from xalign.phases.transfer import transfer as run

    show_result(run(config), json)


def pretrain(
    languages: Annotated[str, typer.Option(help="Comma-separated codes: de, deu or deu_Latn.")],
    output: o.Output,
    data: o.Data = None,
    preset: o.Preset = None,
    assignments: o.Assignments = None,
    steps: o.Steps = None,
    batch_size: o.BatchSize = None,
    learning_rate: o.LearningRate = None,
    seed: o.Seed = None,
    precision: o.Precision = None,
    dry_run: o.DryRun = False,
    resume: o.Resume = False,
    overwrite: o.Overwrite = False,
    tracking: o.Tracking = None,
    quiet: o.Quiet = False,
    json: o.Json = False,
) -> None:
    """Pre-train a small masked language model and its tokenizer on monolingual text.

    Example: xalign pretrain --languages de,en,kk --data DATA --output runs/encoder --set layers=6
    """
    given = {
        "languages": languages, "data": data, "output": output, "steps": steps, "batch_size": batch_size,
        "learning_rate": learning_rate, "seed": seed, "precision": precision, "resume": resume,
        "overwrite": overwrite, "tracking": tracking, "quiet": quiet or json,
    }  # fmt: skip
    config = prepare(PretrainConfig, "pretrain", preset, assignments, given)
    if dry_run:
        return show_config("pretrain", config, json)
    from xalign.phases.pretrain import pretrain as run

    show_result(run(config), json)
