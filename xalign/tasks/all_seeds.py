"""All seeds of a task in one run: what fine-tuning does, and every method that fine-tunes in a way of its own.

Several seeds are trained one after the other, heads on a frozen encoder all at once, and a converged probe beside them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from xalign.config import FinetuneConfig
from xalign.encoder import Encoder
from xalign.engine import collective, launch
from xalign.engine.batch import BatchOrder
from xalign.frozen_features import Encoding, frozen_features
from xalign.model_source import ModelSource
from xalign.pair_batches import Layout
from xalign.probe import train_probe
from xalign.runs import Run
from xalign.tasks import Task
from xalign.tasks.examples import NOWHERE, Examples, capped
from xalign.tasks.finetuned import PROBE, Head, head_file, read_head, write_description, write_head
from xalign.tasks.heads_together import train_heads
from xalign.tasks.objective import Reader
from xalign.tasks.training import Companion, Features, Setting, train_seed

if TYPE_CHECKING:
    from accelerate import Accelerator

EVAL_BATCH = 64


def start(config: FinetuneConfig) -> Accelerator:
    """Start Accelerate as `train_models` wants it."""
    return launch.start(
        config.precision,
        accumulation=config.accumulation,
        clip=config.clip,
        micro_batch=config.batch_size // config.accumulation // launch.world_size(),
        timeout_seconds=config.timeout_seconds,
    )


def train_models(
    run: Run,
    config: FinetuneConfig,
    task: Task,
    source: ModelSource,
    encoder: Encoder,
    sentences: list[list[Any]],
    accelerator: Accelerator,
    *,
    keep_epochs: bool = False,
    companion: Companion | None = None,
    offset: int = 0,
) -> dict[str, Any]:
    """Train the seeds of a run that are not finished yet, and write all that `xalign transfer` reads but the record.

    Args:
        source, encoder: what is fine-tuned.
        sentences: training and development data of the task.
        companion: what full mode learns beside the task.
        offset: steps of the run before these.

    Returns:
        what belongs into ``result.json``.
    """
    length = encoder.effective_length(config.max_length)
    layout = Layout.of(encoder.tokenizer, encoder.special_ids.tolist(), encoder.model.config.model_type, length, length)
    examples = [
        task.examples(part, encoder, layout) for part in (capped(sentences[0], config.max_sentences), sentences[1])
    ]
    encoding = Encoding(EVAL_BATCH, accelerator.device, config.precision)
    setting = Setting(
        run, config, task, source, encoder, examples[0], examples[1], accelerator, encoding, keep_epochs, companion,
        offset,
    )  # fmt: skip
    linear = config.mode == "linear"
    if run.main:
        write_description(run.directory, _description(setting), source, source.digest if linear else None)
        _say(setting, length)
    features = _encode_once(setting) if linear and (config.features or config.probe) else None
    steps = _train_seeds(setting, features if config.features else None)
    result: dict[str, Any] = {"sentences": len(setting.train), "steps": steps}
    if features is not None and config.probe and run.main:
        result["probe"] = _probe(setting, features)
    heads = {seed: read_head(head_file(run.directory, seed)) for seed in config.seeds} if run.main else {}
    for score in ("dev_accuracy", "dev_macro_f1"):
        result[score] = {str(seed): head.scores[score] for seed, head in heads.items()}
    return result | (companion.summary(run, steps) if companion is not None and run.main else {})


def _description(setting: Setting) -> dict[str, Any]:
    config, encoder = setting.config, setting.encoder
    return {
        "task": config.task,
        "mode": config.mode,
        "labels": list(setting.task.labels),
        "label_on": config.label_on if setting.task.unit == "words" else None,
        "pooling": config.pooling if setting.task.unit == "sentences" else None,
        "layer": encoder.depth,
        "width": encoder.width,
        "max_length": config.max_length,
    }


def _say(setting: Setting, length: int) -> None:
    config, examples = setting.config, setting.train
    if config.quiet:
        return
    split = int((examples.input_starts[1:] - examples.input_starts[:-1] > 1).sum())
    cut = f", {split:,} of them in several windows" if split else ""
    words = f", {len(examples.labels):,} words" if setting.task.unit == "words" else ""
    print(
        f"{config.task} {config.mode}: {len(examples):,} sentences{words} in {config.language}, "
        f"at most {length} tokens each{cut}; {len(setting.dev):,} for development"
    )


def _encode_once(setting: Setting) -> Features:
    reader = Reader(setting.encoder, pooling=setting.config.pooling, frozen=True).to(setting.accelerator.device)
    train, dev = (
        frozen_features(reader, examples, setting.task.position, setting.encoding)
        for examples in (setting.train, setting.dev)
    )
    return Features(train, dev)


def _train_seeds(setting: Setting, features: Features | None) -> int:
    """Train the seeds that are not finished yet; returns the steps of each."""
    run, config = setting.run, setting.config
    # The main process decides: it may just have cleared the directory that the others look into.
    finished = torch.tensor(
        [float(run.main and head_file(run.directory, seed).is_file()) for seed in config.seeds],
        device=setting.accelerator.device,
    )
    finished = collective.sum_over_processes(finished)
    orders = [
        BatchOrder(
            setting.train.lengths, config.batch_size, seed=seed, bucket_batches=config.bucket_batches, keep_last=True
        )
        for seed in config.seeds
    ]
    steps = config.epochs * orders[0].steps_per_epoch
    missing = [index for index, done in enumerate(finished) if not done]
    if features is not None and missing and _may_train_together(setting):
        train_heads(setting, [config.seeds[i] for i in missing], [orders[i] for i in missing], features)
        return steps
    for index in missing:
        train_seed(setting, config.seeds[index], orders[index], features, offset=setting.offset + index * steps)
        run.resuming = False  # the seeds that follow begin at their beginning
    return steps


def _may_train_together(setting: Setting) -> bool:
    """Whether heads come out as if each had been trained alone: no draws that they would share, no common scale."""
    config, accelerator = setting.config, setting.accelerator
    alone = config.dropout or config.select != "last" or launch.under_deepspeed() or accelerator.scaler is not None
    return not alone


def _probe(setting: Setting, features: Features) -> dict[str, float]:
    path = head_file(setting.run.directory, PROBE)
    if not path.is_file():
        train, dev = (
            _present(setting, examples, vectors)
            for examples, vectors in ((setting.train, features.train), (setting.dev, features.dev))
        )
        probe = train_probe(train, dev, len(setting.task.labels), units=len(setting.dev.labels))
        write_head(path, Head(probe.weight, probe.bias, {"C": probe.strength, "dev_accuracy": probe.dev_accuracy}))
    return dict(read_head(path).scores)


def _present(setting: Setting, examples: Examples, vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Features and labels of the units that have features at all, on the device."""
    labels, position = torch.from_numpy(examples.labels), setting.task.position
    if position is not None:
        present = torch.from_numpy(examples.positions[position] != NOWHERE)
        vectors, labels = vectors[present], labels[present]
    return vectors.to(setting.encoding.device), labels.to(setting.encoding.device)
