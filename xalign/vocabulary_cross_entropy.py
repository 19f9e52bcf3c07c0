"""Cross-entropy over a large vocabulary without the logits of all tokens in memory.

XLM-R's 250,002 entries make one row of logits a megabyte. Logits are made for some rows at a time; where one chunk
holds all rows its probabilities are kept for the backward pass, and otherwise they are made again there, for a third
more work and a fixed amount of memory.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

CHUNK_ELEMENTS = 2**26  # of fp32: 256 MB, 268 rows of XLM-R's vocabulary


def vocabulary_cross_entropy(
    states: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, *, chunk_elements: int = CHUNK_ELEMENTS
) -> Tensor:
    """``cross_entropy(states @ weight.T + bias, labels)`` for each row, exact in value and first derivatives.

    Products run in autocast's precision where it is on, the softmax always in fp32.

    Args:
        states: (T, d).
        weight, bias: (V, d) and (V,).
        labels: (T,).
        chunk_elements: logits that may exist at a time.

    Returns:
        (T,) losses in fp32.
    """
    rows = max(1, chunk_elements // len(weight))
    losses: Tensor = _VocabularyCrossEntropy.apply(states, weight, bias, labels, rows)
    return losses


def _precision(states: Tensor) -> torch.dtype:
    kind = states.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else states.dtype


def _softmax_(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Turn (T, V) logits into probabilities in place; returns them and the logarithm of each row's normaliser."""
    highest = logits.amax(dim=-1)
    total = logits.sub_(highest[:, None]).exp_().sum(dim=-1)
    return logits.div_(total[:, None]), highest + total.log()


class _VocabularyCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, rows: int) -> Tensor:
        ctx.dtype, ctx.rows = _precision(states), rows
        losses = torch.zeros(len(states), device=states.device)
        kept = None
        with torch.autocast(states.device.type, enabled=False):
            table, offset = weight.to(ctx.dtype), bias.to(ctx.dtype)
            for part in torch.arange(len(states), device=states.device).split(rows):
                logits = functional.linear(states[part].to(ctx.dtype), table, offset).float()
                of_label = logits.gather(1, labels[part, None]).squeeze(1)
                kept, normaliser = _softmax_(logits)
                losses[part] = normaliser - of_label
        ctx.save_for_backward(states, weight, bias, labels, kept if len(states) <= rows else None)
        return losses

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        states, weight, bias, labels, kept = ctx.saved_tensors
        of_states, of_weight, of_bias = (
            torch.zeros_like(tensor, dtype=torch.float32) if needed else None
            for tensor, needed in zip((states, weight, bias), ctx.needs_input_grad, strict=False)
        )
        with torch.autocast(states.device.type, enabled=False):
            table, offset = weight.to(ctx.dtype), bias.to(ctx.dtype)
            for part in torch.arange(len(states), device=states.device).split(ctx.rows):
                own = states[part].to(ctx.dtype)
                softmax = kept if kept is not None else _softmax_(functional.linear(own, table, offset).float())[0]
                error = softmax * upstream[0][part, None]  # (rows, V)
                error[torch.arange(len(part), device=error.device), labels[part]] -= upstream[0][part]
                if of_bias is not None:
                    of_bias += error.sum(dim=0)
                error = error.to(ctx.dtype)
                if of_states is not None:
                    of_states[part] = (error @ table).float()
                if of_weight is not None and ctx.dtype == torch.float32:
                    of_weight.addmm_(error.T, own)
                elif of_weight is not None:
                    of_weight += error.T @ own
        gradients = zip((of_states, of_weight, of_bias), (states, weight, bias), strict=True)
        return (*(g.to(t.dtype) if g is not None else None for g, t in gradients), None, None)
