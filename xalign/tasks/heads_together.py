"""Linear mode, all seeds in one training: heads on stored features, one step for all of them.

A head on frozen features is so small that a step is mostly overhead. Each seed keeps its own batches, gradient norm and
clipping, so its head is the one that it would have become alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from xalign.engine.batch import BatchOrder, MicroBatch
from xalign.engine.loop import train
from xalign.engine.training import Objective, Training
from xalign.metrics import accuracy, macro_f1
from xalign.tasks.batches import IGNORED, TaskBatches
from xalign.tasks.finetuned import Head, head_file, write_head
from xalign.tasks.objective import new_head
from xalign.tasks.predict import predict_stored
from xalign.tasks.training import Features, Setting


class HeadsObjective(Objective):
    """One head a seed, and one loss a head."""

    def __init__(self, heads: Sequence[nn.Linear], seeds: Sequence[int], labels: dict[str, Any]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(heads)
        self.names = tuple(f"seed{seed}" for seed in seeds)
        self.apart = tuple(
            ({**labels, "seed": seed}, list(head.parameters())) for seed, head in zip(seeds, heads, strict=True)
        )

    def stacked(self) -> tuple[Tensor, Tensor]:
        """Weights (S, labels, d) and biases (S, labels)."""
        weights, biases = (
            torch.stack(tuple(head.get_parameter(part) for head in self.heads)) for part in ("weight", "bias")
        )
        return weights, biases

    def forward(self, batch: dict[str, Tensor], weights: Tensor) -> dict[str, Tensor]:
        """Cross-entropy of each head over its own batch: features (S, n, d), labels (S, n), weights (S,)."""
        weight, bias = self.stacked()
        logits = torch.baddbmm(bias[:, None], batch["features"].to(weight.dtype), weight.transpose(1, 2))
        flat = functional.cross_entropy(
            logits.flatten(0, 1).float(), batch["labels"].flatten(), ignore_index=IGNORED, reduction="none"
        )
        each = flat.view(len(self.names), -1).sum(dim=1) * weights
        return dict(zip(self.names, each, strict=True))

    def flops(self, batch: dict[str, Tensor]) -> float:
        """Operations of the heads, forward and backward."""
        weight, _ = self.stacked()
        return 6.0 * weight[0].numel() * float((batch["labels"] != IGNORED).sum())


class HeadsBatches:
    """The batches of all seeds side by side, filled up to the longest."""

    def __init__(self, seeds: Sequence[TaskBatches]) -> None:
        self.seeds = seeds

    def micro_batches(self, step: int) -> list[MicroBatch]:
        """This process's share of the batch of `step`, one entry a forward pass."""
        return [self._beside(parts) for parts in zip(*(s.micro_batches(step) for s in self.seeds), strict=True)]

    def _beside(self, parts: Sequence[MicroBatch]) -> MicroBatch:
        longest = max(len(part.tensors["labels"]) for part in parts)
        features = [_filled(part.tensors["features"], longest, 0) for part in parts]
        labels = [_filled(part.tensors["labels"], longest, IGNORED) for part in parts]
        return MicroBatch(
            {"features": torch.stack(features), "labels": torch.stack(labels)},
            torch.cat([part.counts for part in parts]),
            [example for part in parts for example in part.examples],
            sum(part.items for part in parts),
            sum(part.tokens for part in parts),
        )


def _filled(rows: Tensor, length: int, value: float) -> Tensor:
    missing = length - len(rows)
    return torch.cat([rows, rows.new_full((missing, *rows.shape[1:]), value)]) if missing else rows


def train_heads(setting: Setting, seeds: Sequence[int], orders: Sequence[BatchOrder], features: Features) -> None:
    """Train the heads of several seeds as `fit_heads` does, and write them."""
    for seed, head in fit_heads(setting, seeds, orders, features, offset=setting.offset).items():
        if setting.run.main:
            write_head(head_file(setting.run.directory, seed), head)


def fit_heads(
    setting: Setting,
    seeds: Sequence[int],
    orders: Sequence[BatchOrder],
    features: Features,
    *,
    offset: int = 0,
    labels: dict[str, Any] | None = None,
) -> dict[int, Head]:
    """Train the heads of several seeds on stored features.

    Args:
        orders: which sentences form the batch of each step, for each seed.
        offset: steps of earlier trainings in the same run.
        labels: what its lines in ``metrics.jsonl`` say beside the seed.

    Returns:
        the heads by seed.
    """
    run, config, task, accelerator = setting.run, setting.config, setting.task, setting.accelerator
    heads = [new_head(setting.encoder.width, len(task.labels), seed) for seed in seeds]
    objective = HeadsObjective(heads, seeds, labels or {})
    batches = HeadsBatches(
        [
            TaskBatches(
                setting.train, order, padding=int(setting.encoder.tokenizer.pad_token_id), position=task.position,
                features=features.train, accumulation=config.accumulation, rank=accelerator.process_index,
                processes=accelerator.num_processes,
            )
            for order in orders
        ]
    )  # fmt: skip
    latest: list[dict[str, float]] = []

    def validate() -> list[dict[str, float]]:
        weights, biases = objective.stacked()
        found = predict_stored(features.dev, setting.dev, weights.detach(), biases.detach(), task.position)
        true = setting.dev.labels
        latest[:] = [{"dev_accuracy": accuracy(each, true), "dev_macro_f1": macro_f1(each, true)} for each in found]
        return list(latest)

    steps = orders[0].steps_per_epoch
    training = Training(
        steps=config.epochs * steps, seed=seeds[0], title=f"{config.task} linear, {len(seeds)} seeds",
        item="sentences", warmup=config.warmup, clip=config.clip, accumulation=config.accumulation,
        save_every=config.save_every, eval_every=steps, workers=config.workers, quiet=config.quiet, validate=validate,
        offset=offset,
    )  # fmt: skip
    groups = [
        {"params": list(objective.parameters()), "lr": config.head_learning_rate, "weight_decay": config.weight_decay}
    ]
    train(run, objective, groups, batches, training, accelerator)
    states = [head.state_dict() for head in heads]
    return {
        seed: Head(state["weight"], state["bias"], scores)
        for seed, state, scores in zip(seeds, states, latest, strict=True)
    }
