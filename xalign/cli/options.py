"""The options that commands share, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xalign.cli import completion

PRESET_HELP = "paper, small, demo, smoke, or a YAML file; default: paper, or demo on the embedded data and model"
MODEL_HELP = "hub name, Hugging Face directory, run directory, or mini (the embedded encoder)"

Pair = Annotated[str, typer.Option(autocompletion=completion.pairs, help="Language pair, for example de-en.")]
Loss = Annotated[
    str | None,
    typer.Option(
        autocompletion=completion.choices("loss"),
        help="S0W0M1 … S1W1M1: sentence, word and masked-LM loss, on or off; with D1 also loss D of a package.",
    ),
]
Model = Annotated[str, typer.Option(help=MODEL_HELP)]
Output = Annotated[Path, typer.Option(help="The run's directory.")]
Data = Annotated[Path | None, typer.Option(help="Data directory; without one, the embedded testbed.")]
Preset = Annotated[str | None, typer.Option(autocompletion=completion.presets, help=PRESET_HELP)]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any option of 'xalign config show'; may be repeated."),
]
Steps = Annotated[int | None, typer.Option(help="Optimizer steps.")]
BatchSize = Annotated[int | None, typer.Option(help="Items an optimizer step, over all processes and micro-batches.")]
Accumulation = Annotated[
    int | None,
    typer.Option(
        help="Micro-batches a step. Exact for W and M; S contrasts only batch-size / accumulation pairs at a time."
    ),
]
EncodedTogether = Annotated[int | None, typer.Option("--batch-size", help="Sentences encoded together.")]
LearningRate = Annotated[float | None, typer.Option(help="Peak learning rate.")]
Seed = Annotated[int | None, typer.Option(help="Seed of order, masks, negatives and dropout.")]
Precision = Annotated[
    str | None,
    typer.Option(
        autocompletion=completion.choices("precision"),
        help="auto, fp32, bf16 or fp16; auto: fp16 on V100, bf16 on newer.",
    ),
]
Compile = Annotated[bool, typer.Option("--compile", help="Compile the encoder's layers with torch.compile.")]
GradientCheckpointing = Annotated[
    bool, typer.Option("--gradient-checkpointing", help="Keep no activations inside layers: less memory, more work.")
]
Languages = Annotated[
    str | None, typer.Option(help="Comma-separated codes: de, deu or deu_Latn; all: every language of the data.")
]
Transform = Annotated[
    str | None,
    typer.Option(
        autocompletion=completion.choices("transform"), help="none, centring or procrustes: a map without training."
    ),
]
TransformText = Annotated[
    str | None, typer.Option(help="What it is fitted on: topics (SIB-200 train), flores (dev), parallel or mono.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the resolved options and stop.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue an interrupted run exactly where it was saved.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Delete the run that stands in --output.")]
Tracking = Annotated[str | None, typer.Option(autocompletion=completion.choices("tracking"), help="mlflow or none.")]
LogCheckpoints = Annotated[
    str | None,
    typer.Option(
        autocompletion=completion.choices("log_checkpoints"),
        help="What MLflow keeps of encoders and heads: none, final, all.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress display.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Runs = Annotated[Path, typer.Option(help="Runs directory.")]
