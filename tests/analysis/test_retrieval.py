"""Translation retrieval against a naive loop and scikit-learn's nearest neighbours."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from xalign.analysis import retrieval
from xalign.analysis.margins import auc, margin
from xalign.analysis.retrieval import (
    MEASURES,
    Neighbourhoods,
    Scores,
    layer_scores,
    nearest_of_own_language,
    retrieval_scores,
    translation_scores,
    unit_rows,
)
from xalign.errors import XalignError


def noisy_translations(count: int, noise: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    source = torch.randn(count, 8, generator=draw)
    target = source + noise * torch.randn(count, 8, generator=draw)
    return source, target * torch.rand(count, 1, generator=draw)  # lengths must not matter


def naive_scores(source: Tensor, target: Tensor) -> dict[str, float]:
    x, y = source.double().tolist(), target.double().tolist()

    def cosine(a: list[float], b: list[float]) -> float:
        return sum(i * j for i, j in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)

    table = [[cosine(a, b) for b in y] for a in x]
    n = len(x)
    others = [table[i][j] for i in range(n) for j in range(n) if i != j]
    return {
        "nn_source_to_target": sum(max(range(n), key=lambda j, i=i: table[i][j]) == i for i in range(n)) / n,
        "nn_target_to_source": sum(max(range(n), key=lambda i, j=j: table[i][j]) == j for j in range(n)) / n,
        "mean_cosine": sum(table[i][i] for i in range(n)) / n,
        "mean_cosine_nontranslation": sum(others) / len(others),
    }


def test_scores_equal_a_naive_loop_in_blocks_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = noisy_translations(60, 1.1)
    expected = naive_scores(source, target)
    assert 0.2 < expected["nn_source_to_target"] < 0.95
    assert expected["nn_source_to_target"] != expected["nn_target_to_source"]
    for rows in (1024, 60, 7, 1):
        monkeypatch.setattr(retrieval, "ROWS_AT_ONCE", rows)
        assert translation_scores(source, target) == pytest.approx(expected, abs=1e-6)


def test_accuracies_equal_scikit_learn_s_nearest_neighbours() -> None:
    from sklearn.neighbors import NearestNeighbors

    source, target = noisy_translations(200, 1.2, seed=3)
    found = translation_scores(source, target)
    for name, queries, index in (
        ("nn_source_to_target", source, target),
        ("nn_target_to_source", target, source),
    ):
        nearest = NearestNeighbors(n_neighbors=1, metric="cosine", algorithm="brute").fit(index.numpy())
        hits = nearest.kneighbors(queries.numpy(), return_distance=False)[:, 0] == np.arange(200)
        assert found[name] == pytest.approx(hits.mean())


def test_perfect_translations_are_found_both_ways_and_exchanged_sides_exchange_the_scores() -> None:
    source, target = noisy_translations(50, 0.0)
    perfect = translation_scores(source, target)
    assert perfect["nn_source_to_target"] == perfect["nn_target_to_source"] == 1
    assert perfect["mean_cosine"] == pytest.approx(1) and perfect["mean_cosine_nontranslation"] < 0.5
    source, target = noisy_translations(50, 1.5)
    there, back = translation_scores(source, target), translation_scores(target, source)
    assert there["nn_source_to_target"] == back["nn_target_to_source"]


def test_constant_vectors_score_one_hit_and_show_no_difference_in_cosine() -> None:
    """A collapsed encoder: every cosine is 1, and the first sentence alone is its own translation."""
    scores = translation_scores(torch.ones(20, 4), torch.ones(20, 4))
    assert scores["nn_source_to_target"] == scores["nn_target_to_source"] == 1 / 20
    assert scores["mean_cosine"] == pytest.approx(scores["mean_cosine_nontranslation"]) == pytest.approx(1)


@pytest.mark.parametrize("rows", [3, 1024])
def test_of_equal_neighbours_the_first_is_taken_within_a_block_and_across_blocks(
    monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(retrieval, "ROWS_AT_ONCE", rows)
    source, target = torch.eye(8), torch.eye(8)
    source[7] = source[0]  # a repeated sentence whose translation is found by no one
    scores = translation_scores(source, target)
    assert scores["nn_source_to_target"] == scores["nn_target_to_source"] == 7 / 8


def test_a_zero_vector_has_cosine_zero() -> None:
    source, target = noisy_translations(5, 0.1)
    source[2] = 0
    assert all(map(math.isfinite, translation_scores(source, target).values()))


def test_half_precision_vectors_are_compared_in_fp32() -> None:
    source, target = noisy_translations(30, 0.5)
    halves = source.half(), target.half()
    assert translation_scores(*halves) == translation_scores(halves[0].float(), halves[1].float())


def test_one_pair_is_refused() -> None:
    with pytest.raises(XalignError, match="1 held-out pairs"):
        translation_scores(torch.ones(1, 4), torch.ones(1, 4))


def both_directions(source: Tensor, target: Tensor, **sizes: float) -> tuple[Scores, Scores]:
    units = unit_rows(source.numpy()), unit_rows(target.numpy())
    nearest = [nearest_of_own_language(unit) for unit in units]
    return retrieval_scores(*units, *nearest, Neighbourhoods(**sizes))  # type: ignore[arg-type]


def naive_direction(source: np.ndarray, target: np.ndarray, k_csls: int, k_xsim: int) -> dict[str, float]:
    """One direction in loops over sentences, from the definitions, in float64."""

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    n = len(source)
    across = [[cosine(a, b) for b in target] for a in source]
    within = [[cosine(a, b) for b in source] for a in source]

    def neighbourhood(row: list[float], k: int) -> float:
        return sum(sorted(row)[-k:]) / k

    columns = [list(column) for column in zip(*across, strict=True)]
    hits: dict[str, list[bool]] = {name: [] for name in ("nn_weak", "nn_strong", "nn_weak_csls", "xsim")}
    for i in range(n):
        others = [across[i][j] for j in range(n) if j != i]
        hits["nn_weak"].append(across[i][i] > max(others))
        candidates = others + [within[i][j] for j in range(n) if j != i]
        hits["nn_strong"].append(across[i][i] > max(candidates))
        csls = [
            2 * across[i][j] - neighbourhood(across[i], k_csls) - neighbourhood(columns[j], k_csls) for j in range(n)
        ]
        hits["nn_weak_csls"].append(csls[i] > max(csls[j] for j in range(n) if j != i))
        # LASER: of the k nearest targets the one with the best ratio margin.
        nearest = sorted(range(n), key=lambda j: -across[i][j])[:k_xsim]
        ratio = {
            j: across[i][j] / ((neighbourhood(across[i], k_xsim) + neighbourhood(columns[j], k_xsim)) / 2)
            for j in nearest
        }
        hits["xsim"].append(max(ratio, key=ratio.__getitem__) != i)
    return {name: float(np.mean(values)) for name, values in hits.items()}


def test_neighbour_measures_equal_naive_loops_in_both_directions() -> None:
    source, target = noisy_translations(70, 0.9, seed=2)
    source[5] += 2  # a hub
    found = both_directions(source, target, csls=7, xsim=4)
    sides = source.double().numpy(), target.double().numpy()
    for scores, (a, b) in zip(found, (sides, sides[::-1]), strict=True):
        expected = naive_direction(a, b, 7, 4)
        assert {name: scores[name] for name in expected} == pytest.approx(expected)
        assert len({*expected.values()}) == 4  # four different measures
        assert tuple(name for name in MEASURES if name in scores) == MEASURES and set(scores) == set(MEASURES)


def test_recall_equals_scikit_learn_s_nearest_neighbours() -> None:
    from sklearn.neighbors import NearestNeighbors

    source, target = noisy_translations(150, 1.3, seed=4)
    found = both_directions(source, target)
    for scores, queries, index in ((found[0], source, target), (found[1], target, source)):
        nearest = NearestNeighbors(n_neighbors=10, metric="cosine", algorithm="brute").fit(index.numpy())
        rows = nearest.kneighbors(queries.numpy(), return_distance=False)
        for k in (1, 5, 10):
            hits = (rows[:, :k] == np.arange(150)[:, None]).any(axis=1)
            assert scores[f"recall_at_{k}"] == pytest.approx(hits.mean())
        assert 0 < scores["recall_at_1"] < scores["recall_at_5"] < scores["recall_at_10"] < 1  # type: ignore[operator]


def test_auc_and_separation_equal_scikit_learn_and_numpy() -> None:
    from sklearn.metrics import roc_auc_score

    source, target = noisy_translations(80, 1.5, seed=6)
    scores = both_directions(source, target)[0]
    cosines = (unit_rows(source.numpy()) @ unit_rows(target.numpy()).T).numpy().astype(np.float64)
    labels = np.eye(80).ravel()
    assert scores["auc"] == pytest.approx(roc_auc_score(labels, cosines.ravel()))
    others = cosines[~np.eye(80, dtype=bool)]
    assert scores["mean_cosine_nontranslation"] == pytest.approx(others.mean())
    assert scores["separation"] == pytest.approx((np.diag(cosines).mean() - others.mean()) / others.std(ddof=1))


def test_auc_counts_ties_half() -> None:
    from sklearn.metrics import roc_auc_score

    draw = np.random.default_rng(0)
    positives, negatives = draw.integers(0, 5, 40).astype(float), np.sort(draw.integers(0, 4, 300)).astype(float)
    labels = np.repeat([1, 0], [40, 300])
    assert auc(positives, negatives) == pytest.approx(roc_auc_score(labels, np.concatenate([positives, negatives])))


@pytest.mark.parametrize("epsilon", [0.0, 0.05, 0.31, 0.5])
def test_margin_is_the_largest_that_holds_with_probability_one_minus_epsilon(epsilon: float) -> None:
    draw = np.random.default_rng(1)
    positives, negatives = draw.normal(0.5, 0.2, 37), np.sort(draw.normal(0.1, 0.2, 83))
    differences = (positives[:, None] - negatives).ravel()
    found = margin(positives, negatives, epsilon)
    assert found == pytest.approx(np.sort(differences)[int(epsilon * len(differences))], abs=1e-6)
    assert (differences >= found - 1e-6).mean() >= 1 - epsilon
    assert (differences >= found + 1e-4).mean() < 1 - epsilon or epsilon == 0


def test_the_query_is_masked_even_where_all_cosines_are_negative() -> None:
    """A mask of 0 would be the nearest sentence of all, and no translation would be found."""
    source = torch.tensor([[1.0, 0.0, 0.0], [-0.6, 0.8, 0.0], [-0.6, -0.8, 0.0]])
    units = unit_rows(source.numpy())
    assert (units @ units.T)[~torch.eye(3, dtype=torch.bool)].max() < 0
    assert (nearest_of_own_language(units) < 0).all()
    # Translations at a cosine of -0.1: below 0, yet nearer than everything else.
    target = torch.tensor([[-0.1, 0.0, 0.995], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    target[1] = -0.1 * units[1] + torch.tensor([0.0, 0.0, 0.995])
    target[2] = -0.1 * units[2] + torch.tensor([0.0, 0.0, 0.995])
    strong = ((units * unit_rows(target.numpy())).sum(dim=1) > nearest_of_own_language(units)).tolist()
    assert strong == [True, True, True]


def test_strong_alignment_fails_where_a_sentence_of_the_same_language_is_nearer() -> None:
    source = torch.eye(6)
    target = source + 0.3
    strong = both_directions(source, target)
    assert strong[0]["nn_weak"] == strong[0]["nn_strong"] == 1
    source[1] = source[0] + 1e-3 * source[1]  # a near repetition of sentence 0
    after = both_directions(source, target)
    assert after[0]["nn_strong"] < after[0]["nn_weak"]


def test_centring_removes_what_all_sentences_of_a_language_share() -> None:
    source, target = noisy_translations(90, 0.3)
    shifted = source + 10 * torch.ones(8), target - 10 * torch.ones(8)
    plain = retrieval_rows(*shifted, centred=False)
    centred = retrieval_rows(*shifted, centred=True)
    clean = retrieval_rows(source, target, centred=True)
    assert plain["mean_cosine"] == pytest.approx(-1, abs=0.1) and centred["recall_at_1"] == clean["recall_at_1"]
    assert centred["mean_cosine"] == pytest.approx(clean["mean_cosine"], abs=1e-4)


def retrieval_rows(source: Tensor, target: Tensor, *, centred: bool) -> Scores:
    vectors = source.numpy()[None], target.numpy()[None]
    nearest = [nearest_of_own_language(unit_rows(side[0], centred=centred))[None] for side in vectors]
    ((_, there, _),) = layer_scores(*vectors, (nearest[0], nearest[1]), Neighbourhoods(), centred=centred)
    return there


def test_a_collapsed_encoder_scores_nothing_and_has_no_separation() -> None:
    same = torch.tensor([[1.0, 0.0]] * 20)
    scores = both_directions(same, same)[0]
    assert scores["recall_at_1"] == scores["nn_weak"] == scores["nn_strong"] == scores["nn_weak_csls"] == 0
    assert scores["separation"] is None and scores["auc"] == 0.5 and scores["margin"] == pytest.approx(0, abs=1e-6)


def test_fewer_sentences_than_neighbours_are_enough() -> None:
    source, target = noisy_translations(3, 0.1)
    scores = both_directions(source, target, csls=10, xsim=4)[0]
    assert scores["recall_at_10"] == 1 and all(isinstance(value, float) for value in scores.values())
