"""Weights as they are to be kept: whole and in fp32, whatever the launch has cut or rounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from xalign.engine.launch import zero_stage
from xalign.used_vocabulary import with_whole_table

if TYPE_CHECKING:
    from accelerate import Accelerator


def full_precision(module: nn.Module, accelerator: Accelerator) -> dict[str, Tensor] | None:
    """The state dict of `module` in fp32, or None where the module itself already holds it.

    Under DeepSpeed the module holds rounded or partitioned weights; the fp32 masters live in the optimizer's
    partitions. Rows of the embedding table that were left out are put back. Every process must call this.
    """
    return with_whole_table(module, _masters(module) if zero_stage(accelerator) is not None else None)


def _masters(module: nn.Module) -> dict[str, Tensor]:
    from deepspeed.runtime.zero import GatheredParameters
    from deepspeed.utils import safe_get_full_fp32_param

    whole: dict[int, Tensor] = {}  # by identity, so that tied weights stay one tensor
    for tensor in module.state_dict(keep_vars=True).values():
        if id(tensor) not in whole:
            master = safe_get_full_fp32_param(tensor) if tensor.requires_grad else None
            with GatheredParameters([tensor] if hasattr(tensor, "ds_id") else []):  # ZeRO-3 cuts frozen weights too
                whole[id(tensor)] = (tensor.detach() if master is None else master).float().cpu().clone()
    return {name: whole[id(tensor)] for name, tensor in module.state_dict(keep_vars=True).items()}
