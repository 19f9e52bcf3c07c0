"""Accuracy and macro-F1 agree with scikit-learn, and `evaluate` needs no hub for them."""

from __future__ import annotations

import numpy as np
import pytest

from xalign.metrics import accuracy, combined, compute, macro_f1


def labels(seed: int, count: int = 200, classes: int = 6) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    references = draw.integers(0, classes, count)
    predictions = np.where(draw.random(count) < 0.6, references, draw.integers(0, classes, count))
    return predictions, references


@pytest.mark.parametrize("seed", range(3))
def test_values_are_those_of_scikit_learn(seed: int) -> None:
    from sklearn.metrics import accuracy_score, f1_score

    predictions, references = labels(seed)
    assert accuracy(predictions, references) == pytest.approx(accuracy_score(references, predictions))
    assert macro_f1(predictions, references) == pytest.approx(f1_score(references, predictions, average="macro"))


def test_labels_that_occur_only_among_predictions_count() -> None:
    from sklearn.metrics import f1_score

    predictions, references = np.array([0, 1, 2, 0]), np.array([0, 1, 1, 0])
    assert macro_f1(predictions, references) == pytest.approx(f1_score(references, predictions, average="macro"))
    assert macro_f1(predictions, references) == pytest.approx((1 + 2 / 3 + 0) / 3)


def test_a_missing_prediction_costs_recall_and_is_no_label() -> None:
    predictions, references = np.array([0, -1, 1]), np.array([0, 0, 1])
    assert accuracy(predictions, references) == pytest.approx(2 / 3)
    assert macro_f1(predictions, references) == pytest.approx((2 / 3 + 1) / 2)


def test_evaluate_gives_the_same_values_without_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    import evaluate

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("asked the hub")

    monkeypatch.setattr(evaluate, "load", refuse)
    predictions, references = labels(7)
    assert compute(predictions, references) == {
        "accuracy": accuracy(predictions, references),
        "macro_f1": macro_f1(predictions, references),
    }
    assert all(isinstance(part, evaluate.Metric) for part in combined().evaluation_modules)


def test_one_result_does_not_leak_into_the_next() -> None:
    first, second = labels(1), labels(2, count=50)
    compute(*first)
    assert compute(*second)["accuracy"] == accuracy(*second)
