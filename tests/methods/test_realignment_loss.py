"""The contrast of linked words against a naive loop, its masks, its gradient, and its value over processes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from xalign.methods.realignment_loss import NO_WORD, realignment_losses

TEMPERATURE = 0.1


def vectors(count: int = 6, width: int = 5, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    source, target = (torch.randn(count, width, generator=draw, dtype=torch.float64) for _ in range(2))
    return source, target, torch.stack([torch.arange(count), torch.arange(count)])


def naive(source: Tensor, target: Tensor, words: Tensor, negatives: str) -> list[float]:
    """The losses one by one, source words first; rows that are copies of a word stand in `words`."""
    count = len(source)
    rows = [("source", i) for i in range(count)] + [("target", i) for i in range(count)]
    state = {("source", i): source[i] for i in range(count)} | {("target", i): target[i] for i in range(count)}
    number = {(side, i): int(words[int(side == "target"), i]) for side, i in rows}

    def similarity(a: tuple[str, int], b: tuple[str, int]) -> float:
        return float(state[a] @ state[b] / (state[a].norm() * state[b].norm())) / TEMPERATURE

    losses = []
    for side, i in rows:
        own, partner = (side, i), ("target" if side == "source" else "source", i)
        if number[own] == NO_WORD:
            losses.append(0.0)
            continue
        total = math.exp(similarity(own, partner))
        for other in rows:
            same_language = other[0] == side
            copy = number[other] == number[own] if same_language else number[other] == number[partner]
            if copy or number[other] == NO_WORD or (negatives == "weak" and same_language):
                continue
            total += math.exp(similarity(own, other))
        losses.append(-math.log(math.exp(similarity(own, partner)) / total))
    return losses


@pytest.mark.parametrize("negatives", ["strong", "weak"])
def test_the_loss_equals_a_naive_loop(negatives: str) -> None:
    source, target, words = vectors()
    words[0, 3] = words[0, 1]  # one word of the source in two links
    source[3] = source[1]
    words[:, 5] = NO_WORD
    found = realignment_losses(source, target, words, temperature=TEMPERATURE, negatives=negatives)
    expected = torch.tensor(naive(source, target, words, negatives), dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert found[5] == found[11] == 0 and (found[:5] > 0).all()


def test_the_gradient_is_the_numerical_one() -> None:
    source, target, words = vectors(4, 3)
    words[1, 2] = words[1, 0]

    def loss(first: Tensor, second: Tensor) -> Tensor:
        return realignment_losses(first, second, words, temperature=0.5).sum()

    assert torch.autograd.gradcheck(loss, (source.requires_grad_(), target.requires_grad_()))


def test_a_word_is_masked_out_of_its_own_row_even_where_all_cosines_are_negative() -> None:
    """With one link and strong negatives a row has its partner alone: the loss is 0, not log 2."""
    source, target = torch.tensor([[1.0, 0.1]]), torch.tensor([[-1.0, 0.1]])
    found = realignment_losses(source, target, torch.zeros(2, 1, dtype=torch.long), temperature=TEMPERATURE)
    assert found.tolist() == [0.0, 0.0]
    # Two links, all cosines below 0 but those of a word with itself: a 0 in its place would outweigh all others.
    angles = torch.tensor([[0.0, 120.0], [240.0, 100.0]]).deg2rad()
    source, target = (torch.stack([side.cos(), side.sin()], dim=-1) for side in angles)
    words = torch.tensor([[0, 1], [0, 1]])
    torch.testing.assert_close(
        realignment_losses(source, target, words, temperature=TEMPERATURE).double(),
        torch.tensor(naive(source, target, words, "strong"), dtype=torch.float64),
        rtol=1e-5, atol=1e-5,
    )  # fmt: skip


def test_strong_negatives_are_the_weak_ones_and_more() -> None:
    strong, weak = (realignment_losses(*vectors(), temperature=TEMPERATURE, negatives=n) for n in ("strong", "weak"))
    assert (strong > weak).all()


def test_swapping_the_languages_swaps_the_directions() -> None:
    source, target, words = vectors()
    there = realignment_losses(source, target, words, temperature=TEMPERATURE)
    back = realignment_losses(target, source, words.flip(0), temperature=TEMPERATURE)
    torch.testing.assert_close(there, back.roll(6))


def test_shares_of_a_batch_add_up_to_the_batch() -> None:
    """What two processes see, with rows that fill up the smaller share."""
    source, target, words = vectors(5)
    whole = realignment_losses(source, target, words, temperature=TEMPERATURE)

    def filled(rows: Tensor, value: float) -> Tensor:
        return torch.cat([rows, rows.new_full((1, *rows.shape[1:]), value)])

    shares = [
        (source[:3], target[:3], words[:, :3]),
        (filled(source[3:], 0), filled(target[3:], 0), filled(words[:, 3:].T, NO_WORD).T),
    ]
    found = []
    for rank, (first, second, numbers) in enumerate(shares):
        unit = [torch.nn.functional.normalize(torch.cat([share[side] for share in shares]), dim=-1) for side in (0, 1)]
        gathered = iter([*unit, *torch.cat([share[2] for share in shares], dim=1)])  # in the order of the calls
        found.append(
            realignment_losses(
                first, second, numbers, temperature=TEMPERATURE, gather=lambda _, g=gathered: next(g), rank=rank
            )
        )
    torch.testing.assert_close(torch.cat([found[0][:3], found[1][:2]]), whole[:5])
    torch.testing.assert_close(torch.cat([found[0][3:], found[1][3:5]]), whole[5:])
