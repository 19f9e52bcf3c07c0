"""Accuracy and macro-F1 as `evaluate` metrics that are computed here: the hub's scripts cannot be had offline."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np


def accuracy(predictions: np.ndarray, references: np.ndarray) -> float:
    """The share of units with the right label."""
    return float(np.mean(predictions == references))


def macro_f1(predictions: np.ndarray, references: np.ndarray) -> float:
    """The mean of F1 over all labels that occur among references or predictions, as scikit-learn defines it.

    A negative prediction stands for no label: it costs recall, and is no label of its own.
    """
    labels = np.union1d(references, predictions[predictions >= 0])
    right = predictions == references
    hits = np.array([np.sum(right & (references == label)) for label in labels])
    sizes = np.array([np.sum(references == label) + np.sum(predictions == label) for label in labels])
    return float(np.mean(2 * hits / sizes))


@cache
def combined() -> Any:
    """Both as one `evaluate` metric; made at first use, because `evaluate` takes seconds to import."""
    import datasets
    import evaluate

    class Local(evaluate.Metric):
        """A metric over predicted and gold label indices, kept in memory: no cache files, no lock between processes."""

        def __init__(self) -> None:
            super().__init__(keep_in_memory=True)

        def _info(self) -> evaluate.MetricInfo:
            columns = {"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}
            return evaluate.MetricInfo(
                description=type(self).__doc__, citation="", features=datasets.Features(columns), format="numpy"
            )

    class Accuracy(Local):
        """The share of units with the right label."""

        def _compute(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
            return {"accuracy": accuracy(predictions, references)}

    class MacroF1(Local):
        """The unweighted mean of the labels' F1."""

        def _compute(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
            return {"macro_f1": macro_f1(predictions, references)}

    return evaluate.combine([Accuracy(), MacroF1()])


def compute(predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
    """``accuracy`` and ``macro_f1`` of predicted label indices (n,) against gold ones (n,), through `evaluate`.

    For results. Validation during training calls the two functions above: `evaluate` copies through Arrow, which can
    take longer than an epoch of a linear head.
    """
    found: dict[str, float] = combined().compute(predictions=predictions, references=references)
    return found
