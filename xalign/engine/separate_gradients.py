"""The gradients of several objectives, taken apart in one step and put together by weights.

A parameter that two objectives or more reach is *shared*: its gradient is Σ w_k g_k, with weights that the objective
derives from the Gramian of the shared parameters. A parameter that one objective alone reaches, such as a task's head,
takes that one's gradient, times a weight that does not depend on the other objectives: the factor of its loss.

The combined gradients are written into ``.grad`` rather than obtained from a second backward pass over weighted losses:
that pass would give a head's gradient the combined weight too. Objectives that read different inputs have graphs of
their own, so taking their gradients one by one costs what one backward pass over the sum of losses costs; the price is
a copy of the gradient for each objective, and the numbers that a device must hand over before the step can go on.

Processes first average each objective's gradient, then form the Gramian: inner products of the processes' own
gradients are others. All processes therefore find the same weights.
"""

from __future__ import annotations

import json
import math
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from xalign.engine import collective
from xalign.engine.training import Objective
from xalign.randomness import derive_seed

if TYPE_CHECKING:
    from accelerate import Accelerator

Gradients = list[Tensor | None]  # one for each trained parameter; None where the objective does not reach it


class SeparateGradients:
    """Collects the gradients of one step, micro-batch by micro-batch; `combine` leaves the result in ``.grad``."""

    def __init__(self, objective: Objective, accelerator: Accelerator) -> None:
        self.objective, self.accelerator = objective, accelerator
        self.parameters = [p for p in objective.parameters() if p.requires_grad]
        self.found: list[Gradients] = [[None] * len(self.parameters) for _ in objective.apart_gradients]
        self.loss_scale = 1.0

    def add(self, losses: dict[str, Tensor]) -> None:
        """Add the gradients of one micro-batch's losses."""
        scaler = self.accelerator.scaler
        for names, gradients in zip(self.objective.apart_gradients.values(), self.found, strict=True):
            loss = torch.stack([losses[name] for name in names]).sum() / self.accelerator.gradient_accumulation_steps
            # The scaler scales by itself: it refuses to unscale what it has not scaled.
            loss = loss if scaler is None else scaler.scale(loss)
            new = torch.autograd.grad(loss, self.parameters, allow_unused=True)
            for index, gradient in enumerate(new):
                if gradient is not None:
                    before = gradients[index]
                    gradients[index] = gradient if before is None else before + gradient

    def combine(self, seed: int, step: int) -> dict[str, float]:
        """Write the combined gradients; returns cosines, norms and weights by name for ``metrics.jsonl``."""
        if self.accelerator.scaler is not None:
            self.loss_scale = float(self.accelerator.scaler.get_scale())
        for gradients in self.found:
            _average(gradients)
        shared = [index for index, each in enumerate(zip(*self.found, strict=True)) if _reached(each) > 1]
        gramian = self._gramian(shared)
        combination = self.objective.combine(gramian, step)
        is_shared = set(shared)
        own = [1.0] * len(self.found) if combination.own is None else combination.own.tolist()
        for index, parameter in enumerate(self.parameters):
            weights = combination.weights.tolist() if index in is_shared else own
            parameter.grad = None
            for gradients, weight in zip(self.found, weights, strict=True):
                part, gradients[index] = gradients[index], None  # what is used is freed
                # An own weight of 0 is 0 at every step: without a gradient, the optimizer does not even decay it.
                if part is not None and (weight != 0 or index in is_shared):
                    weighted = part * weight
                    parameter.grad = weighted if parameter.grad is None else parameter.grad + weighted
        if combination.noise > 0:
            self._add_noise(shared, combination.noise * self.loss_scale, derive_seed(seed, "gradient-noise", step))
        return self._notes(gramian, combination.weights)

    def _gramian(self, shared: list[int]) -> Tensor:
        """(K, K) inner products over the shared parameters, in float64 on the CPU."""
        count = len(self.found)
        total = torch.zeros(count, count, dtype=torch.float64, device=self.accelerator.device)
        for index in shared:
            zero = torch.zeros_like(self.parameters[index])
            each = (gradients[index] for gradients in self.found)
            rows = torch.stack([(zero if g is None else g).flatten().float() for g in each]) / self.loss_scale
            total += (rows @ rows.T).double()
        return total.cpu()

    def _add_noise(self, shared: list[int], norm: float, seed: int) -> None:
        """Add a random vector where gradients are not zero: rows of an embedding table that no batch reads stay put."""
        draw = torch.Generator(self.accelerator.device).manual_seed(seed)
        vectors = []
        for index in shared:
            gradient = self.parameters[index].grad
            assert gradient is not None  # a shared parameter has one
            touched = gradient != 0
            vector = torch.zeros_like(gradient)
            vector[touched] = torch.randn(int(touched.sum()), generator=draw, device=gradient.device).to(vector.dtype)
            vectors.append((gradient, vector))
        length = torch.stack([vector.double().square().sum() for _, vector in vectors]).sum().sqrt()
        for gradient, vector in vectors:
            gradient += vector * (norm / length).float()

    def _notes(self, gramian: Tensor, weights: Tensor) -> dict[str, float]:
        names = tuple(self.objective.apart_gradients)
        norms = gramian.diagonal().sqrt()
        cosines = gramian / torch.outer(norms, norms)  # NaN where a gradient is zero: such entries are not logged
        found = {f"cosine_{names[i]}_{names[j]}": float(cosines[i, j]) for i, j in combinations(range(len(names)), 2)}
        known = all(map(math.isfinite, found.values()))  # else nobody can say whether there was a conflict
        conflict = {"conflict": float(any(cosine < 0 for cosine in found.values()))} if known else {}
        each = {f"gradient_norm_{name}": float(norm) for name, norm in zip(names, norms, strict=True)}
        return found | conflict | each | {
            f"weight_{name}": float(weight) for name, weight in zip(names, weights, strict=True)
        }  # fmt: skip


