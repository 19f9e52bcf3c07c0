"""Collective operations that the objectives need, exact in value and gradient."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def processes() -> int:
    """Size of the process group, 1 without one."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This process's index in the group, 0 without one."""
    return dist.get_rank() if processes() > 1 else 0


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.count = len(rows)
        parts = [torch.empty_like(rows) for _ in range(processes())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        # Every process's loss reads every row: a row's gradient is the sum over the processes.
        total = gradients[0].clone(memory_format=torch.contiguous_format)  # autograd may share what it hands over
        dist.all_reduce(total)
        return total[ctx.count * rank() : ctx.count * (rank() + 1)]


def gather_rows(rows: Tensor) -> Tensor:
    """Concatenate (n, …) tensors over all processes, in rank order; gradients flow back to every process.

    Accelerate's own gather is not differentiable: a contrast built on it has another direction and half the norm.
    """
    if processes() == 1:
        return rows
    gathered: Tensor = _GatherRows.apply(rows) if rows.requires_grad else _GatherRows.forward(_NoContext(), rows)
    return gathered


class _NoContext:
    count = 0


# gloo names a lost process in words alone; NCCL and the store have exceptions of their own.
_LOST = ("closed by peer", "reset by peer", "timed out", "timeout", "broken pipe", "no route to host")


def is_lost_process(error: BaseException) -> bool:
    """Whether an error of a collective operation means that another process is gone or cannot be reached."""
    if isinstance(error, (dist.DistBackendError, dist.DistNetworkError, dist.DistStoreError)):
        return True
    return processes() > 1 and isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _LOST)


def sum_over_processes(values: Tensor) -> Tensor:
    """The element-wise sum over all processes; no gradient."""
    if processes() > 1:
        values = values.clone()
        dist.all_reduce(values)
    return values
