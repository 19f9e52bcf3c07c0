"""Gradients taken apart: each parameter gets the combination that is its due, whatever the micro-batches and scales."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from xalign.engine.separate_gradients import SeparateGradients
from xalign.engine.training import Combination, Objective

WEIGHTS = (0.7, -0.4, 1.3)


class Three(Objective):
    """Losses a, b and c on one table; a and b share a layer as well, and a has a head of its own."""

    names = ("a", "b", "c", "d")
    apart_gradients = {"first": ("a",), "second": ("b",), "third": ("c", "d")}  # noqa: RUF012

    def __init__(self, noise: float = 0.0) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(0)
        self.table = nn.Parameter(torch.randn(6, 4, generator=draw))
        self.layer = nn.Parameter(torch.randn(4, 4, generator=draw))
        self.head = nn.Parameter(torch.randn(4, generator=draw))
        self.unused = nn.Parameter(torch.ones(2))
        self.noise, self.seen = noise, torch.empty(0)

    def forward(self, batch: dict[str, Tensor], weights: Tensor) -> dict[str, Tensor]:
        rows = [self.table[ids] for ids in batch["ids"].T]
        return {
            "a": ((rows[0] @ self.layer).tanh() @ self.head).sum() * weights[0],
            "b": (rows[1] @ self.layer).square().sum() * weights[1],
            "c": rows[2].sin().sum() * weights[2],
            "d": rows[2].square().sum() * weights[3],
        }

    def combine(self, gramian: Tensor, step: int) -> Combination:
        self.seen = gramian
        return Combination(torch.tensor(WEIGHTS, dtype=torch.float64), self.noise)


def accelerator(*, accumulation: int = 1, scale: float | None = None) -> Any:
    scaler = SimpleNamespace(get_scale=lambda: scale) if scale is not None else None
    return SimpleNamespace(scaler=scaler, gradient_accumulation_steps=accumulation, device=torch.device("cpu"))


def batch() -> dict[str, Tensor]:
    return {"ids": torch.tensor([[0, 1, 2], [1, 1, 0], [2, 3, 3], [3, 0, 1]])}  # rows 4 and 5 are not read


def step(objective: Three, launched: Any, parts: int = 1) -> dict[str, float]:
    separate = SeparateGradients(objective, launched)
    for ids in batch()["ids"].chunk(parts):
        separate.add(objective({"ids": ids}, torch.full((4,), float(parts))))
    return separate.combine(seed=1, step=0)


def expected() -> tuple[list[dict[str, Tensor]], Tensor]:
    """Each objective's gradients by name, one by one through `backward`, and their inner products where shared."""
    each = []
    for names in Three.apart_gradients.values():
        objective = Three()
        found = objective(batch(), torch.ones(4))
        torch.stack([found[name] for name in names]).sum().backward()
        each.append({n: p.grad if p.grad is not None else torch.zeros_like(p) for n, p in objective.named_parameters()})
    rows = torch.stack([torch.cat([g["table"].flatten(), g["layer"].flatten()]) for g in each]).double()
    return each, rows @ rows.T


@pytest.mark.parametrize("parts", [1, 2, 4])
@pytest.mark.parametrize("scale", [None, 1024.0])
def test_shared_parameters_get_the_weighted_sum_and_others_their_own_gradient(parts: int, scale: float | None) -> None:
    objective = Three()
    step(objective, accelerator(accumulation=parts, scale=scale), parts)
    each, gramian = expected()
    torch.testing.assert_close(objective.seen, gramian, rtol=1e-5, atol=1e-5)
    for name in ("table", "layer"):
        total = sum(weight * gradients[name] for weight, gradients in zip(WEIGHTS, each, strict=True))
        torch.testing.assert_close(objective.get_parameter(name).grad, total * (scale or 1))
    torch.testing.assert_close(objective.head.grad, each[0]["head"] * (scale or 1))
    assert objective.unused.grad is None


def test_what_is_logged_are_cosines_norms_and_weights() -> None:
    found = step(Three(), accelerator())
    _, gramian = expected()
    norms = gramian.diagonal().sqrt()
    assert found["cosine_first_second"] == pytest.approx(float(gramian[0, 1] / norms[0] / norms[1]))
    assert found["gradient_norm_third"] == pytest.approx(float(norms[2]))
    assert [found[f"weight_{name}"] for name in Three.apart_gradients] == pytest.approx(WEIGHTS)
    assert found["conflict"] == float((gramian < 0).any())


@pytest.mark.parametrize("scale", [None, 8.0])
def test_noise_has_the_norm_that_was_asked_for_and_leaves_rows_without_a_gradient_alone(scale: float | None) -> None:
    plain, noisy = Three(), Three(noise=3.0)
    for objective in (plain, noisy):
        step(objective, accelerator(scale=scale))
    change = [noisy.get_parameter(name).grad - plain.get_parameter(name).grad for name in ("table", "layer", "head")]
    norm = torch.cat([part.flatten() for part in change[:2]]).norm()
    assert float(norm) == pytest.approx(3.0 * (scale or 1), rel=1e-5)
    assert not change[0][4:].any() and not change[2].any() and change[0][:4].all()
