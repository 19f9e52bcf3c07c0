"""Gradients taken apart: each parameter gets the combination that is its due, whatever the micro-batches and scales."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from xalign.engine.separate_gradients import SeparateGradients, conflicts
from xalign.engine.training import Combination, Objective

WEIGHTS = (0.7, -0.4, 1.3)


class Three(Objective):
    """Losses a, b and c on one table; a and b share a layer as well, and a has a head of its own."""

    names = ("a", "b", "c", "d")
    apart_gradients = {"first": ("a",), "second": ("b",), "third": ("c", "d")}  # noqa: RUF012

    def __init__(self, noise: float = 0.0, own: tuple[float, float, float] | None = None) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(0)
        self.table = nn.Parameter(torch.randn(6, 4, generator=draw))
        self.layer = nn.Parameter(torch.randn(4, 4, generator=draw))
        self.head = nn.Parameter(torch.randn(4, generator=draw))
        self.unused = nn.Parameter(torch.ones(2))
        self.noise, self.own, self.seen = noise, own, torch.empty(0)

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
        own = None if self.own is None else torch.tensor(self.own, dtype=torch.float64)
        return Combination(torch.tensor(WEIGHTS, dtype=torch.float64), self.noise, own)


def accelerator(*, accumulation: int = 1, scale: float | None = None) -> Any:
    scaler = torch.amp.GradScaler("cpu", init_scale=scale) if scale is not None else None
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


@pytest.mark.parametrize("own", [0.3, 0.0])
def test_what_one_objective_alone_reaches_follows_its_own_weight_and_not_the_combined_one(own: float) -> None:
    objective = Three(own=(own, 1.0, 1.0))
    step(objective, accelerator())
    each, _ = expected()
    if own == 0:
        assert objective.head.grad is None  # neither clipped with the others nor decayed
    else:
        torch.testing.assert_close(objective.head.grad, own * each[0]["head"])
    total = sum(weight * gradients["layer"] for weight, gradients in zip(WEIGHTS, each, strict=True))
    torch.testing.assert_close(objective.layer.grad, total)


def test_a_scaler_unscales_and_steps_as_if_nothing_had_been_scaled() -> None:
    plain, scaled = Three(), Three()
    for objective, launched in ((plain, accelerator()), (scaled, accelerator(scale=65536.0))):
        optimizer = torch.optim.AdamW(objective.parameters(), lr=0.1)
        step(objective, launched)
        if launched.scaler is None:
            optimizer.step()
        else:
            launched.scaler.unscale_(optimizer)
            launched.scaler.step(optimizer)
            launched.scaler.update()
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(scaled.get_parameter(name), parameter, msg=name)
    assert not torch.equal(scaled.table, Three().table)


def test_a_gradient_of_zero_leaves_open_whether_there_was_a_conflict() -> None:
    objective = Three()
    separate = SeparateGradients(objective, accelerator())
    separate.add(objective(batch(), torch.tensor([1.0, 0.0, 1.0, 1.0])))
    found = separate.combine(seed=1, step=0)
    assert math.isnan(found["cosine_first_second"]) and "conflict" not in found
    assert "conflict" in step(Three(), accelerator())


def test_a_step_without_a_cosine_counts_neither_for_nor_against_a_conflict(tmp_path: Path) -> None:
    common = {"seed": 15, "weight_a": 1.0, "weight_b": 0.5}
    lines: list[dict[str, Any]] = [
        common | {"step": 1},  # its cosine is not a number: not logged
        common | {"step": 2, "cosine_a_b": -0.5, "conflict": 1.0, "gradient_norm_a": 2.0},
        common | {"step": 3, "cosine_a_b": 0.1, "conflict": 0.0, "gradient_norm_a": 4.0},
        {"step": 3, "seed": 15, "validation": {"dev_accuracy": 1.0}},
        common | {"step": 4, "seed": 33},
    ]
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = conflicts(path)
    assert found["conflict"] == {"15": 0.5} and found["cosine"] == {"a_b": pytest.approx(-0.2)}
    assert found["cosine_sd"] == {"a_b": pytest.approx(0.3)} and found["gradient_norm"] == {"a": 3.0}
    assert found["weight"] == {"a": 1.0, "b": 0.5}


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
