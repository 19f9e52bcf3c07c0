"""What one training is asked to do: its length, its rates, what happens on the way, and how it may end early."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn

from xalign.errors import XalignError

Validate = Callable[[], list[dict[str, float]]]
Keep = Callable[[int], None]


@dataclass(frozen=True)
class Combination:
    """How the gradients of a step are put together.

    Attributes:
        weights: (K,) float64, on the CPU: the gradient is Σ w_k g_k.
        noise: the norm of a random vector that is added to it.
        own: (K,) the weights where a parameter has one objective's gradient alone, so that nothing is combined; None
            leaves such a gradient as it is. A weight of 0 leaves the parameter without a gradient.
    """

    weights: Tensor
    noise: float = 0.0
    own: Tensor | None = None


class Objective(nn.Module):
    """Encoder and losses behind one forward: what Accelerate prepares, so that DDP and ZeRO see one backward.

    Attributes:
        names: the losses, in the order of the weights that `forward` takes.
        apart: where each loss belongs to a model of its own: what its lines in ``metrics.jsonl`` are labelled with,
            and its parameters, whose gradients are clipped by themselves.
        caches: whether `cache` wants to see all micro-batches of a step before their first backward pass.
        apart_gradients: where `combine` decides how gradients become one: objectives by name, each with its losses.
        carried: tensors that a step hands to the next beside the parameters; checkpoints keep them.
    """

    names: tuple[str, ...]
    apart: tuple[tuple[dict[str, Any], list[nn.Parameter]], ...] = ()
    caches: bool = False
    apart_gradients: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    carried: Mapping[str, Tensor] = MappingProxyType({})

    def flops(self, batch: dict[str, Tensor]) -> float:
        """Operations of one micro-batch, forward and backward; see `xalign.engine.flops`."""
        raise TypeError(f"{type(self).__name__} does not count its operations")

    def cache(self, batches: Iterable[dict[str, Tensor]], weights: Tensor) -> None:
        """Prepare a step from all of its micro-batches, each with the dropout of its later `forward`."""
        raise TypeError(f"{type(self).__name__} has no cache")

    def combine(self, gramian: Tensor, step: int) -> Combination:
        """The weights of the objectives in `apart_gradients`, from the (K, K) inner products of their gradients."""
        raise TypeError(f"{type(self).__name__} does not combine gradients")

    def forward(self, batch: dict[str, Tensor], weights: Tensor) -> dict[str, Tensor]:
        """The losses of one micro-batch by name, each a sum over its items times its weight (K,)."""
        raise TypeError(f"{type(self).__name__} has no forward")


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up from 0, then linear decay to 0."""

    steps: int
    warmup: float

    def factor(self, step: int) -> float:
        """The share of the peak rate at `step`, counted from 0."""
        rising = round(self.warmup * self.steps)
        if step < rising:
            return (step + 1) / (rising + 1)
        return (self.steps - step) / max(1, self.steps - rising)


@dataclass
class Training:
    """What one training needs besides the module: how long, how often, and what happens on the way.

    Attributes:
        steps: optimizer steps.
        seed: of order, masks and dropout.
        title, item: for the display; item is ``pairs`` or ``sentences``.
        workers: processes that prepare batches; None leaves it to the device.
        validate: measures the module in evaluation mode every `eval_every` steps and at the end, on every process;
            one dictionary, or one for each model that `Objective.apart` names.
        keep: called with the step after each one in `keep_steps`, on every process, before its checkpoint.
        offset: steps of earlier trainings in the same run (one for each seed); lines count on from there.
        labels: extra entries for each line of ``metrics.jsonl``.
    """

    steps: int
    seed: int
    title: str
    item: str
    warmup: float
    clip: float
    accumulation: int = 1
    save_every: int = 500
    eval_every: int = 0
    workers: int | None = 0
    quiet: bool = False
    validate: Validate | None = None
    keep: Keep | None = None
    keep_steps: tuple[int, ...] = ()
    offset: int = 0
    labels: dict[str, Any] | None = None


class StoppedError(XalignError):
    """Training ended early; `step` says where, `interrupted` whether by a signal."""

    def __init__(self, message: str, step: int, *, interrupted: bool = False) -> None:
        super().__init__(message)
        self.step, self.interrupted = step, interrupted
