"""Draws are pure functions of their keys, uniform, and unrelated between keys."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xalign.randomness import derive_seed, generator, seed_dropout, uniforms

IDS = np.arange(400)


def test_a_row_depends_on_its_example_and_not_on_the_batch_around_it() -> None:
    whole = uniforms(42, "mask", 7, IDS, 30)
    some = np.array([311, 5, 5, 0])
    np.testing.assert_array_equal(uniforms(42, "mask", 7, some, 30), whole[some])


def test_a_cell_does_not_depend_on_the_padded_width() -> None:
    np.testing.assert_array_equal(uniforms(42, "mask", 7, IDS, 12), uniforms(42, "mask", 7, IDS, 30)[:, :12])


@pytest.mark.parametrize("other", [(43, "mask", 7), (42, "mask-other", 7), (42, "mask", 8)])
def test_another_seed_stream_or_step_gives_unrelated_draws(other: tuple[int, str, int]) -> None:
    first, second = uniforms(42, "mask", 7, IDS, 100), uniforms(*other, IDS, 100)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.02  # 4 standard errors of 40,000 draws
    assert not np.isin(second, first).any()


def test_draws_are_uniform_and_neighbours_are_independent() -> None:
    from scipy import stats

    draws = uniforms(1, "x", 0, IDS, 250)  # 100,000
    assert draws.min() >= 0 and draws.max() < 1
    assert stats.kstest(draws.ravel(), "uniform").pvalue > 1e-3
    for a, b in ((draws[:, 1:], draws[:, :-1]), (draws[1:], draws[:-1]), (draws[1:, 1:], draws[:-1, :-1])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.013


def test_seeds_are_unsigned_63_bit_numbers_that_differ_with_every_part() -> None:
    keys: list[tuple[int | str, ...]] = [(1, "a"), (1, "b"), (2, "a"), (1, "a", 0), (1, "a", 0, 0), ("1a",), (11,)]
    seeds = {derive_seed(*parts) for parts in keys}
    assert len(seeds) == 7 and all(0 <= seed < 1 << 63 for seed in seeds)
    assert derive_seed(42, "dropout", 3) == derive_seed(42, "dropout", 3)


def test_generators_of_the_same_key_agree_and_do_not_share_state() -> None:
    first, second = generator(42, "order", 1), generator(42, "order", 1)
    assert first.integers(1 << 40) == second.integers(1 << 40)
    assert generator(42, "order", 2).integers(1 << 40) != generator(42, "order", 1).integers(1 << 40)


def test_dropout_is_repeated_by_step_micro_step_and_rank_alone() -> None:
    def dropped(*key: int) -> list[bool]:
        seed_dropout(*key)
        return (torch.nn.functional.dropout(torch.ones(64), 0.5) == 0).tolist()

    first = dropped(42, 5, 0, 0)
    torch.rand(17)
    assert dropped(42, 5, 0, 0) == first
    assert all(dropped(*key) != first for key in ((42, 5, 0, 1), (42, 5, 1, 0), (42, 6, 0, 0), (43, 5, 0, 0)))
