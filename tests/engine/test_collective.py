"""Gathering over two real processes, in value and gradient, and doing nothing with one."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from xalign.engine import collective
from xalign.losses import sentence_losses

ROWS = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
WEIGHTS = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(1))  # one for each process


def _member(rank: int, store: str, work: Callable[[int], Any], answers: Any) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    try:
        answers.put((rank, work(rank)))
    finally:
        dist.destroy_process_group()


def in_two_processes(store: Path, work: Callable[[int], Any]) -> list[Any]:
    """What `work(rank)` returns in each of two processes."""
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    members = [context.Process(target=_member, args=(rank, str(store), work, answers)) for rank in (0, 1)]
    for member in members:
        member.start()
    found = dict(answers.get(timeout=60) for _ in members)
    for member in members:
        member.join(timeout=60)
    return [found[0], found[1]]


def gathered(rank: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    mine = ROWS[3 * rank : 3 * rank + 3].clone().requires_grad_()
    rows = collective.gather_rows(mine)
    (rows * WEIGHTS[rank]).sum().backward()
    numbers = collective.gather_rows(torch.tensor([rank, 10 + rank]))
    assert mine.grad is not None
    return rows.detach().numpy(), mine.grad.numpy(), numbers.numpy()


def test_rows_come_in_rank_order_and_gradients_sum_over_processes(tmp_path: Path) -> None:
    for rank, (rows, gradient, numbers) in enumerate(in_two_processes(tmp_path / "store", gathered)):
        np.testing.assert_array_equal(rows, ROWS.numpy())
        # The loss of the whole is Σ over processes: both weights reach each row.
        np.testing.assert_allclose(gradient, WEIGHTS.sum(dim=0)[3 * rank : 3 * rank + 3].numpy(), rtol=1e-6)
        assert numbers.tolist() == [0, 10, 1, 11]


TEXTS = torch.tensor([[0, 1, 2, 0, 4, 5], [6, 7, 8, 9, 7, 11]])


def contrast(rank: int) -> tuple[np.ndarray, np.ndarray]:
    part = slice(3 * rank, 3 * rank + 3)
    source, target = (side[part].clone().requires_grad_() for side in WEIGHTS)
    losses = sentence_losses(
        source, target, temperature=0.1, texts=TEXTS[:, part], gather=collective.gather_rows, rank=collective.rank()
    )
    losses.sum().backward()
    assert source.grad is not None and target.grad is not None
    return losses.detach().numpy(), np.stack([source.grad.numpy(), target.grad.numpy()])


def test_a_contrast_over_two_processes_equals_the_contrast_of_one(tmp_path: Path) -> None:
    source, target = (side.clone().requires_grad_() for side in WEIGHTS)
    losses = sentence_losses(source, target, temperature=0.1, texts=TEXTS)
    losses.sum().backward()
    assert source.grad is not None and target.grad is not None
    (first, first_gradient), (second, second_gradient) = in_two_processes(tmp_path / "store", contrast)
    found = np.concatenate([first[:3], second[:3], first[3:], second[3:]])
    np.testing.assert_allclose(found, losses.detach().numpy(), rtol=1e-5)
    gradient = np.concatenate([first_gradient, second_gradient], axis=1)
    np.testing.assert_allclose(gradient, torch.stack([source.grad, target.grad]).numpy(), rtol=1e-4, atol=1e-6)


def summed(rank: int) -> tuple[list[float], list[float]]:
    mine = torch.tensor([1.0 + rank, 10.0])
    total = collective.sum_over_processes(mine)
    return total.tolist(), mine.tolist()


def test_sums_leave_the_summand_as_it_was(tmp_path: Path) -> None:
    assert in_two_processes(tmp_path / "store", summed) == [([3.0, 20.0], [1.0, 10.0]), ([3.0, 20.0], [2.0, 10.0])]


def test_one_process_is_its_own_group() -> None:
    rows = ROWS.clone().requires_grad_()
    assert (collective.processes(), collective.rank()) == (1, 0)
    assert collective.gather_rows(rows) is rows
    assert collective.sum_over_processes(ROWS) is ROWS


def beside_another_term(rank: int) -> list[list[float]]:
    offset = torch.zeros(6, 4, requires_grad=True)
    doubled = 2 * offset  # made before the gather: its gradient is computed after the gather's
    mine = ROWS[3 * rank : 3 * rank + 3].clone().requires_grad_()
    ((collective.gather_rows(mine) + doubled) * WEIGHTS[rank]).sum().backward()
    assert offset.grad is not None
    return offset.grad.tolist()


def test_gathering_leaves_the_gradient_of_its_neighbours_alone(tmp_path: Path) -> None:
    """The gradient that arrives may be shared with another term of the sum."""
    for rank, gradient in enumerate(in_two_processes(tmp_path / "store", beside_another_term)):
        np.testing.assert_allclose(gradient, 2 * WEIGHTS[rank].numpy(), rtol=1e-6)
