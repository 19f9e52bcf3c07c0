"""The converged probe: logistic regression on standardised frozen features, with C chosen on dev data.

A head trained at a fixed rate for a fixed number of epochs reacts to the scale of its features, which alignment
changes; the minimum of a convex objective does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from xalign.errors import XalignError

STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0)  # values of C, from strong to weak regularisation
MOST_ITERATIONS = 300
TOLERANCE = 1e-4  # on the largest entry of the mean objective's gradient; scikit-learn's own default
HISTORY = 20


@dataclass(frozen=True)
class Probe:
    """A linear head on features as they are: weight (labels, d), bias (labels,); and how it was chosen."""

    weight: Tensor
    bias: Tensor
    strength: float
    dev_accuracy: float


def fit_logistic(
    features: Tensor,
    labels: Tensor,
    classes: int,
    strength: float,
    *,
    start: tuple[Tensor, Tensor] | None = None,
    tolerance: float = TOLERANCE,
) -> tuple[Tensor, Tensor]:
    """Multinomial logistic regression by full-batch L-BFGS: argmin of C Σ_i CE_i + ½‖W‖², as scikit-learn writes it.

    The bias is not penalised. Minimised divided by C n, so that the tolerance means the same at any size.

    Args:
        features: (n, d).
        labels: (n,) indices below `classes`.
        strength: C.
        start: weight and bias to begin from.

    Returns:
        weight (classes, d) and bias (classes,), in the features' dtype and place.
    """
    count, width = features.shape
    penalty = 1 / (strength * count)
    solution = features.new_zeros(classes, width + 1)  # the last column is the bias
    if start is not None:
        solution[:, :-1], solution[:, -1] = start
    optimizer = torch.optim.LBFGS(
        [solution], max_iter=MOST_ITERATIONS, max_eval=2 * MOST_ITERATIONS, history_size=HISTORY,
        tolerance_grad=tolerance, tolerance_change=1e-12, line_search_fn="strong_wolfe",
    )  # fmt: skip
    rows = torch.arange(count, device=features.device)

    def objective() -> Tensor:
        # The gradient is written out: autograd would hold a second copy of the logits.
        weight = solution[:, :-1]
        log_probabilities = functional.log_softmax(torch.addmm(solution[:, -1], features, weight.T), dim=-1)
        loss = -log_probabilities[rows, labels].mean() + penalty / 2 * weight.square().sum()
        errors = log_probabilities.exp_()
        errors[rows, labels] -= 1
        solution.grad = torch.cat([errors.T @ features / count + penalty * weight, errors.mean(dim=0)[:, None]], dim=1)
        return loss

    with torch.no_grad():
        optimizer.step(objective)
    return solution[:, :-1].clone(), solution[:, -1].clone()


def train_probe(
    train: tuple[Tensor, Tensor],
    dev: tuple[Tensor, Tensor],
    classes: int,
    *,
    units: int | None = None,
    strengths: tuple[float, ...] = STRENGTHS,
) -> Probe:
    """Fit a probe for each C, and keep the one that is best on dev; of equals the more regularised.

    Args:
        train, dev: features (n, d) and labels (n,).
        units: what dev accuracy divides by, if more than dev's rows (words without pieces).

    Raises:
        XalignError: the features are not finite.
    """
    features, labels = train
    mean = features.mean(dim=0)
    deviation = features.std(dim=0, correction=0)
    deviation = torch.where(deviation > 0, deviation, torch.ones_like(deviation))
    standard = (features - mean) / deviation
    best: Probe | None = None
    solution: tuple[Tensor, Tensor] | None = None
    for strength in sorted(strengths):
        solution = fit_logistic(standard, labels, classes, strength, start=solution)
        weight = solution[0] / deviation
        bias = solution[1] - weight @ mean
        hits = int(((dev[0] @ weight.T + bias).argmax(dim=-1) == dev[1]).sum())
        accuracy = hits / (units or len(dev[1]))
        if best is None or accuracy > best.dev_accuracy:
            best = Probe(weight.cpu(), bias.cpu(), strength, accuracy)
    if best is None or not torch.isfinite(best.weight).all():
        raise XalignError("the converged probe found no finite weights: the encoder's features overflow; try fp32")
    return best
