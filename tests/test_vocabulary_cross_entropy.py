"""The chunked cross-entropy is the plain one, in value and gradient, and holds fewer logits."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from xalign.vocabulary_cross_entropy import vocabulary_cross_entropy

ENTRIES, WIDTH, TOKENS = 37, 8, 21


def inputs(dtype: torch.dtype = torch.float32) -> tuple[list[Tensor], Tensor]:
    """States, weight and bias that want gradients, and labels."""
    draw = torch.Generator().manual_seed(0)
    shapes = (TOKENS, WIDTH), (ENTRIES, WIDTH), (ENTRIES,)
    tensors = [torch.randn(shape, generator=draw, dtype=dtype) * 3 for shape in shapes]
    return [t.requires_grad_() for t in tensors], torch.randint(0, ENTRIES, (TOKENS,), generator=draw)


def plain(states: Tensor, weight: Tensor, bias: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(functional.linear(states, weight, bias).float(), labels, reduction="none")


@pytest.mark.parametrize("rows", [1, 4, TOKENS - 1, TOKENS, 100])
def test_any_chunk_gives_the_plain_loss_and_its_gradients(rows: int) -> None:
    tensors, labels = inputs()
    factors = torch.linspace(-1, 2, TOKENS)  # an upstream gradient that is not the same for all tokens
    ours = vocabulary_cross_entropy(*tensors, labels, chunk_elements=rows * ENTRIES)
    exact = plain(*(t.double() for t in tensors), labels)
    torch.testing.assert_close(ours, exact.float())
    found = torch.autograd.grad((ours * factors).sum(), tensors)
    wanted = torch.autograd.grad((exact * factors).sum(), tensors)
    for mine, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_large_logits_do_not_overflow() -> None:
    tensors, labels = inputs()
    big = [tensor * 100 for tensor in tensors]
    torch.testing.assert_close(vocabulary_cross_entropy(*big, labels), plain(*big, labels))


def test_a_backward_pass_may_be_repeated() -> None:
    tensors, labels = inputs()
    loss = vocabulary_cross_entropy(*tensors, labels).sum()
    first = torch.autograd.grad(loss, tensors, retain_graph=True)
    for once, twice in zip(first, torch.autograd.grad(loss, tensors), strict=True):
        assert torch.equal(once, twice)


@pytest.mark.parametrize("rows", [4, TOKENS])
def test_autocast_s_precision_is_used_and_the_softmax_stays_in_fp32(rows: int) -> None:
    tensors, labels = inputs()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = vocabulary_cross_entropy(*tensors, labels, chunk_elements=rows * ENTRIES)
        theirs = plain(*tensors, labels)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, theirs.float(), rtol=0, atol=0.05)
    assert not torch.equal(ours, plain(*tensors, labels))
    found, wanted = (torch.autograd.grad(loss.sum(), tensors) for loss in (ours, theirs))
    for mine, reference in zip(found, wanted, strict=True):
        assert mine.dtype == torch.float32
        torch.testing.assert_close(mine, reference, rtol=0.1, atol=0.2)


def test_half_precision_weights_get_half_precision_gradients() -> None:
    tensors, labels = inputs(torch.bfloat16)
    gradients = torch.autograd.grad(vocabulary_cross_entropy(*tensors, labels).sum(), tensors)
    assert {gradient.dtype for gradient in gradients} == {torch.bfloat16}


def test_no_token_gives_no_loss_and_zero_gradients() -> None:
    (states, weight, bias), labels = inputs()
    losses = vocabulary_cross_entropy(states[:0], weight, bias, labels[:0])
    assert losses.shape == (0,)
    assert torch.autograd.grad(losses.sum(), weight)[0].abs().sum() == 0


def test_never_more_logits_than_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors, labels = inputs()
    made: list[int] = []
    linear = functional.linear
    monkeypatch.setattr(functional, "linear", lambda *a: made.append(len(a[0])) or linear(*a))
    vocabulary_cross_entropy(*tensors, labels, chunk_elements=5 * ENTRIES).sum().backward()
    assert max(made) == 5 and sum(made) == 2 * TOKENS  # made again in the backward pass
    made.clear()
    vocabulary_cross_entropy(*tensors, labels).sum().backward()
    assert made == [TOKENS]  # kept
