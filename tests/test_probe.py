"""The probe is the minimum that scikit-learn finds, and an ordinary linear head."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from xalign.probe import fit_logistic, train_probe


def problem(count: int = 300, width: int = 6, classes: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, classes, count)
    centres = np.random.default_rng(99).normal(size=(classes, width))
    features = centres[labels] + draw.normal(size=(count, width)) * 1.5
    return torch.tensor(features, dtype=torch.float64), torch.tensor(labels)


@pytest.mark.parametrize("strength", [0.01, 1.0, 10.0])
def test_weights_are_those_of_scikit_learn(strength: float) -> None:
    from sklearn.linear_model import LogisticRegression

    features, labels = problem()
    weight, bias = fit_logistic(features, labels, 4, strength, tolerance=1e-10)
    reference = LogisticRegression(C=strength, tol=1e-10, max_iter=2000).fit(features.numpy(), labels.numpy())
    np.testing.assert_allclose(weight.numpy(), reference.coef_, atol=1e-5)
    # The bias is determined up to a constant.
    centred = reference.intercept_ - reference.intercept_.mean()
    np.testing.assert_allclose((bias - bias.mean()).numpy(), centred, atol=1e-5)


def test_single_precision_reaches_the_same_minimum() -> None:
    features, labels = problem()
    exact, _ = fit_logistic(features, labels, 4, 1.0, tolerance=1e-10)
    single, _ = fit_logistic(features.float(), labels, 4, 1.0)
    np.testing.assert_allclose(single.numpy(), exact.numpy(), atol=5e-3)


def test_start_does_not_change_the_minimum() -> None:
    features, labels = problem()
    start = (torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1)), torch.ones(4).double())
    plain, _ = fit_logistic(features, labels, 4, 1.0, tolerance=1e-10)
    warm, _ = fit_logistic(features, labels, 4, 1.0, start=start, tolerance=1e-10)
    np.testing.assert_allclose(warm.numpy(), plain.numpy(), atol=1e-5)


def test_probe_does_not_depend_on_scale_or_offset_of_a_feature() -> None:
    (features, labels), (dev, dev_labels) = problem(), problem(seed=1)
    stretch = torch.tensor([1e-3, 1.0, 50.0, 7.0, 1e3, 0.2], dtype=torch.float64)
    plain = train_probe((features, labels), (dev, dev_labels), 4)
    moved = train_probe((features * stretch + 3, labels), (dev * stretch + 3, dev_labels), 4)
    assert moved.strength == plain.strength
    np.testing.assert_allclose((moved.weight * stretch).numpy(), plain.weight.numpy(), atol=1e-3)
    assert moved.dev_accuracy == pytest.approx(plain.dev_accuracy, abs=1 / len(dev))


def test_standardisation_is_folded_into_the_head() -> None:
    (features, labels), (dev, dev_labels) = problem(), problem(seed=1)
    probe = train_probe((features, labels), (dev, dev_labels), 4)
    predictions = (dev @ probe.weight.T + probe.bias).argmax(dim=-1)
    assert float((predictions == dev_labels).double().mean()) == probe.dev_accuracy
    assert probe.dev_accuracy > 0.5


def test_strength_is_the_one_that_is_best_on_dev() -> None:
    train, dev = problem(count=24, width=20), problem(count=400, width=20, seed=1)
    alone = {c: train_probe(train, dev, 4, strengths=(c,)).dev_accuracy for c in (0.001, 1.0, 1000.0)}
    chosen = train_probe(train, dev, 4, strengths=(0.001, 1.0, 1000.0))
    assert chosen.dev_accuracy == pytest.approx(max(alone.values()), abs=0.01)
    assert len(set(alone.values())) > 1


def test_words_without_pieces_count_as_errors() -> None:
    train, dev = problem(), problem(seed=1)
    full = train_probe(train, dev, 4)
    assert train_probe(train, dev, 4, units=2 * len(dev[1])).dev_accuracy == full.dev_accuracy / 2


def test_constant_feature_is_harmless() -> None:
    features, labels = problem()
    features[:, 2] = 5.0
    probe = train_probe((features, labels), (features, labels), 4)
    assert torch.isfinite(probe.weight).all() and probe.dev_accuracy > 0.5
