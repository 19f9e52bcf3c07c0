"""Training one seed of a downstream task with the engine, and writing what it leaves.

Full mode trains encoder and head, each at its own rate; linear mode trains the head alone, on stored features or with
the frozen encoder in the loop.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from torch import Tensor, nn

from xalign.config import FinetuneConfig
from xalign.encoder import Encoder, export, load_encoder
from xalign.engine import launch
from xalign.engine.batch import Batches, BatchOrder
from xalign.engine.loop import train
from xalign.engine.training import Objective, Training
from xalign.engine.weights import full_precision
from xalign.frozen_features import Encoding
from xalign.metrics import accuracy, macro_f1
from xalign.model_source import ModelSource
from xalign.runs import Run
from xalign.storage import replacing_directory
from xalign.tasks import Task
from xalign.tasks.batches import TaskBatches
from xalign.tasks.best_weights import BestWeights
from xalign.tasks.examples import Examples
from xalign.tasks.finetuned import Head, encoder_directory, head_file, write_head
from xalign.tasks.objective import Reader, TaskObjective, new_head
from xalign.tasks.predict import predict, predict_stored
from xalign.used_vocabulary import keep_used_rows

if TYPE_CHECKING:
    from accelerate import Accelerator


class Companion(Protocol):
    """Another objective that full mode trains on the same encoder, in the same steps."""

    def texts(self) -> Iterable[np.ndarray] | None:
        """Ids of all that it encodes; None where it needs the whole embedding table."""

    def join(
        self, encoder: Encoder, task: TaskObjective, batches: Batches, seed: int, accelerator: Accelerator
    ) -> tuple[Objective, Batches]:
        """The objective and the batches of both together."""

    def validate(self) -> dict[str, float]:
        """What it measures beside dev scores, of the encoder that it joined last."""

    def summary(self, run: Run, steps: int) -> dict[str, Any]:
        """What ``result.json`` says of it, when all seeds are trained, `steps` each."""


@dataclass
class Setting:
    """What all seeds of a run share.

    Attributes:
        keep_epochs: each epoch leaves its encoder and head in `epoch_directory`.
        companion: another objective in the steps of full fine-tuning.
        offset: steps of the run before fine-tuning.
    """

    run: Run
    config: FinetuneConfig
    task: Task
    source: ModelSource
    encoder: Encoder
    train: Examples
    dev: Examples
    accelerator: Accelerator
    encoding: Encoding
    keep_epochs: bool = False
    companion: Companion | None = None
    offset: int = 0


def epoch_directory(run: Path, seed: int, epoch: int) -> Path:
    """Where `Setting.keep_epochs` leaves ``encoder/`` and ``head.safetensors``; epochs count from 1."""
    return run / "epochs" / f"seed{seed}-epoch{epoch}"


@dataclass(frozen=True)
class Features:
    """Vectors of the units of training and dev data: (U, d) each."""

    train: Tensor
    dev: Tensor


def train_seed(setting: Setting, seed: int, order: BatchOrder, features: Features | None, *, offset: int) -> None:
    """Train one seed and write what it leaves, the head last.

    Args:
        order: which sentences form the batch of each step.
        features: linear mode: stored vectors of the units; without them the encoder runs at every step.
        offset: steps of the seeds before this one.
    """
    run, config, task, accelerator = setting.run, setting.config, setting.task, setting.accelerator
    companion = setting.companion
    full = config.mode == "full"
    # Each seed starts from the encoder as it was given, not from what the seed before it made of it.
    encoder = load_encoder(setting.source, dropout=config.dropout) if full else setting.encoder
    if full:
        encoder.set_execution(compiled=config.compile, checkpointed=config.gradient_checkpointing)
        beside = companion.texts() if companion is not None else ()
        if config.vocabulary == "used" and beside is not None:
            keep_used_rows(encoder, chain(setting.train.inputs, setting.dev.inputs, beside))
    reader = Reader(encoder, pooling=config.pooling, frozen=not full)
    head = new_head(encoder.width, len(task.labels), seed)
    task_objective = TaskObjective(head, reader if features is None else None, dropout=config.dropout or 0.0)
    task_batches = TaskBatches(
        setting.train, order, padding=int(encoder.tokenizer.pad_token_id), position=task.position,
        features=features.train if features is not None else None, accumulation=config.accumulation,
        rank=accelerator.process_index, processes=accelerator.num_processes,
    )  # fmt: skip
    objective, batches = (task_objective, task_batches) if companion is None else companion.join(
        encoder, task_objective, task_batches, seed, accelerator
    )  # fmt: skip
    best = BestWeights(run.checkpoints / f"best-seed{seed}.safetensors") if config.select == "best-dev" else None
    latest: dict[str, float] = {}

    def validate() -> list[dict[str, float]]:
        latest.update(_dev_scores(setting, reader, head, features))
        latest.update(companion.validate() if companion is not None else {})
        if best is not None and run.main:
            best.offer(objective, latest)
        return [dict(latest)]

    def keep(step: int) -> None:
        _keep_epoch(setting, epoch_directory(run.directory, seed, step // order.steps_per_epoch), encoder, head)

    training = Training(
        steps=config.epochs * order.steps_per_epoch, seed=seed, title=f"{config.task} {config.mode} seed {seed}",
        item="sentences", warmup=config.warmup, clip=config.clip, accumulation=config.accumulation,
        save_every=config.save_every, eval_every=order.steps_per_epoch, workers=config.workers, quiet=config.quiet,
        validate=validate, offset=offset, labels={"seed": seed},
        keep=keep if setting.keep_epochs else None,
        keep_steps=tuple(order.steps_per_epoch * epoch for epoch in range(1, config.epochs + 1)),
    )  # fmt: skip
    train(run, objective, _groups(config, objective, head), batches, training, accelerator)
    if best is not None and run.main:
        latest.update(best.restore(objective))
    _keep(setting, seed, encoder, head, latest)
    if full or launch.under_deepspeed():  # a head alone is not worth a pass of the garbage collector
        accelerator.free_memory()


def _groups(config: FinetuneConfig, objective: Objective, head: nn.Linear) -> list[dict[str, Any]]:
    """AdamW's parameter groups: the encoder, where it is trained, and the head, each at its own rate."""
    of_head = set(head.parameters())
    encoder = [p for p in objective.parameters() if p.requires_grad and p not in of_head]
    groups = (encoder, config.learning_rate), (list(head.parameters()), config.head_learning_rate)
    return [{"params": part, "lr": rate, "weight_decay": config.weight_decay} for part, rate in groups if part]


