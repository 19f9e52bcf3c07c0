"""The order of examples, and how a batch is cut and padded."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xalign.engine.batch import BatchOrder, mean_weights, pad, share
from xalign.errors import UsageError

LENGTHS = np.random.default_rng(0).integers(3, 80, size=103)


def one_pass(order: BatchOrder, epoch: int = 0) -> list[np.ndarray]:
    first = epoch * order.steps_per_epoch
    return [order.examples(step) for step in range(first, first + order.steps_per_epoch)]


@pytest.mark.parametrize("bucket_batches", [1, 4, 1000])
def test_a_pass_takes_every_example_once_and_drops_what_is_left_over(bucket_batches: int) -> None:
    order = BatchOrder(LENGTHS, 10, seed=42, bucket_batches=bucket_batches)
    batches = one_pass(order)
    assert order.steps_per_epoch == 10 and all(len(batch) == 10 for batch in batches)
    assert len(np.unique(np.concatenate(batches))) == 100


@pytest.mark.parametrize("bucket_batches", [1, 4, 1000])
def test_keeping_the_last_batch_takes_every_example_of_a_pass(bucket_batches: int) -> None:
    order = BatchOrder(LENGTHS, 10, seed=42, bucket_batches=bucket_batches, keep_last=True)
    batches = one_pass(order)
    assert sorted(np.concatenate(batches)) == list(range(103))
    assert sorted(map(len, batches)) == [3] + [10] * 10


def test_passes_differ_and_the_examples_dropped_change() -> None:
    order = BatchOrder(LENGTHS, 10, seed=42)
    first, second = (np.concatenate(one_pass(order, epoch)) for epoch in (0, 1))
    assert set(first) != set(second)
    assert not np.array_equal(first, second)


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    forward = BatchOrder(LENGTHS, 10, seed=42, bucket_batches=4)
    expected = {step: forward.examples(step) for step in range(35)}
    other = BatchOrder(LENGTHS, 10, seed=42, bucket_batches=4)
    for step in (34, 3, 20, 0, 11):  # no step before it is ever asked for
        np.testing.assert_array_equal(other.examples(step), expected[step])
    changed = BatchOrder(LENGTHS, 10, seed=43, bucket_batches=4)
    assert any(not np.array_equal(changed.examples(step), expected[step]) for step in range(5))


def test_batches_hold_similar_lengths_but_do_not_come_in_their_order() -> None:
    lengths = np.random.default_rng(1).integers(3, 100, size=2000)
    random, bucketed = (BatchOrder(lengths, 10, seed=42, bucket_batches=n) for n in (1, 64))
    spread = [np.mean([np.ptp(lengths[batch]) for batch in one_pass(order)]) for order in (random, bucketed)]
    assert spread[1] < spread[0] / 10
    means = np.array([lengths[batch].mean() for batch in one_pass(bucketed)])
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3


def test_too_few_examples_for_one_batch_are_refused() -> None:
    with pytest.raises(UsageError, match="9 training examples are fewer than one batch of 10: lower batch_size"):
        BatchOrder(LENGTHS[:9], 10, seed=42)
    assert BatchOrder(LENGTHS[:9], 10, seed=42, keep_last=True).steps_per_epoch == 1
    with pytest.raises(UsageError):
        BatchOrder(LENGTHS[:0], 10, seed=42, keep_last=True)


def test_processes_and_micro_batches_cut_a_batch_into_slices() -> None:
    examples = np.arange(100, 112)
    shares = [share(examples, accumulation=3, rank=rank, processes=2) for rank in (0, 1)]
    assert [len(part) for part in shares[0]] == [2, 2, 2]
    # Micro-batch by micro-batch, the processes' slices make up the batch in order.
    together = [np.concatenate([shares[0][i], shares[1][i]]) for i in range(3)]
    np.testing.assert_array_equal(np.concatenate(together), examples)


def test_padding_fills_up_to_the_longest_row() -> None:
    table = pad([np.array([5, 6, 7], dtype=np.int32), np.array([], dtype=np.int32), np.array([8])], 1)
    assert table.dtype == np.int64
    assert table.tolist() == [[5, 6, 7], [1, 1, 1], [8, 1, 1]]
    assert pad([], 1).shape == (0, 0)


def test_weights_turn_sums_into_means_and_are_zero_where_nothing_counts() -> None:
    weights = mean_weights(torch.tensor([4.0, 0.0, 1.0], dtype=torch.float64), scale=2.0)
    assert weights.tolist() == [0.5, 0.0, 2.0]
    assert weights.dtype == torch.float32
