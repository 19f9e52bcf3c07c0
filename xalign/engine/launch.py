"""Starting Accelerate, and proving that it did what the launch asked for.

Several wrong launches train separate one-process jobs without a word; `start` turns each into an error.
"""

from __future__ import annotations

import dataclasses
import datetime
import os
import platform
import shutil
import sys
import warnings
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from xalign.errors import UsageError, XalignError
from xalign.provenance import versions

if TYPE_CHECKING:
    from accelerate import Accelerator

Config = TypeVar("Config")

V100_CAPABILITY = (7, 0)


def world_size() -> int:
    """Processes of this launch, as the launcher's environment says; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Index of this process among them."""
    return int(os.environ.get("RANK", "0"))


def under_deepspeed() -> bool:
    """Whether the launcher asked for DeepSpeed."""
    return os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() in ("true", "1")


def resolve_precision(wanted: str) -> str:
    """fp32, bf16 or fp16 for ``auto``: fp32 on CPU; on a GPU the launcher's value, else bf16 where native, else fp16.

    Raises:
        UsageError: fp16 on CPU without DeepSpeed, where Accelerate would silently train in fp32.
    """
    on_gpu = torch.cuda.is_available()
    if wanted == "fp16" and not on_gpu and not under_deepspeed():
        raise UsageError("precision=fp16 needs a GPU (on CPU it would silently be fp32): use fp32 or bf16")
    if wanted != "auto":
        return wanted
    if not on_gpu:
        return "fp32"
    launched = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if launched in ("bf16", "fp16"):
        return launched
    return (
        "bf16"
        if torch.cuda.get_device_capability() > V100_CAPABILITY
        and torch.cuda.is_bf16_supported(including_emulation=False)
        else "fp16"
    )


def with_precision(config: Config) -> Config:
    """A configuration with its precision resolved: ``auto`` means other numbers on other devices.

    Raises:
        UsageError: this launch cannot train: fp16 as in `resolve_precision`, or as `check_compiler` says.
    """
    check_compiler()
    return dataclasses.replace(config, precision=resolve_precision(config.precision))  # type: ignore[attr-defined, type-var]


def check_compiler() -> None:
    """Refuse DeepSpeed on a CPU where nothing compiles: its exchange between processes is compiled at first use.

    Raises:
        UsageError: no C++ compiler, or no ninja.
    """
    if not under_deepspeed() or torch.cuda.is_available():
        return
    compiler = os.environ.get("CXX", "c++")
    for program, advice in (
        (compiler, "install a C++ compiler (apt install g++)"),
        ("ninja", "pip install ninja, and put the environment's bin folder on PATH"),
    ):
        if shutil.which(program) is None:
            raise UsageError(
                f"DeepSpeed on a CPU compiles at its first use, and {program} is not on PATH: {advice}, "
                "or launch with accelerate_configs/multi_cpu.yaml"
            )


def name_device_for_deepspeed() -> None:
    """Tell DeepSpeed that there is no GPU: wherever transformers imports it, it warns of its guess otherwise."""
    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")


def start(
    precision: str, *, accumulation: int = 1, clip: float = 1.0, micro_batch: int = 1, timeout_seconds: int = 600
) -> Accelerator:
    """Start Accelerate for one run.

    Args:
        precision: as resolved by `resolve_precision`.
        accumulation: micro-batches in a step.
        clip: gradient norm limit; under DeepSpeed it must be in its configuration before `prepare`.
        micro_batch: items of one forward pass and process, which DeepSpeed wants to know.
        timeout_seconds: a process silent for so long ends all.

    Raises:
        XalignError: the processes do not see each other, or DeepSpeed was asked for and dropped.
    """
    from accelerate import Accelerator
    from accelerate.utils import DistributedType, InitProcessGroupKwargs

    on_gpu = torch.cuda.is_available()
    name_device_for_deepspeed()
    timeout = datetime.timedelta(seconds=timeout_seconds)
    group = InitProcessGroupKwargs(backend="nccl" if on_gpu else "gloo", timeout=timeout)
    accelerator = Accelerator(
        cpu=not on_gpu and not under_deepspeed(),
        mixed_precision="no" if precision == "fp32" else precision,
        gradient_accumulation_steps=accumulation,
        kwargs_handlers=[group] if world_size() > 1 else None,
    )
    if accelerator.num_processes != world_size():
        raise XalignError(
            f"the launcher started {world_size()} processes but each trains alone "
            f"({accelerator.num_processes} joined): on CPU launch with accelerate_configs/multi_cpu.yaml"
        )
    if under_deepspeed():
        # DeepSpeed's own calls, which nobody who reads our output can change.
        warnings.filterwarnings("ignore", message=".*torch.distributed.* is deprecated", category=FutureWarning)
        if accelerator.distributed_type != DistributedType.DEEPSPEED:
            raise XalignError(
                "DeepSpeed was asked for but Accelerate dropped it: launch with accelerate_configs/deepspeed_zero2.yaml"
            )
        plugin = accelerator.state.deepspeed_plugin
        plugin.deepspeed_config.update(
            train_micro_batch_size_per_gpu=micro_batch,
            gradient_accumulation_steps=accumulation,
            train_batch_size=micro_batch * accumulation * accelerator.num_processes,
            gradient_clipping=clip,
        )
    return accelerator


def stop(accelerator: Accelerator) -> None:
    """End a run's use of Accelerate; without it a gloo process may abort at exit after training succeeded."""
    from accelerate.state import AcceleratorState, GradientState

    accelerator.free_memory()
    if accelerator.num_processes > 1 and sys.exception() is None:  # after a failure some may never come
        accelerator.wait_for_everyone()
    accelerator.end_training()
    AcceleratorState._reset_state(reset_partial_state=accelerator.num_processes == 1)
    GradientState._reset_state()


def zero_stage(accelerator: Accelerator) -> int | None:
    """DeepSpeed's ZeRO stage, or None without DeepSpeed."""
    plugin = getattr(accelerator.state, "deepspeed_plugin", None)
    return int(plugin.zero_stage) if plugin is not None else None


def environment(accelerator: Accelerator | None, precision: str) -> dict[str, Any]:
    """What ``environment.json`` records: the launch as Accelerate reports it, devices, threads and versions."""
    return {
        "num_processes": accelerator.num_processes if accelerator else 1,
        "distributed_type": accelerator.distributed_type.value if accelerator else "NO",
        "zero_stage": zero_stage(accelerator) if accelerator else None,
        "precision": precision,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else platform.processor() or platform.machine(),
        "device_type": "cuda" if torch.cuda.is_available() else "cpu",
        "python": platform.python_version(),
        "versions": versions(),
    }
