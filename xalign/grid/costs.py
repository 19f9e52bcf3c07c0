"""What a grid will take: time from runs of the same kind that are complete, else estimated; memory, disk from sizes.

Activations by the formula of Korthikanti et al. 2022 (arXiv 2205.05198): 34 bytes a token, unit of width and layer at
16 bits, attention matrices left out because SDPA keeps none; twice that in fp32.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from transformers import AutoConfig

from xalign.grid.estimates import Estimates
from xalign.model_source import find_model
from xalign.runs import state_of
from xalign.storage import read_json

if TYPE_CHECKING:
    from xalign.grid import Grid, Job

STATE_BYTES = 16  # a parameter under mixed precision: weights, gradient, fp32 master, two moments
WEIGHT_BYTES = 4
ACTIVATION_BYTES = 34  # a token, unit of width and layer, at 16 bits


def estimate(grid: Grid, jobs: list[Job], todo: list[Job]) -> list[str]:
    """Lines that say how many runs are left, how long they take, and what memory and disk they need."""
    kinds = Counter(_kind(job) for job in todo)
    seconds = {kind: _measured(grid, [job for job in jobs if _kind(job) == kind]) for kind in kinds}
    lines = [f"{len(todo)} of {len(jobs)} runs to make"]
    unmeasured = {kind for kind, each in seconds.items() if each is None}
    estimates = Estimates(grid.model) if unmeasured else None
    total = 0.0
    for kind, count in kinds.items():
        each, how = seconds[kind], "measured"
        if each is None and estimates is not None:
            each = estimates.seconds(grid, next(job for job in todo if _kind(job) == kind))
            how = f"estimated by its operations at {estimates.rate / 1e9:,.0f} GFLOP/s"
        total += count * (each or 0.0)
        lines.append(f"  {count} × {kind}: about {count * (each or 0.0) / 60:.1f} min ({each:.0f} s each, {how})")
    if todo:
        lines.append(f"  one after the other: about {total / 3600:.1f} hours")
    weights = find_model(grid.model).directory / "model.safetensors"
    if weights.is_file():
        parameters = weights.stat().st_size / WEIGHT_BYTES
        disk = disk_bytes(grid, todo)
        lines.append(
            f"  disk: {disk / 1e9:.2f} GB of encoders; memory: {STATE_BYTES * parameters / 1e9:.2f} GB of model and "
            f"optimizer state in one process, and {_activations(grid, todo) / 1e9:.2f} GB of activations"
        )
    return lines


def disk_bytes(grid: Grid, todo: list[Job]) -> int:
    """Bytes of the encoders that runs will leave; 0 where the size of the model is not known."""
    weights = find_model(grid.model).directory / "model.safetensors"
    return sum(_copies(grid, job) for job in todo) * weights.stat().st_size if weights.is_file() else 0


def _kind(job: Job) -> str:
    """What runs of like duration share: an alignment's losses, a fine-tuning's task and mode, an analysis's subject."""
    if job.phase == "align":
        return f"align {job.options['loss']}"
    parts = {"finetune": 3, "transfer": 3, "distances": 2, "gradients": 2}
    return "/".join(job.name.split("/")[: parts.get(job.phase, 1)])


def _measured(grid: Grid, jobs: list[Job]) -> float | None:
    done = [grid.runs / job.name for job in jobs if state_of(grid.runs / job.name) == "complete"]
    results = [read_json(directory / "result.json") for directory in done]
    # Of a run that was resumed the seconds are those of its last process.
    seconds = [result["seconds"] for result in results if not result.get("resumed_from")]
    return sum(seconds) / len(seconds) if seconds else None


def _activations(grid: Grid, todo: list[Job]) -> float:
    """Bytes of the largest micro-batch that is trained, all sentences as long as they may be, in fp32."""
    config = AutoConfig.from_pretrained(find_model(grid.model).directory, trust_remote_code=False)
    tokens = [0]
    for options in (grid.configuration(job) for job in todo if job.phase in ("align", "finetune")):
        sentences = options.batch_size / options.accumulation * (2 if hasattr(options, "pair") else 1)
        tokens.append(round(sentences * options.max_length))
    return 2 * ACTIVATION_BYTES * max(tokens) * config.hidden_size * config.num_hidden_layers


def _copies(grid: Grid, job: Job) -> int:
    """Encoders that a run leaves on disk."""
    config = grid.configuration(job)
    if job.phase == "align":
        return 1 + sum(step < config.steps for step in config.keep_steps)
    return len(config.seeds) if job.phase == "finetune" and config.mode == "full" else 0
