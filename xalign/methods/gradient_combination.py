"""How the gradients of K objectives become one: rules that read nothing but their inner products.

Every rule maps the Gramian G = (⟨g_i, g_j⟩), (K, K) in float64, to weights w (K,): the combined gradient is Σ w_k g_k.
All of them are indifferent to the scale of G, and bear gradients that are zero. K is small, so that the two
optimisation problems (MGDA, CAGrad) are solved exactly, by trying every set of objectives that may have a weight.

The rules keep their papers' scale: sum, PCGrad and GradVac add gradients up, CAGrad averages them, MGDA takes a convex
combination.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from xalign.engine.training import Combination
from xalign.randomness import generator

RULES = ("sum", "pcgrad", "cagrad", "mgda", "gradvac", "random", "alternate")
TINY = 1e-12


def pcgrad(gramian: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """PCGrad: each gradient loses its component along every other one that it conflicts with; then they are added.

    Source: Yu et al. 2020, arXiv 2001.06782, algorithm 1.

    Args:
        draw: gives the order in which each gradient meets the others; of no consequence for two.
    """
    count = len(gramian)
    rows = np.eye(count)  # row i: what objective i's gradient has become, in terms of all
    for i in range(count):
        for j in draw.permutation(count):
            inner = rows[i] @ gramian[:, j]
            if j != i and inner < 0 and gramian[j, j] > 0:
                rows[i, j] -= inner / gramian[j, j]
    return rows.sum(axis=0)


def gradvac(gramian: np.ndarray, targets: np.ndarray, beta: float, draw: np.random.Generator) -> np.ndarray:
    """GradVac: each gradient is turned towards every other one, up to the cosine that the two have had so far.

    Source: Wang et al. 2021, arXiv 2010.05874, equation 5 and algorithm 1. With targets of 0 that stay, PCGrad.

    Args:
        targets: (K, K) moving averages of the cosines; 0 at first; moved on in place.
        beta: how far a step moves them.
        draw: gives the order in which each gradient meets the others.
    """
    count = len(gramian)
    norms = np.sqrt(np.diag(gramian).clip(min=0))
    rows = np.eye(count)
    for i in range(count):
        for j in draw.permutation(count):
            length = np.sqrt(max(rows[i] @ gramian @ rows[i], 0.0))
            if j == i or norms[j] == 0 or length == 0:
                continue
            cosine = float(np.clip(rows[i] @ gramian[:, j] / (length * norms[j]), -1, 1))
            wanted = float(targets[i, j])
            if cosine < wanted:
                sine, wanted_sine = np.sqrt(1 - cosine**2), max(np.sqrt(1 - wanted**2), TINY)
                rows[i, j] += length * (wanted * sine - cosine * wanted_sine) / (norms[j] * wanted_sine)
            targets[i, j] += beta * (cosine - wanted)
    return rows.sum(axis=0)


def mgda(gramian: np.ndarray) -> np.ndarray:
    """MGDA: the convex combination of least norm; it descends in every objective, or is zero where none can.

    Source: Désidéri 2012; Sener & Koltun 2018, arXiv 1810.04650, equation 3. They iterate; this is exact.
    """
    count = len(gramian)
    gramian = gramian / max(np.trace(gramian), np.finfo(float).tiny)
    best, least = np.full(count, 1 / count), np.inf
    for support in _supports(count):
        # min aᵀGa with Σa = 1: the derivative is the same for every objective of the support.
        size = len(support)
        system = np.ones((size + 1, size + 1))
        system[:size, :size], system[size, size] = gramian[np.ix_(support, support)], 0
        found = np.linalg.lstsq(system, np.eye(size + 1)[size], rcond=None)[0][:size]
        weights = _spread(found, support, count)
        if weights is not None and (value := weights @ gramian @ weights) < least - TINY:
            best, least = weights, value
    return best


def cagrad(gramian: np.ndarray, c: float) -> np.ndarray:
    """CAGrad: within c‖g_0‖ of the mean gradient g_0, the one that improves the worst-off objective most.

    With w minimising ⟨g_w, g_0⟩ + c‖g_0‖‖g_w‖ over the simplex it is g_0 + c‖g_0‖ g_w / ‖g_w‖. Where g_w is zero, no
    direction improves all objectives, and g_0 is left as it is.

    Source: Liu et al. 2021, arXiv 2110.14048, equation 4 and algorithm 1.
    """
    count = len(gramian)
    mean = np.full(count, 1 / count)
    gramian = gramian / max(np.trace(gramian), np.finfo(float).tiny)
    along = gramian @ mean  # ⟨g_k, g_0⟩
    radius = c * np.sqrt(max(mean @ along, 0.0))
    if radius < TINY:
        return mean

    def norm(weights: np.ndarray) -> float:
        return float(np.sqrt(max(weights @ gramian @ weights, 0.0)))

    candidates = [mgda(gramian)]
    for support in _supports(count):
        part = gramian[np.ix_(support, support)]
        found = _stationary(part, along[list(support)], radius)
        weights = _spread(found, support, count) if found is not None else None
        if weights is not None:
            candidates.append(weights)
    best = min(candidates, key=lambda weights: along @ weights + radius * norm(weights))
    return mean if norm(best) < np.sqrt(TINY) else mean + radius / norm(best) * best


def _stationary(part: np.ndarray, along: np.ndarray, radius: float) -> np.ndarray | None:
    """Where along·w + radius √(wᵀGw) stands still on Σw = 1, if it does so at one place.

    The derivative along + (radius / t) Gw, t the norm, equals λ everywhere, so w = (t / radius) G⁻¹(λ − along); that
    the norm of this is t makes λ the root of a quadratic equation, and Σw = 1 then gives t.
    """
    ones = np.ones(len(part))
    if len(part) == 1:
        return ones
    if np.linalg.cond(part) > 1 / TINY:  # parallel gradients: the minimum lies on a smaller support, or is zero
        return None
    of_ones, of_along = np.linalg.solve(part, np.stack([ones, along], axis=1)).T
    a, b, c = ones @ of_ones, ones @ of_along, along @ of_along
    root = b**2 - a * (c - radius**2)
    if root <= 0:
        return None
    level = (b + np.sqrt(root)) / a  # the other root has t < 0
    return (level * of_ones - of_along) / (level * a - b)


def _supports(count: int) -> Iterator[tuple[int, ...]]:
    for size in range(1, count + 1):
        yield from combinations(range(count), size)


def _spread(found: np.ndarray, support: tuple[int, ...], count: int) -> np.ndarray | None:
    """Weights of a support as weights of all objectives; None where one of them is negative."""
    if not (found >= -TINY).all() or abs(found.sum() - 1) > 1e-6:
        return None
    weights = np.zeros(count)
    weights[list(support)] = found.clip(min=0)
    return weights


class Combiner:
    """A rule with its settings, and with what GradVac carries from step to step.

    ``random`` is the control of PCGrad: the gradients are added up, and a vector as long as what PCGrad would have
    changed is added in a random direction. ``alternate`` takes one objective at a step, K times as strongly.

    Args:
        rule: one of `RULES`.
        scale: (K,) factors of the losses, whatever the rule then does with their gradients; they also are the weights
            of parameters that one objective alone reaches.
        seed: of the orders in PCGrad and GradVac; they depend on it and the step alone.
        c: CAGrad's radius.
        beta: GradVac's rate.
    """

    def __init__(self, rule: str, scale: np.ndarray, *, seed: int, c: float = 0.5, beta: float = 0.01) -> None:
        if rule not in RULES:
            raise ValueError(f"unknown rule {rule!r}")
        self.rule, self.scale, self.seed, self.c, self.beta = rule, scale.astype(np.float64), seed, c, beta
        self.targets = torch.zeros(len(scale), len(scale), dtype=torch.float64)

    @property
    def carried(self) -> dict[str, Tensor]:
        """State that a resumed run needs."""
        return {"targets": self.targets} if self.rule == "gradvac" else {}

    def __call__(self, gramian: Tensor, step: int) -> Combination:
        """The weights of `step`; a Gramian that is not finite (fp16 overflowed) leaves gradients as they are."""
        plain, own = gramian.cpu().double().numpy(), torch.from_numpy(self.scale.copy())
        if not np.isfinite(plain).all():
            return Combination(torch.from_numpy(self.scale.copy()), own=own)
        scaled = plain * np.outer(self.scale, self.scale)
        weights, noise = self._weights(scaled, step)
        return Combination(torch.from_numpy(self.scale * weights), noise, own)

    def _weights(self, gramian: np.ndarray, step: int) -> tuple[np.ndarray, float]:
        count, draw = len(gramian), generator(self.seed, "gradient-combination", step)
        ones = np.ones(count)
        if self.rule == "pcgrad":
            return pcgrad(gramian, draw), 0.0
        if self.rule == "cagrad":
            return cagrad(gramian, self.c), 0.0
        if self.rule == "mgda":
            return mgda(gramian), 0.0
        if self.rule == "gradvac":
            return gradvac(gramian, self.targets.numpy(), self.beta, draw), 0.0
        if self.rule == "random":
            change = pcgrad(gramian, draw) - 1
            return ones, float(np.sqrt(max(change @ gramian @ change, 0.0)))
        if self.rule == "alternate":
            return count * np.eye(count)[step % count], 0.0
        return ones, 0.0