def conflicts(metrics: Path) -> dict[str, dict[str, float]]:
    """From ``metrics.jsonl``: ``conflict``, the share of steps by seed in which two gradients have a negative cosine;
    and over all steps the mean cosines with their sd, the mean weights, and the mean gradient norms.

    A step counts where it has a value: its cosines are not known where a gradient is zero or not finite.
    """
    with metrics.open(encoding="utf-8") as stream:
        steps = [line for line in map(json.loads, stream) if any(name.startswith("weight_") for name in line)]
    logged = dict.fromkeys(name for line in steps for name in line)
    names = [name for name in logged if name.startswith(("cosine_", "weight_", "gradient_norm_"))]
    found: dict[str, dict[str, float]] = {
        "conflict": {},
        "cosine": {},
        "cosine_sd": {},
        "weight": {},
        "gradient_norm": {},
    }
    known = [line for line in steps if "conflict" in line]
    for seed in dict.fromkeys(line["seed"] for line in known):
        found["conflict"][str(seed)] = float(np.mean([line["conflict"] for line in known if line["seed"] == seed]))
    for name in names:
        values = [line[name] for line in steps if name in line]
        kind = next(kind for kind in ("cosine", "weight", "gradient_norm") if name.startswith(kind + "_"))
        found[kind][name.removeprefix(kind + "_")] = float(np.mean(values))
        if kind == "cosine":
            found["cosine_sd"][name.removeprefix("cosine_")] = float(np.std(values))
    return found


def _reached(gradients: tuple[Tensor | None, ...]) -> int:
    return sum(gradient is not None for gradient in gradients)


def _average(gradients: Gradients) -> None:
    """Replace the gradients by their mean over processes, in one exchange."""
    present = [(index, g) for index, g in enumerate(gradients) if g is not None]
    if collective.processes() == 1 or not present:
        return
    flat = torch.cat([gradient.flatten() for _, gradient in present])
    parts = (collective.sum_over_processes(flat) / collective.processes()).split([g.numel() for _, g in present])
    for (index, gradient), part in zip(present, parts, strict=True):
        gradients[index] = part.view_as(gradient)
