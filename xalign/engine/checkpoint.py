"""Training state on disk: tensors in safetensors, the rest in JSON, everything under checksums.

A checkpoint is a directory ``step-N`` that appears whole or not at all. It loads at any number of processes, except
under DeepSpeed, whose state is written in DeepSpeed's own format (pickle) and therefore read only from the run's own
directory, after its checksums match, at the launch that wrote it.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from xalign.engine.launch import zero_stage
from xalign.engine.training import Objective
from xalign.errors import XalignError
from xalign.full_disk import naming_full_disk
from xalign.storage import PARTIAL, digest_file, naming_damage, read_record, replacing_directory, write_json

if TYPE_CHECKING:
    from accelerate import Accelerator

KEPT = 2
MODEL, OPTIMIZER, STATE, SHARDS = "model.safetensors", "optimizer.safetensors", "state.json", "deepspeed"


def save(
    directory: Path,
    step: int,
    accelerator: Accelerator,
    objective: Objective,
    model: Any,
    optimizer: Any,
    counters: dict[str, int],
) -> None:
    """Write ``step-N`` below `directory`; the last `KEPT` are kept. Every process must call this."""
    if zero_stage(accelerator) is not None:
        _save_shards(directory, step, accelerator, model, counters)
    elif accelerator.is_main_process:
        with replacing_directory(directory / f"step-{step}") as folder:
            save_file(_state(objective), folder / MODEL)
            tensors, groups = _flatten(optimizer.optimizer.state_dict())
            save_file(tensors, folder / OPTIMIZER)
            scaler = accelerator.scaler.state_dict() if accelerator.scaler is not None else None
            _seal(folder, {"step": step, "groups": groups, "scaler": scaler, "counters": counters})
    if accelerator.is_main_process:
        for old in _folders(directory)[:-KEPT]:
            shutil.rmtree(old)


def _state(objective: Objective) -> dict[str, Tensor]:
    return {name: tensor.detach().contiguous() for name, tensor in _tensors(objective).items()}


def _tensors(objective: Objective) -> dict[str, Tensor]:
    """What steps change, by name: trained parameters, and what the objective carries beside them."""
    trained = {name: p for name, p in objective.named_parameters() if p.requires_grad}
    return trained | {f"carried.{name}": tensor for name, tensor in objective.carried.items()}


def _flatten(state: dict[str, Any]) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    tensors = {
        f"{index}.{name}": torch.as_tensor(value).contiguous()
        for index, values in state["state"].items()
        for name, value in values.items()
    }
    return tensors, state["param_groups"]


def _seal(folder: Path, state: dict[str, Any]) -> None:
    files = {str(p.relative_to(folder)): digest_file(p) for p in sorted(folder.rglob("*")) if p.is_file()}
    write_json(folder / STATE, state | {"files": files})


def _save_shards(directory: Path, step: int, accelerator: Accelerator, model: Any, counters: dict[str, int]) -> None:
    partial, final = directory / f"{PARTIAL}step-{step}", directory / f"step-{step}"
    if accelerator.is_main_process:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    accelerator.wait_for_everyone()
    with naming_full_disk(final):
        model.save_checkpoint(str(partial), tag=SHARDS, exclude_frozen_parameters=True)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        launch = {"processes": accelerator.num_processes, "zero_stage": zero_stage(accelerator)}
        _seal(partial, {"step": step, "launch": launch, "counters": counters})
        if final.exists():
            shutil.rmtree(final)
        partial.rename(final)
    accelerator.wait_for_everyone()


def step_of(folder: Path) -> int:
    """The number of steps done when a checkpoint was written."""
    return int(folder.name.removeprefix("step-"))


def _folders(directory: Path) -> list[Path]:
    """Checkpoints, oldest first; what somebody else put beside them is left alone."""
    named = (path for path in directory.glob("step-*") if path.name.removeprefix("step-").isdecimal())
    return sorted(named, key=step_of)


def latest(directory: Path) -> Path | None:
    """The newest checkpoint whose checksums all match; a damaged one is passed over for the one before."""
    for folder in reversed(_folders(directory)):
        try:
            files = read_record(folder / STATE, files=dict, counters=dict)["files"]
            if all((folder / name).is_file() and digest_file(folder / name) == sum_ for name, sum_ in files.items()):
                return folder
        except (XalignError, OSError):
            continue
    return None


def load(folder: Path, accelerator: Accelerator, objective: Objective, model: Any, optimizer: Any) -> dict[str, int]:
    """Restore parameters, optimizer and loss scale from a checkpoint that `latest` returned.

    Args:
        objective, model: the trained module, and the same as `prepare` wrapped it.

    Returns:
        the counters that were saved with it.

    Raises:
        XalignError: it was written under another launch (DeepSpeed), or for another model.
    """
    state = read_record(folder / STATE, counters=dict)
    counters: dict[str, int] = state["counters"]
    if "launch" in state or zero_stage(accelerator) is not None:
        here = {"processes": accelerator.num_processes, "zero_stage": zero_stage(accelerator)}
        if state.get("launch") != here:
            raise XalignError(
                f"{folder}: written by {state.get('launch') or 'a launch without DeepSpeed'}, this launch is {here}; "
                f"resume with the launch that wrote it, or start anew with --overwrite"
            )
        model.load_checkpoint(str(folder), tag=SHARDS, load_module_strict=False)
        return counters
    parameters = _tensors(objective)
    try:
        saved = load_file(folder / MODEL)
        if {name: p.shape for name, p in saved.items()} != {name: p.shape for name, p in parameters.items()}:
            raise XalignError(
                f"{folder}: holds the parameters of another model, or of another choice of vocabulary; "
                f"resume as it was begun, or start anew with --overwrite"
            )
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(saved[name])
        flat = load_file(folder / OPTIMIZER)
    except SafetensorError as error:
        raise XalignError(f"{folder}: cannot be read ({error}); delete it to use the one before") from None
    with naming_damage(folder / STATE):
        values: dict[int, dict[str, Tensor]] = {}
        for key, tensor in flat.items():
            index, _, name = key.partition(".")
            values.setdefault(int(index), {})[name] = tensor
        optimizer.optimizer.load_state_dict({"state": values, "param_groups": state["groups"]})
        if accelerator.scaler is not None and state["scaler"] is not None:
            accelerator.scaler.load_state_dict(state["scaler"])
    return counters
