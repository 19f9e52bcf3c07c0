"""Translation retrieval against a naive loop and scikit-learn's nearest neighbours."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from xalign.analysis import retrieval
from xalign.analysis.retrieval import translation_scores
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
