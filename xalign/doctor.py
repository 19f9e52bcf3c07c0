"""What this machine has, what is missing for a run, and what to do about it.

Everything is looked at and nothing is changed: no process group is started, nothing is downloaded, and no question to
the network lasts longer than `CONNECT_SECONDS`.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from xalign.engine.launch import V100_CAPABILITY, under_deepspeed, world_size
from xalign.errors import XalignError
from xalign.mlflow_store import default_store, without_password

State = Literal["ok", "note", "missing"]
LIBRARIES = (
    "torch", "transformers", "tokenizers", "accelerate", "deepspeed", "safetensors", "datasets", "evaluate", "mlflow",
    "numpy",
)  # fmt: skip
V100_ADVICE = (
    "install a cu126 wheel of torch (CUDA 13 wheels dropped this GPU, and torch 2.15 ends those for cu126 too)"
)
CONNECT_SECONDS = 3.0
DISK_GB, MEMORY_GB = 20, 4
GB = 1e9


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        topic: what it is about, one or two words.
        state: ``missing`` only for what was asked for or what no run can do without; ``note`` for what may surprise.
        text: what was found.
        advice: what to do; empty where nothing is needed.
    """

    topic: str
    state: State
    text: str
    advice: str = ""


def examine(
    *,
    data: Path | None = None,
    model: str | None = None,
    runs: Path | None = None,
    plan: str | None = None,
    preset: str | None = None,
    network: bool = False,
) -> list[Finding]:
    """Look at the installation and the machine, and at the data, the model and the runs asked for.

    Args:
        plan: a target of the grid whose disk is held against what is free, with `preset`.
        network: also ask whether the hub answers.
    """
    from xalign import doctor_surroundings as around

    findings = [*installation(), *around.optional_packages(), *devices(), *launch(), *compilers()]
    findings += [memory(), disk(runs or Path()), around.cache()]
    if network:
        findings.append(around.hub())
    if plan is not None:
        findings.append(around.planned_disk(plan, preset, runs or Path("runs"), model or "mini", data))
    if data is not None:
        findings += data_directory(data)
    if model is not None:
        findings.append(reachable_model(model))
    if runs is not None:
        findings.append(tracking_store(runs))
    return findings


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
    existing = next(path for path in (runs.absolute(), *runs.absolute().parents) if path.is_dir())
    if not os.access(existing, os.W_OK):
        return Finding("disk", "missing", f"{existing} cannot be written", "choose another --runs")
    gigabytes = shutil.disk_usage(existing).free / GB
    text = f"{gigabytes:.0f} GB free at {existing}"
    if gigabytes < DISK_GB:
        return Finding("disk", "note", text, "a full fine-tuning of a base-size encoder keeps about 1 GB: see --keep")
    return Finding("disk", "ok", text)


def data_directory(path: Path) -> Iterator[Finding]:
    """What a data directory holds, kind by kind."""
    from xalign.data.inventory import inventory
    from xalign.data.layout import DataDirectory

    try:
        data = DataDirectory(path)
    except XalignError as error:
        yield Finding("data", "missing", str(error), "write the testbed with: xalign data testbed --output DIR")
        return
    found = {holding.kind: holding.names for holding in inventory(data)}
    if not any(found.values()):
        advice = "its folders should be parallel/, ud/, sib200/, flores200_dataset/, muse/: see xalign data fetch"
        yield Finding("data", "missing", f"{path}: nothing that xalign reads", advice)
        return
    label = "data (testbed)" if data.testbed else "data"
    for kind, names in found.items():
        some = " ".join(names[:12]) + (" ..." if len(names) > 12 else "")
        # A command needs only the parts that it uses, so an absent part is worth a word, not an error.
        yield Finding(label, "ok" if names else "note", f"{kind}: {len(names)}" + (f" ({some})" if names else ""))


def reachable_model(name: str) -> Finding:
    """Whether a MODEL argument can be loaded from here; a hub name is looked up, never downloaded."""
    from xalign.model_source import EMBEDDED, find_model

    if name == EMBEDDED or Path(name).exists() or name.startswith((".", "/")) or name.count("/") > 1:
        try:
            return Finding("model", "ok", f"{name}: {find_model(name).directory}")
        except XalignError as error:
            return Finding("model", "missing", str(error))
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    advice = f"copy the model here and give its directory, or take {EMBEDDED!r}"
    try:
        if isinstance(try_to_load_from_cache(name, "config.json"), str):
            return Finding("model", "ok", f"{name}: in the hub's local cache")
    except HFValidationError:
        return Finding("model", "missing", f"{name}: neither a directory nor a valid hub name", advice)
    if hub_answers():
        return Finding(
            "model", "note", f"{name}: not in the hub's local cache; the hub answers, a run would download it"
        )
    return Finding("model", "missing", f"{name}: not in the hub's local cache, and the hub cannot be reached", advice)


def hub_answers(seconds: float = CONNECT_SECONDS) -> bool:
    """Whether the model hub is reachable. Name resolution knows no timeout, so a thread of its own waits for it."""
    from xalign import model_source

    answers: list[bool] = []
    question = threading.Thread(target=lambda: answers.append(model_source.hub_reachable()), daemon=True)
    question.start()
    question.join(seconds)
    return any(answers)


def tracking_store(runs: Path) -> Finding:
    """The MLflow store that mirrors `runs`."""
    address = default_store(runs)
    if address.startswith(("http://", "https://")):
        from xalign.doctor_surroundings import tracking_server

        return tracking_server(address)
    if not address.startswith("sqlite:///"):
        return Finding(
            "mlflow",
            "note",
            f"{without_password(address)} (from MLFLOW_TRACKING_URI)",
            "unset it to use RUNS/mlflow.db",
        )
    database = Path(address.removeprefix("sqlite:///"))
    if not database.is_file():
        return Finding("mlflow", "ok", f"{database}: made by the first run, or by: xalign mlflow sync")
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            [count] = connection.execute("SELECT count(*) FROM runs").fetchone()
    except sqlite3.Error as error:
        return Finding("mlflow", "missing", f"{database}: {error}", "delete it, then: xalign mlflow sync")
    return Finding("mlflow", "ok", f"{database}: {count} runs")
