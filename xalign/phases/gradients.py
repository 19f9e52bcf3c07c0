"""Gradient similarity: does the task pull the encoder where the alignment pulls it? Table 3.

    xalign gradients --task pos --model runs/align/de-en/S1W0M1 --data DATA --output runs/gradients

Gradients are taken in evaluation mode and fp32, behind heads that were trained on the frozen encoder.
Source: Veitsman, Liu & Schütze 2026, §5.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from xalign.analysis import gradient_views, lookahead
from xalign.analysis.gradient_analysis import GradientAnalysis
from xalign.analysis.gradient_inputs import GradientInputs, read_inputs
from xalign.analysis.gradient_views import SHARED, Line
from xalign.config import FinetuneConfig, GradientsConfig
from xalign.encoder import Encoder, load_encoder
from xalign.engine import launch
from xalign.errors import UsageError
from xalign.model_source import ModelSource, find_model
from xalign.naming import encoder_name, gradients_name, runs_directory
from xalign.phases.csv_files import write_csv
from xalign.phases.finetune import NO_LINEAGE, finetune
from xalign.phases.inputs import describe_inputs, open_data
from xalign.runs import Run, RunResult, completed, open_run, run_key
from xalign.tasks.finetuned import Head, read_finetuned, read_head
from xalign.tasks.training import epoch_directory
from xalign.tracking import following


def gradients(config: GradientsConfig) -> RunResult:
    """Compare the gradients of a task, of the alignment objective, and of languages.

    Returns:
        the run; it holds ``gradients.csv``, ``updates.csv`` and ``lookahead.csv``.

    Raises:
        UsageError: a launch with several processes or under DeepSpeed, an unaligned model without pair or loss, heads
            that do not fit, or data that is missing; before anything is written.
        XalignError: a model or file that is broken.
    """
    if launch.under_deepspeed() or launch.world_size() > 1:
        raise UsageError(
            "gradients are sharded over processes (ZeRO) or averaged (DDP), and comparing parts would mislead: "
            "run this without accelerate launch"
        )
    source = find_model(config.model)
    data = open_data(config.data)
    found = read_inputs(config, source, data)
    inputs = describe_inputs(data, found.files, source)
    if (run_of_heads := found.heads_run) is not None:
        upstream = {"path": str(run_of_heads.directory), "key": run_of_heads.record["key"]}
        inputs = dataclasses.replace(inputs, weights=run_of_heads.digest, upstream=[*inputs.upstream, upstream])
    if not config.overwrite and (done := completed(Path(config.output), run_key("gradients", config, inputs))):
        return done
    analysis = GradientAnalysis(config, found, _load(source), found.heads, Path(config.output) / "checkpoints")
    analysis.check()
    lineage = {**NO_LINEAGE, **source.lineage, "encoder": source.name, "task": config.task}
    name = gradients_name(config.task, encoder_name(lineage))
    with open_run(config, "gradients", name, lineage, inputs) as run:
        runs = runs_directory(run.directory, name)
        with following(run, runs=runs, tracking=config.tracking, log_checkpoints=config.log_checkpoints):
            run.write("environment.json", launch.environment(None, config.precision))
            analysis.heads = analysis.heads or train_heads(config, run.directory / "heads")
            if config.protocol == "checkpoint":
                return _at_checkpoint(run, config, found, analysis)
            return _along_finetuning(run, config, found, analysis)


def train_heads(config: GradientsConfig, output: Path) -> list[Head]:
    """Train heads on the frozen encoder, one for each seed, in a run of their own."""
    options = FinetuneConfig(
        task=config.task, mode="linear", seeds=config.seeds, epochs=config.epochs, max_sentences=config.max_sentences,
        probe=False, **_nested(config, output),
    )  # fmt: skip
    return list(read_finetuned(finetune(options).directory).heads.values())


def _nested(config: GradientsConfig, output: Path) -> dict[str, Any]:
    return {
        "model": config.model, "data": config.data, "output": str(output), "precision": config.precision,
        "resume": True, "tracking": "none", "quiet": True,
    }  # fmt: skip


def _load(source: ModelSource) -> Encoder:
    encoder = load_encoder(source, dropout=0.0)
    encoder.model.to(torch.device("cuda" if torch.cuda.is_available() else "cpu"))  # type: ignore[arg-type]
    return encoder


def _at_checkpoint(run: Run, config: GradientsConfig, found: GradientInputs, analysis: GradientAnalysis) -> RunResult:
    """All three views of one encoder, and the effect of a step."""
    lines: list[Line] = []
    if found.test:
        _say(config, f"task gradients in {len(found.test)} languages")
        lines += analysis.task_language()
    _say(config, f"{config.task} against {found.recipe.loss} on {found.recipe.pair}")
    main, updates, ahead = analysis.task_alignment(config.task, training_data=True, lookahead=True)
    lines = main + lines
    head_loss: dict[str, float] = {}
    if found.flores and analysis.encoder.has_head:
        _say(config, f"masked-LM gradients in {len(found.flores)} languages")
        masked, head_loss = analysis.mlm_language()
        lines += masked
    steps = ahead.lines(config.task, found.recipe.loss) if ahead is not None else []
    _write(run, lines, updates, steps)
    shown = {line.second: line for line in main if line.group == SHARED and line.first == config.task}
    return run.finish(_result(found, analysis, shown) | {"masked_lm_loss": head_loss, "missing": found.missing})


def _along_finetuning(
    run: Run, config: GradientsConfig, found: GradientInputs, analysis: GradientAnalysis
) -> RunResult:
    """The task against the alignment before full fine-tuning, behind heads on the frozen encoder, and as it goes on."""
    lines: list[Line] = []
    updates: list[Line] = []
    shown: dict[str, Line] = {}
    for epoch, current in _epochs(run, config, found, analysis):
        label = f"{config.task}@epoch{epoch}"
        _say(config, f"{label} against {found.recipe.loss} on {found.recipe.pair}")
        main, moved, _ = current.task_alignment(label, training_data=False, lookahead=False)
        lines, updates = lines + main, updates + moved
        shown |= {f"epoch{epoch}": x for x in main if x.group == SHARED and x.second == found.recipe.loss}
    _write(run, lines, updates, [])
    return run.finish(_result(found, analysis, shown))


def _epochs(
    run: Run, config: GradientsConfig, found: GradientInputs, analysis: GradientAnalysis
) -> Iterator[tuple[int, GradientAnalysis]]:
    """The analysis of the encoder as given (epoch 0), and after each epoch of full fine-tuning with its own head."""
    yield 0, analysis
    seed = config.seeds[0]
    options = FinetuneConfig(
        task=config.task, mode="full", seeds=(seed,), epochs=config.epochs, max_sentences=config.max_sentences,
        **_nested(config, run.checkpoints / "finetuning"),
    )  # fmt: skip
    tuned = finetune(options, keep_epochs=True).directory
    for epoch in range(1, config.epochs + 1):
        folder = epoch_directory(tuned, seed, epoch)
        encoder = _load(ModelSource(found.source.name, folder / "encoder", found.source.lineage))
        head = read_head(folder / "head.safetensors")
        yield epoch, GradientAnalysis(config, found, encoder, [head], run.checkpoints)


def _result(found: GradientInputs, analysis: GradientAnalysis, shown: Mapping[str, Line]) -> dict[str, Any]:
    """The main lines: parameters that both losses reach. What is not detectable is left out."""
    result: dict[str, Any] = {
        measure: {name: value for name, line in shown.items() if (value := getattr(line.found, measure)) is not None}
        for measure in ("cosine", "cosine_corrected", "noise_ceiling")
    }
    return result | {
        "pair": found.recipe.pair,
        "loss": found.recipe.loss,
        "heads": len(analysis.heads),
        "examples_per_block": analysis.examples,
    }


def _write(run: Run, lines: Iterable[Line], updates: Iterable[Line], steps: Iterable[Mapping[str, Any]]) -> None:
    for file, columns, rows in (
        ("gradients.csv", gradient_views.COLUMNS, [line.cells() for line in lines]),
        ("updates.csv", gradient_views.COLUMNS, [line.cells() for line in updates]),
        ("lookahead.csv", lookahead.COLUMNS, list(steps)),
    ):
        write_csv(run.directory / file, columns, [[row[column] for column in columns] for row in rows])


def _say(config: GradientsConfig, text: str) -> None:
    if not config.quiet:
        print(text, flush=True)
