"""The English task and the alignment in one training: one batch of each a step, their gradients combined by a rule.

What is shared is the encoder, as far as both reach it. The head, the layers above the alignment's and the masked-LM
head belong to one objective each, and learn at the factor of its loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from xalign.encoder import Encoder
from xalign.engine.batch import Batches, MicroBatch
from xalign.engine.training import Combination, Objective
from xalign.errors import UsageError
from xalign.hidden_states import layer_stack
from xalign.methods.gradient_combination import Combiner
from xalign.objective import AlignmentObjective
from xalign.tasks.objective import TaskObjective

TASK, PAIRS = "task", "pairs"  # what the tensors of each side are prefixed with in a joint batch
ALIGN = "align"


class JointObjective(Objective):
    """Both objectives behind one forward. `apart_gradients` names ``task`` and ``align``, or each alignment loss.

    Args:
        combiner: gives the weights; of as many objectives as `objectives_of` names.
    """

    def __init__(
        self, task: TaskObjective, alignment: AlignmentObjective, combiner: Combiner, *, each_loss: bool = False
    ) -> None:
        super().__init__()
        self.task, self.alignment, self.combiner = task, alignment, combiner
        self.names = (*task.names, *alignment.names)
        self.caches = alignment.caches
        self.apart_gradients = objectives_of("".join(alignment.names), each_loss=each_loss)
        self.carried = combiner.carried

    def forward(self, batch: dict[str, Tensor], weights: Tensor) -> dict[str, Tensor]:
        """The losses of a batch made by `JointBatches`, the task's first in `weights`."""
        # Alignment comes first: its dropout is then the same here and in `cache`.
        found = self.alignment(_side(batch, PAIRS), weights[1:])
        return self.task(_side(batch, TASK), weights[:1]) | found

    def cache(self, batches: Iterable[dict[str, Tensor]], weights: Tensor) -> None:
        """Prepare S for a contrast over all micro-batches."""
        self.alignment.cache((_side(batch, PAIRS) for batch in batches), weights[1:])

    def combine(self, gramian: Tensor, step: int) -> Combination:
        """The rule's weights."""
        return self.combiner(gramian, step)

    def flops(self, batch: dict[str, Tensor]) -> float:
        """Operations of one micro-batch."""
        return self.task.flops(_side(batch, TASK)) + self.alignment.flops(_side(batch, PAIRS))


def objectives_of(losses: str, *, each_loss: bool) -> dict[str, tuple[str, ...]]:
    """Objectives by name with their losses: the task, and alignment as one or each of its `losses`."""
    aligned: dict[str, tuple[str, ...]] = {name: (name,) for name in losses} if each_loss else {ALIGN: tuple(losses)}
    return {TASK: ("task",), **aligned}


class JointBatches:
    """The task's batch of a step beside the pairs' batch of that step."""

    def __init__(self, task: Batches, pairs: Batches) -> None:
        self.task, self.pairs = task, pairs

    def micro_batches(self, step: int) -> list[MicroBatch]:
        """This process's share of both batches of `step`; items count the task's sentences."""
        both = zip(self.task.micro_batches(step), self.pairs.micro_batches(step), strict=True)
        return [_beside(task, pairs) for task, pairs in both]


def _beside(task: MicroBatch, pairs: MicroBatch) -> MicroBatch:
    named = {
        f"{side}.{name}": tensor
        for side, part in ((TASK, task), (PAIRS, pairs))
        for name, tensor in part.tensors.items()
    }
    counts = torch.cat([task.counts, pairs.counts])
    return MicroBatch(named, counts, task.examples, task.items, task.tokens + pairs.tokens)


def _side(batch: dict[str, Tensor], side: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{side}."): t for name, t in batch.items() if name.startswith(f"{side}.")}


def reached_beside(encoder: Encoder, make: Callable[[], AlignmentObjective]) -> AlignmentObjective:
    """The alignment objective that `make` builds, with all that it or an objective built before reaches left trainable.

    Each objective freezes what it does not reach itself.
    """
    parameters = list(encoder.model.parameters())
    reached = [parameter.requires_grad for parameter in parameters]
    encoder.model.requires_grad_(True)
    alignment = make()
    for parameter, before in zip(parameters, reached, strict=True):
        parameter.requires_grad_(before or parameter.requires_grad)
    return alignment


def freeze_lower_half(encoder: Encoder, layer: int) -> None:
    """Freeze the embeddings and the lower half of the layers, for every objective.

    Raises:
        UsageError: nothing below hidden_states[layer] would be left to train, or the layers are not known.
    """
    stack = layer_stack(encoder.base)
    half = len(stack) // 2
    if not stack:
        raise UsageError(f"freeze=lower does not know the layers of {encoder.model.config.model_type}: use none")
    if layer <= half:
        raise UsageError(f"freeze=lower freezes layers 1 to {half}, all that layer={layer} reaches: raise layer")
    embeddings: nn.Module = encoder.base.embeddings  # type: ignore[assignment]
    for part in (embeddings, *stack[:half]):
        part.requires_grad_(False)
