"""What one alignment step does to the loss of a task, in English and in other languages.

The step has the size and the signs of Adam's first one: every parameter with a gradient moves by `step_size`. Each
block of pairs gives a step, judged on one block of labelled sentences, so that the changes are independent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from xalign.analysis.block_gradients import block_loss
from xalign.analysis.gradient_blocks import TABLE, ParameterGroups
from xalign.analysis.gradient_views import EPSILON
from xalign.analysis.student import student_quantile
from xalign.analysis.task_gradients import TaskBlocks

COLUMNS = ("task", "loss", "language", "step_size", "loss_before", "loss_after", "change", "low", "high")


@dataclass
class Lookahead:
    """Collects the changes while the alignment's gradients are at hand: `observe` is called for each block.

    Attributes:
        tasks: the task's blocks by language.
        before: the losses (K,) of the same blocks at the parameters as they are.
        after: filled by `observe`.
    """

    groups: ParameterGroups
    step_size: float
    tasks: Mapping[str, TaskBlocks]
    before: Mapping[str, np.ndarray]
    after: dict[str, list[float]] = field(default_factory=dict)

    @torch.no_grad()
    def observe(self, block: int, gradients: dict[str, Tensor]) -> None:
        """Take the step against the sum of these gradients, measure, and go back."""
        parts = list(gradients.values())
        whole = parts[0].clone()
        for part in parts[1:]:
            whole += part
        if self.groups.decoder is not None:
            whole[self.groups.columns[TABLE]] += whole[self.groups.size :]
        kept = [(parameter, parameter.clone()) for parameter, _ in self.groups.parameters()]
        for parameter, columns in self.groups.parameters():
            gradient = whole[columns].view_as(parameter)
            parameter.sub_(self.step_size * gradient / (gradient.abs() + EPSILON))
        try:
            for language, task in self.tasks.items():
                self.after.setdefault(language, []).append(block_loss(task, block))
        finally:
            for parameter, value in kept:
                parameter.copy_(value)

    def lines(self, task: str, loss: str) -> list[dict[str, str | float | None]]:
        """A line for each language: mean losses, and the mean change with 95 % limits over blocks."""
        found: list[dict[str, str | float | None]] = []
        for language, values in self.after.items():
            after, before = np.array(values), self.before[language]
            change = after - before
            reach = student_quantile(len(change) - 1) * float(change.std(ddof=1)) / math.sqrt(len(change))
            middle = float(change.mean())
            cells = (
                task, loss, language, self.step_size, float(before.mean()), float(after.mean()), middle,
                middle - reach, middle + reach,
            )  # fmt: skip
            found.append(dict(zip(COLUMNS, cells, strict=True)))
        return found