def _dev_scores(setting: Setting, reader: Reader, head: nn.Linear, features: Features | None) -> dict[str, float]:
    weights, biases = head.weight.detach()[None], head.bias.detach()[None]
    position, dev = setting.task.position, setting.dev
    if features is not None:
        found = predict_stored(features.dev, dev, weights, biases, position)[0]
    else:
        found = predict(reader, dev, weights, biases, (position,), setting.encoding)[0, 0]
    return {"dev_accuracy": accuracy(found, dev.labels), "dev_macro_f1": macro_f1(found, dev.labels)}


def _keep(setting: Setting, seed: int, encoder: Encoder, head: nn.Linear, scores: dict[str, float]) -> None:
    """Write the encoder, then the head: a head that exists means that its seed is finished."""
    run, accelerator = setting.run, setting.accelerator
    weights = full_precision(head, accelerator) or head.state_dict()
    if setting.config.mode == "full":
        state = full_precision(encoder.model, accelerator)
        if run.main:
            with replacing_directory(encoder_directory(run.directory, seed)) as folder:
                export(encoder, folder, state)
    if run.main:
        write_head(head_file(run.directory, seed), Head(weights["weight"], weights["bias"], scores))


def _keep_epoch(setting: Setting, folder: Path, encoder: Encoder, head: nn.Linear) -> None:
    accelerator = setting.accelerator
    weights = full_precision(head, accelerator) or head.state_dict()
    state = full_precision(encoder.model, accelerator)
    if setting.run.main:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing_directory(folder / "encoder") as partial:
            export(encoder, partial, state)
        write_head(folder / "head.safetensors", Head(weights["weight"], weights["bias"], {}))
