"""Labels that heads give to units, from an encoder or from stored features, and how good they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from xalign.engine import collective
from xalign.frozen_features import Encoding, encode
from xalign.tasks.examples import NOWHERE, Examples
from xalign.tasks.objective import Reader

NO_LABEL = -1  # the prediction for a word without pieces, which is never right


def label(features: Tensor, weights: Tensor, biases: Tensor) -> Tensor:
    """The best label by each of H heads.

    Args:
        features: (n, d).
        weights, biases: (H, labels, d) and (H, labels).

    Returns:
        (H, n).
    """
    heads, labels, width = weights.shape
    scores = features.float() @ weights.reshape(-1, width).float().T + biases.reshape(-1).float()
    return scores.view(-1, heads, labels).argmax(dim=-1).T


@torch.no_grad()
def predict(
    reader: Reader,
    examples: Examples,
    weights: Tensor,
    biases: Tensor,
    positions: Sequence[str | None],
    encoding: Encoding,
) -> np.ndarray:
    """Labels of all units by H heads at P positions, in one pass of the encoder over all processes.

    Args:
        weights, biases: (H, labels, d) and (H, labels).

    Returns:
        (P, H, U) int64; `NO_LABEL` for words without pieces.
    """
    weights, biases = weights.to(encoding.device), biases.to(encoding.device)
    # Counted from 1, so that the sum over processes fills what the others left at 0.
    found = torch.zeros(len(positions), len(weights), len(examples.labels), dtype=torch.int64)
    for index, units, vectors in encode(reader, examples, positions, encoding):
        found[index][:, torch.from_numpy(units)] = label(vectors, weights, biases).cpu() + 1
    if collective.processes() > 1:
        found = collective.sum_over_processes(found.to(encoding.device)).cpu()
    predictions: np.ndarray = found.numpy() - 1
    return predictions


def predict_stored(
    features: Tensor, examples: Examples, weights: Tensor, biases: Tensor, position: str | None
) -> np.ndarray:
    """Labels of all units from stored features (U, d): (H, U), as `predict` gives them at one position."""
    predictions = label(features, weights.cpu(), biases.cpu()).numpy()
    if position is not None:
        predictions = np.where(examples.positions[position] == NOWHERE, NO_LABEL, predictions)
    return predictions
