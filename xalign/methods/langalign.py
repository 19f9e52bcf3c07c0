"""LangAlign: a small network between encoder and head that turns English vectors into those of a target language.

A(e(d_en)) ≈ e(T(d_en)), where e gives the vector that enters the head and T translates (Eq. 1). A head trained on
A(e(d_en)) has then seen what the target language looks like, without any of its labelled data. In reverse, A turns the
target's vectors into English ones for a head trained on English.

A network could satisfy that equation in an anisotropic space by a constant. So every map stands beside simpler ones
(nothing, the shift of the mean, ridge regression), and its cosine beside that with the wrong translation.

Source: Kim, Lee, Choi & Jung 2025, "LangAlign", arXiv 2503.18603.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from xalign.engine.batch import BatchOrder, MicroBatch, share
from xalign.engine.training import Objective
from xalign.randomness import derive_seed

Map = Callable[[Tensor], Tensor]
CITATION = "kim2025langalign"
DEPTH = 6  # linear layers: six of FC, three and three of AE
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # of ridge regression, as shares of the mean variance
VALIDATION = 0.1  # share of the translations that ridge regression chooses its strength on


class Adapter(nn.Sequential):
    """The network A, from vectors to vectors of the same width."""

    def __init__(self, architecture: str, width: int, *, layers: int = DEPTH, dropout: float = 0.1, seed: int) -> None:
        """Make the network with weights that depend on the seed alone.

        Args:
            architecture: ``fc``, linear layers of one width; or ``ae``, half of them halving it, half doubling it.
            layers: linear layers in all; an even number for ``ae``.
        """
        sizes = [width] * (layers + 1)
        if architecture == "ae":
            half = [max(1, width >> depth) for depth in range(layers // 2 + 1)]
            sizes = [*half, *half[-2::-1]]
        parts: list[nn.Module] = []
        with torch.random.fork_rng():
            torch.manual_seed(derive_seed(seed, "langalign", architecture))
            for before, after in pairwise(sizes):
                parts += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout)]
        super().__init__(*parts[:-2])


class AdapterObjective(Objective):
    """Mean squared error of A over pairs of vectors."""

    names = ("adapter",)

    def __init__(self, adapter: Adapter) -> None:
        super().__init__()
        self.adapter = adapter

    def forward(self, batch: dict[str, Tensor], weights: Tensor) -> dict[str, Tensor]:
        """The error of each pair, averaged over dimensions, as a weighted sum over pairs."""
        error = functional.mse_loss(self.adapter(batch["source"]), batch["target"], reduction="none")  # (n, d)
        return {"adapter": error.mean(dim=1).sum() * weights[0]}

    def flops(self, batch: dict[str, Tensor]) -> float:
        """Operations of one micro-batch, forward and backward."""
        weights = sum(parameter.numel() for parameter in self.adapter.parameters() if parameter.dim() > 1)
        return 6.0 * weights * len(batch["source"])


class VectorBatches:
    """Batches of stored pairs of vectors (n, d)."""

    def __init__(self, source: Tensor, target: Tensor, order: BatchOrder) -> None:
        self.source, self.target, self.order = source, target, order

    def micro_batches(self, step: int) -> list[MicroBatch]:
        """The pairs of `step`."""
        [rows] = share(self.order.examples(step), accumulation=1, rank=0, processes=1)
        chosen = torch.from_numpy(rows)
        tensors = {"source": self.source[chosen], "target": self.target[chosen]}
        counts = torch.tensor([float(len(rows))], dtype=torch.float64)
        return [MicroBatch(tensors, counts, rows.tolist(), len(rows), len(rows))]


def mean_shift(source: Tensor, target: Tensor) -> Map:
    """The map that moves the mean of `source` onto that of `target`."""
    shift = target.mean(dim=0) - source.mean(dim=0)
    return lambda vectors: vectors + shift


def ridge(source: Tensor, target: Tensor, *, seed: int) -> Map:
    """Ridge regression in closed form, its strength chosen by the error on a tenth of the pairs.

    Args:
        source, target: (n, d).
    """
    order = torch.from_numpy(np.random.default_rng(derive_seed(seed, "ridge") % 2**32).permutation(len(source)))
    held = max(1, round(VALIDATION * len(source)))
    fit, check = order[held:], order[:held]

    def error(strength: float) -> float:
        found = _ridge(source[fit], target[fit], strength)
        return float(functional.mse_loss(found(source[check]), target[check]))

    return _ridge(source, target, min(STRENGTHS, key=error))


def _ridge(source: Tensor, target: Tensor, strength: float) -> Map:
    middle, onto = source.double().mean(dim=0), target.double().mean(dim=0)
    x, y = source.double() - middle, target.double() - onto
    gram = x.T @ x  # (d, d)
    penalty = strength * gram.diagonal().mean().clamp(min=1e-12)
    weight = torch.linalg.solve(gram + penalty * torch.eye(len(gram), dtype=torch.float64), x.T @ y)
    return lambda vectors: ((vectors.double() - middle) @ weight + onto).to(vectors.dtype)


@dataclass(frozen=True)
class Closeness:
    """How near a map brings vectors to their translations: `cosine` to the right ones, `wrong` to all others.

    `separation` is their difference in standard deviations of the wrong ones; `nearest` the share of vectors whose
    translation is nearer than every other one.
    """

    cosine: float
    wrong: float
    separation: float
    nearest: float


def closeness(mapped: Tensor, target: Tensor) -> Closeness:
    """Compare mapped vectors (n, d) with all translations (n, d), row by row."""
    unit, aim = (functional.normalize(vectors.double(), dim=-1) for vectors in (mapped, target))
    cosines = unit @ aim.T  # (n, n)
    right = cosines.diagonal()
    others = cosines[~torch.eye(len(cosines), dtype=torch.bool)]
    spread = float(others.std().clamp(min=1e-12))
    # A tie is no hit: a constant map has every translation equally near.
    away = cosines.masked_fill(torch.eye(len(cosines), dtype=torch.bool), -torch.inf).max(dim=1).values
    return Closeness(
        float(right.mean()), float(others.mean()), float(right.mean() - others.mean()) / spread,
        float((right > away).double().mean()),
    )  # fmt: skip
