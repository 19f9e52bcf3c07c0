"""What stands on this machine: Python, libraries, devices, compilers, memory, disk, and the ranks of this launch."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from xalign.doctor.finding import GB, Finding, State
from xalign.doctor.surroundings import nearest
from xalign.engine.launch import V100_CAPABILITY, under_deepspeed, world_size

LIBRARIES = (
    "torch", "transformers", "tokenizers", "accelerate", "deepspeed", "safetensors", "datasets", "evaluate", "mlflow",
    "numpy",
)  # fmt: skip
V100_ADVICE = (
    "install a cu126 wheel of torch (CUDA 13 wheels dropped this GPU, and torch 2.15 ends those for cu126 too)"
)
DISK_GB, MEMORY_GB = 20, 4


def installation() -> Iterator[Finding]:
    """Versions of Python and of the libraries, without importing them."""
    yield Finding("python", "ok", platform.python_version())
    found, absent = [], []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            absent.append(name)
    yield Finding("libraries", "ok", ", ".join(found))
    if absent:
        yield Finding("libraries", "missing", f"not installed: {', '.join(absent)}", "pip install xalign")


def devices() -> Iterator[Finding]:
    """The GPUs with the precision that ``--precision auto`` gives them, or the CPU."""
    import torch

    if not torch.cuda.is_available():
        why = "" if torch.version.cuda else "this torch was built for CPUs; for a GPU, install a CUDA wheel of torch"
        processor = platform.processor() or platform.machine()
        yield Finding("devices", "ok", f"no GPU visible: {processor}, fp32 (bf16 with --precision bf16)", why)
    else:
        built_for = torch.cuda.get_arch_list()
        for index in range(torch.cuda.device_count()):
            capability = torch.cuda.get_device_capability(index)
            gigabytes = torch.cuda.get_device_properties(index).total_memory / GB
            yield gpu(index, f"{torch.cuda.get_device_name(index)}, {gigabytes:.0f} GB", capability, built_for)
    threads, cores = torch.get_num_threads(), os.cpu_count() or 1
    yield Finding(
        "threads", "ok", f"{threads} of {cores} cores (OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', '')})"
    )


def gpu(index: int, name: str, capability: tuple[int, int], built_for: list[str]) -> Finding:
    """One GPU: can this torch run on it, and in which precision."""
    architecture = f"sm_{capability[0]}{capability[1]}"
    text = f"GPU {index}: {name}, {architecture}"
    if built_for and not any(runs_on(code, capability) for code in built_for):
        advice = V100_ADVICE if capability <= V100_CAPABILITY else "install a torch that was built for this GPU"
        return Finding("devices", "missing", f"{text}: this torch has no code for it ({' '.join(built_for)})", advice)
    if capability >= (8, 0):
        return Finding("devices", "ok", f"{text}: bf16")
    advice = f"when torch is renewed, {V100_ADVICE}" if capability == V100_CAPABILITY else ""
    return Finding("devices", "note", f"{text}: no native bf16, so fp16 with loss scaling", advice)


def runs_on(code: str, capability: tuple[int, int]) -> bool:
    """Whether machine code (``sm_86``: this major version) or PTX (``compute_80``: this or later) runs on a device."""
    kind, _, version = code.partition("_")
    digits = "".join(character for character in version if character.isdigit())
    built = (int(digits[:-1]), int(digits[-1]))
    return built <= capability and (kind == "compute" or built[0] == capability[0])


def launch() -> Iterator[Finding]:
    """Whether a launcher started this process, and as how many ranks."""
    if under_deepspeed():
        yield Finding("launch", "ok", f"DeepSpeed, {world_size()} ranks")
    elif "WORLD_SIZE" in os.environ:
        yield Finding("launch", "ok", f"{world_size()} ranks")
    else:
        advice = "for several: accelerate launch --config_file accelerate_configs/multi_cpu.yaml -m xalign ..."
        yield Finding("launch", "ok", "one process, no launcher", advice)


def compilers() -> Iterator[Finding]:
    """What DeepSpeed compiles its operations with: on CPUs at its start, on GPUs for CPU offload."""
    for program, advice in (
        ("g++", "install a C++ compiler, for example: apt install g++"),
        ("ninja", "pip install ninja, and put the environment's bin folder on PATH (activate it)"),
    ):
        path = shutil.which(program)
        if path:
            yield Finding(program, "ok", path)
        else:
            state: State = "missing" if under_deepspeed() else "note"
            yield Finding(program, state, "not on PATH; DeepSpeed needs it to compile its operations", advice)


def memory() -> Finding:
    """Physical memory."""
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GB
    if gigabytes < MEMORY_GB:
        return Finding("memory", "note", f"{gigabytes:.0f} GB", "take a small encoder: 'mini', or a smaller batch_size")
    return Finding("memory", "ok", f"{gigabytes:.0f} GB")


def disk(runs: Path) -> Finding:
    """Free space where the runs go."""
    existing = nearest(runs)
    if not os.access(existing, os.W_OK):
        return Finding("disk", "missing", f"{existing} cannot be written", "choose another --runs")
    gigabytes = shutil.disk_usage(existing).free / GB
    text = f"{gigabytes:.0f} GB free at {existing}"
    if gigabytes < DISK_GB:
        return Finding("disk", "note", text, "a full fine-tuning of a base-size encoder keeps about 1 GB: see --keep")
    return Finding("disk", "ok", text)
