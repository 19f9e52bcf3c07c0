"""Rules that combine gradients: against their definitions on whole vectors, closed forms, scipy and TorchJD."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from xalign.config.joint import COMBINATIONS
from xalign.methods.gradient_combination import RULES, Combiner, cagrad, gradvac, mgda, pcgrad
from xalign.randomness import generator

SIZE = 12
CONFLICT = 5


def gradients(count: int, number: int) -> np.ndarray:
    """(K, SIZE) vectors of unequal length: by `number` modulo 3 unrelated, alike, or in conflict."""
    draw = np.random.default_rng(number)
    common, signs = draw.normal(size=SIZE), np.array([[0, 0, 0, 0], [1, 1, 1, 1], [1, -1, 1, -1]])[number % 3]
    rows = draw.normal(size=(count, SIZE)) + np.outer(signs[:count], common)
    return rows * draw.uniform(0.2, 5, size=(count, 1))


def order() -> np.random.Generator:
    return np.random.default_rng(7)


def torchjd_weights(name: str, gramian: np.ndarray, *arguments: float) -> np.ndarray:
    aggregation = pytest.importorskip("torchjd.aggregation", reason="peer of these rules: pip install torchjd[cagrad]")
    try:
        weighting = getattr(aggregation, name)(*arguments).gramian_weighting
    except ImportError as error:
        pytest.skip(f"torchjd's {name}: {error}")
    found: np.ndarray = weighting(torch.from_numpy(gramian)).numpy()
    return found


# On whole vectors, as the papers write them


def projected(rows: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """PCGrad, algorithm 1, on the vectors themselves."""
    total = np.zeros(SIZE)
    for i, row in enumerate(rows):
        changed = row.copy()
        for j in draw.permutation(len(rows)):
            if j != i and changed @ rows[j] < 0:
                changed -= (changed @ rows[j]) / (rows[j] @ rows[j]) * rows[j]
        total += changed
    return total


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("number", range(6))
def test_pcgrad_equals_projections_of_the_vectors(count: int, number: int) -> None:
    rows = gradients(count, number)
    np.testing.assert_allclose(pcgrad(rows @ rows.T, order()) @ rows, projected(rows, order()), atol=1e-10)


def test_two_conflicting_gradients_lose_their_conflict_and_two_others_are_added() -> None:
    rows = np.array([[1.0, 0], [-1, 2]])
    np.testing.assert_allclose(pcgrad(rows @ rows.T, order()) @ rows, [0.8 - 0, 0.4 + 2])
    assert pcgrad(np.array([[1.0, 0.5], [0.5, 2]]), order()).tolist() == [1, 1]


def test_gradvac_turns_a_gradient_to_the_wanted_cosine_and_keeps_its_length_across() -> None:
    rows = gradients(2, 3)
    wanted = 0.4
    gramian = rows @ rows.T
    assert gramian[0, 1] < wanted * np.sqrt(gramian[0, 0] * gramian[1, 1])
    total = gradvac(gramian, np.array([[0, wanted], [-1.0, 0]]), 0.0, order()) @ rows  # the second one stays
    first = total - rows[1]
    assert first @ rows[1] / np.linalg.norm(first) / np.linalg.norm(rows[1]) == pytest.approx(wanted)
    across = [vector - (vector @ rows[1]) / gramian[1, 1] * rows[1] for vector in (first, rows[0])]
    np.testing.assert_allclose(*across, atol=1e-12)


def test_gradvac_wants_a_moving_average_of_cosines_and_is_pcgrad_before_it_has_one() -> None:
    rows = gradients(3, 0)
    gramian, targets = rows @ rows.T, np.zeros((3, 3))
    np.testing.assert_allclose(gradvac(gramian, targets, 0.0, order()), pcgrad(gramian, order()))
    two = np.array([[4.0, 1], [1, 1]])  # a cosine of 0.5
    moved = np.zeros((2, 2))
    for _ in range(3):
        gradvac(two, moved, 0.1, order())
    assert moved[0, 1] == moved[1, 0] == pytest.approx(0.5 * (1 - 0.9**3))


@pytest.mark.parametrize("number", range(6))
def test_mgda_of_two_is_the_nearest_point_of_a_segment(number: int) -> None:
    a, b = gradients(2, number)
    share = np.clip((b - a) @ b / ((a - b) @ (a - b)), 0, 1)
    np.testing.assert_allclose(mgda(np.array([[a @ a, a @ b], [a @ b, b @ b]])), [share, 1 - share], atol=1e-9)


def on_simplex(count: int, cost: Callable[[np.ndarray], float]) -> float:
    """The least cost that scipy finds, from several starts."""
    starts = [np.full(count, 1 / count), *(0.9 * np.eye(count) + 0.1 / count)]
    sums_to_one = {"type": "eq", "fun": lambda weights: weights.sum() - 1}
    found = (minimize(cost, x, bounds=[(0, 1)] * count, constraints=sums_to_one, tol=1e-12) for x in starts)
    return min(float(each.fun) for each in found)


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("number", range(3))
def test_mgda_and_cagrad_are_as_good_as_scipy_s_optimum(count: int, number: int) -> None:
    rows = gradients(count, number) / 4
    least = mgda(rows @ rows.T)
    assert least.sum() == pytest.approx(1) and (least >= 0).all()
    assert np.sum((least @ rows) ** 2) <= on_simplex(count, lambda w: float(np.sum((w @ rows) ** 2))) + 1e-9

    # CAGrad's own problem: max over directions near the mean of the least improvement; its dual's value is the same.
    c, mean = 0.5, rows.mean(axis=0)
    direction = cagrad(rows @ rows.T, c) @ rows
    radius = c * np.linalg.norm(mean)
    assert np.linalg.norm(direction - mean) == pytest.approx(radius)
    dual = on_simplex(count, lambda w: float(w @ rows @ mean + radius * np.linalg.norm(w @ rows)))
    assert (rows @ direction).min() == pytest.approx(dual, abs=1e-5)


def test_cagrad_without_a_radius_is_the_mean_and_opposed_gradients_give_a_number() -> None:
    rows = gradients(3, 1)
    np.testing.assert_allclose(cagrad(rows @ rows.T, 0.0), 1 / 3)
    opposed = np.outer([1.0, -2.0], [1.0, -2.0])
    assert np.isfinite(cagrad(opposed, 0.5)).all()
    np.testing.assert_allclose(mgda(opposed), [2 / 3, 1 / 3])


# Against a peer


@pytest.mark.parametrize("number", range(6))
def test_two_gradients_are_weighed_as_torchjd_weighs_them(number: int) -> None:
    rows = gradients(2, number)
    gramian = rows @ rows.T
    np.testing.assert_allclose(pcgrad(gramian, order()), torchjd_weights("PCGrad", gramian), atol=1e-9)
    np.testing.assert_allclose(mgda(gramian), torchjd_weights("MGDA", gramian), atol=1e-6)
    np.testing.assert_allclose(cagrad(gramian, 0.5), torchjd_weights("CAGrad", gramian, 0.5), atol=1e-3)


def test_several_steps_of_gradvac_equal_torchjd_s() -> None:
    aggregation = pytest.importorskip("torchjd.aggregation", reason="peer of these rules: pip install torchjd[cagrad]")
    theirs, targets = aggregation.GradVac(beta=0.3).gramian_weighting, np.zeros((2, 2))
    changed = 0
    for number in (1, 2, 1, 2, 4, 0, 3):
        rows = gradients(2, number)
        ours = gradvac(rows @ rows.T, targets, 0.3, order())
        np.testing.assert_allclose(ours, theirs(torch.from_numpy(rows @ rows.T)).numpy(), rtol=1e-6)
        changed += ours.tolist() != [1, 1]
    assert changed >= 2


@pytest.mark.parametrize("number", range(3))
def test_three_gradients_are_weighed_by_cagrad_as_torchjd_weighs_them(number: int) -> None:
    gramian = gradients(3, number) @ gradients(3, number).T
    np.testing.assert_allclose(cagrad(gramian, 0.4), torchjd_weights("CAGrad", gramian, 0.4), atol=2e-3)


# Behind one call


def combiner(rule: str, count: int = 2, **options: float) -> Combiner:
    return Combiner(rule, np.ones(count), seed=3, **options)


def test_the_configuration_offers_all_rules() -> None:
    assert COMBINATIONS == RULES


@pytest.mark.parametrize("rule", RULES)
def test_rules_ignore_the_scale_of_losses_and_bear_zeros_and_infinities(rule: str) -> None:
    rows = torch.from_numpy(gradients(2, CONFLICT))
    gramian = rows @ rows.T
    small, large = (combiner(rule)(gramian * scale, 5) for scale in (1e-9, 1e9))
    torch.testing.assert_close(small.weights, large.weights)
    assert large.noise == pytest.approx(1e9 * small.noise)
    for broken in (torch.zeros(2, 2).double(), torch.tensor([[1.0, 0], [0, 0]]), torch.full((2, 2), torch.inf)):
        found = combiner(rule)(broken, 0)
        assert found.weights.isfinite().all() and np.isfinite(found.noise)


def test_the_control_changes_as_much_as_pcgrad_does() -> None:
    rows = gradients(2, CONFLICT)
    found = combiner("random")(torch.from_numpy(rows @ rows.T), 0)
    change = projected(rows, order()) - rows.sum(axis=0)
    assert found.weights.tolist() == [1, 1] and found.noise == pytest.approx(np.linalg.norm(change))
    assert found.noise > 0 and combiner("random")(torch.eye(2), 0).noise == 0


def test_alternating_takes_each_objective_in_turn_as_strongly_as_the_sum_in_the_mean() -> None:
    found = [combiner("alternate", 3)(torch.eye(3), step).weights.tolist() for step in range(4)]
    assert found == [[3, 0, 0], [0, 3, 0], [0, 0, 3], [3, 0, 0]]


@pytest.mark.parametrize("rule", ["sum", "pcgrad", "mgda", "cagrad"])
def test_a_factor_of_a_loss_is_the_same_as_a_longer_gradient(rule: str) -> None:
    rows = gradients(2, CONFLICT)
    scale = np.array([1.0, 0.3])
    scaled = rows * scale[:, None]
    ours = Combiner(rule, scale, seed=3)(torch.from_numpy(rows @ rows.T), 0).weights.numpy() @ rows
    longer = combiner(rule)(torch.from_numpy(scaled @ scaled.T), 0).weights.numpy() @ scaled
    np.testing.assert_allclose(ours, longer)


@pytest.mark.parametrize("rule", RULES)
def test_what_one_objective_alone_reaches_learns_at_the_factor_of_its_loss(rule: str) -> None:
    rows = torch.from_numpy(gradients(2, CONFLICT))
    for gramian in (rows @ rows.T, torch.full((2, 2), torch.inf)):
        found = Combiner(rule, np.array([1.0, 0.3]), seed=3)(gramian, 0)
        assert found.own is not None and found.own.tolist() == [1.0, 0.3]


def test_the_order_depends_on_seed_and_step_alone() -> None:
    gramian = torch.tensor([[1.0, -0.9, 0.3], [-0.9, 1, -0.5], [0.3, -0.5, 1]]).double()
    by_step = [combiner("pcgrad", 3)(gramian, step).weights for step in range(8)]
    again = [combiner("pcgrad", 3)(gramian, step).weights for step in reversed(range(8))][::-1]
    assert all(map(torch.equal, by_step, again)) and any(not torch.equal(by_step[0], each) for each in by_step)
    expected = pcgrad(gramian.numpy(), generator(3, "gradient-combination", 4))
    np.testing.assert_array_equal(by_step[4].numpy(), expected)
