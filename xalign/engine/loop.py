"""The one training loop: every phase that trains goes through `train`.

A step is a pure function of (parameters, optimizer state, seed, step): its batch, its masks, its dropout and its rate
are all computed from the step number, so a resumed run repeats an uninterrupted one bit for bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader, Dataset

from xalign.engine import checkpoint, collective
from xalign.engine.batch import Batches, MicroBatch, mean_weights
from xalign.engine.flops import peak_flops
from xalign.engine.interruptions import naming_lost_processes, noticing_signals
from xalign.engine.progress import Reporter, reporting
from xalign.engine.separate_gradients import SeparateGradients
from xalign.engine.training import Objective, Schedule, StoppedError, Training, Validate
from xalign.randomness import seed_dropout
from xalign.runs import Run

if TYPE_CHECKING:
    from accelerate import Accelerator


class _Steps(Dataset[list[MicroBatch]]):
    """Micro-batches by step, so that a `DataLoader` can prepare them ahead of time."""

    def __init__(self, batches: Batches, first: int, last: int) -> None:
        self.batches, self.first, self.last = batches, first, last

    def __len__(self) -> int:
        return self.last - self.first

    def __getitem__(self, index: int) -> list[MicroBatch]:
        return self.batches.micro_batches(self.first + index)


def train(
    run: Run,
    objective: Objective,
    groups: list[dict[str, Any]],
    batches: Batches,
    training: Training,
    accelerator: Accelerator,
) -> None:
    """Train `objective` in place.

    Args:
        run: where metrics and checkpoints go; if it is resuming, the newest checkpoint is continued.
        objective: the module to train.
        groups: AdamW parameter groups with their peak ``lr`` and ``weight_decay``.
        batches: this process's micro-batches by step.

    Raises:
        StoppedError: a loss is not finite, or SIGTERM or SIGINT arrived; the state is saved in the latter case.
    """
    optimizer: Any = torch.optim.AdamW(groups, fused=True)
    peaks = [group["lr"] for group in optimizer.param_groups]
    model, optimizer = accelerator.prepare(objective, optimizer)
    model.train()
    first, counters = _restore(run, training, accelerator, objective, model, optimizer)
    schedule = Schedule(training.steps, training.warmup)
    on_gpu = accelerator.device.type == "cuda"
    workers = training.workers if training.workers is not None else 2 * on_gpu
    steps = _Steps(batches, first, training.steps)
    loader = DataLoader(steps, batch_size=None, num_workers=workers, pin_memory=on_gpu)
    silent = training.quiet or not accelerator.is_main_process
    with (
        naming_lost_processes(run),
        noticing_signals() as stop,
        reporting(training.title, training.steps, item=training.item, silent=silent) as shown,
    ):
        began = time.perf_counter()
        for step, micro_batches in enumerate(loader, start=first):
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * schedule.factor(step)
            lines, stopping = _step(
                accelerator, objective, model, optimizer, micro_batches, step, training, stop.is_set()
            )
            seconds = time.perf_counter() - began
            counters["skipped"] += bool(getattr(accelerator, "optimizer_step_was_skipped", False))
            done = step + 1
            common = _speed(objective, micro_batches, seconds, accelerator, training) | counters
            common["learning_rate"] = peaks[0] * schedule.factor(step)
            for line in lines:
                kept = {k: v for k, v in line.items() if not isinstance(v, float) or math.isfinite(v)}
                run.log({"step": training.offset + done, **(training.labels or {}), **kept, **common})
            shown.step(done, lines[0] | common)
            _after_step(run, accelerator, objective, model, optimizer, training, done, counters, stopping, shown)
            began = time.perf_counter()


def _restore(
    run: Run, training: Training, accelerator: Accelerator, objective: Objective, model: Any, optimizer: Any
) -> tuple[int, dict[str, int]]:
    """The step to go on from, and its counters; (0, …) where nothing was saved."""
    from accelerate.utils import broadcast_object_list

    counters = {"skipped": 0}
    found = [-1]
    if run.resuming and run.main and (folder := checkpoint.latest(run.checkpoints)) is not None:
        found = [checkpoint.step_of(folder)]
    if accelerator.num_processes > 1:
        found = broadcast_object_list(found)  # the main process alone knows whether there is anything to resume
    step = found[0]
    if not training.offset < step <= training.offset + training.steps:
        if run.resuming:
            run.note_resume(training.offset)
        return 0, counters
    counters = checkpoint.load(run.checkpoints / f"step-{step}", accelerator, objective, model, optimizer)
    run.note_resume(step)
    return step - training.offset, counters


def _step(
    accelerator: Accelerator,
    objective: Objective,
    model: Any,
    optimizer: Any,
    micro_batches: list[MicroBatch],
    step: int,
    training: Training,
    stop: bool,
) -> tuple[list[dict[str, float]], bool]:
    """One optimizer step: a line of losses over all processes for each model, and whether any was told to stop."""
    device, processes = accelerator.device, accelerator.num_processes
    counts = torch.stack([batch.counts for batch in micro_batches]).sum(dim=0)
    shared = collective.sum_over_processes(torch.cat([counts, torch.tensor([float(stop)])]).to(device))
    # The wrappers average over processes and micro-batches; these factors turn that into a mean over items.
    weights = mean_weights(shared[:-1], scale=processes * training.accumulation)
    totals = torch.zeros(len(objective.names), device=device, dtype=torch.float64)
    if objective.caches:
        with accelerator.autocast():
            objective.cache(_with_dropout_seeds(accelerator, micro_batches, step, training), weights)
    separate = SeparateGradients(objective, accelerator) if objective.apart_gradients else None
    for index, batch in enumerate(micro_batches):
        last = index == len(micro_batches) - 1
        accelerator.gradient_state._set_sync_gradients(last)
        seed_dropout(training.seed, step, index, accelerator.process_index)
        with nullcontext() if last and separate is None else accelerator.no_sync(model):
            found = model(batch.to(device), weights)
            parts = torch.stack([found[name] for name in objective.names])
            totals += parts.detach().double()
            if separate is not None:
                separate.add(found)
            else:
                accelerator.backward(parts.sum())
    notes = separate.combine(training.seed, step) if separate is not None else {}
    totals = collective.sum_over_processes(totals) / (processes * training.accumulation)
    clipped = [parameters for _, parameters in objective.apart] or [model.parameters()]
    limit = training.clip if training.clip > 0 else math.inf
    norms = [accelerator.clip_grad_norm_(parameters, limit) for parameters in clipped]
    optimizer.step()
    optimizer.zero_grad()
    # Read only now, once: a device that is asked for a number in between stands still while it is asked.
    *losses, stopping = torch.cat([totals, shared[-1:].double()]).tolist()
    values = dict(zip(objective.names, losses, strict=True))
    if not all(map(math.isfinite, values.values())):
        examples = [example for batch in micro_batches for example in batch.examples]
        where = ", ".join(f"{name} = {value}" for name, value in values.items())
        raise StoppedError(
            f"step {step + 1}: the loss is not finite ({where}); examples {examples[:16]}; "
            f"lower learning_rate, or use bf16 or fp32",
            step,
        )
    norms = [float(norm or 0.0) for norm in norms]
    if objective.apart:
        each = zip(objective.apart, objective.names, norms, strict=True)
        lines = [label | {"loss": values[name], "gradient_norm": norm} for (label, _), name, norm in each]
    else:
        named = {f"loss_{name}": value for name, value in values.items()}
        if len(named) == 1 and training.item != "pairs":
            named = {}
        lines = [{"loss": sum(values.values()), **named, "gradient_norm": norms[0], **notes}]
    return lines, stopping > 0


def _with_dropout_seeds(
    accelerator: Accelerator, micro_batches: list[MicroBatch], step: int, training: Training
) -> Iterator[dict[str, torch.Tensor]]:
    for index, batch in enumerate(micro_batches):
        seed_dropout(training.seed, step, index, accelerator.process_index)
        yield batch.to(accelerator.device)


@torch.no_grad()
def _validate(objective: Objective, validate: Validate) -> list[dict[str, float]]:
    objective.eval()
    return validate()


def _speed(
    objective: Objective,
    micro_batches: list[MicroBatch],
    seconds: float,
    accelerator: Accelerator,
    training: Training,
) -> dict[str, float]:
    processes = accelerator.num_processes
    items = sum(batch.items for batch in micro_batches) * processes
    tokens = sum(batch.tokens for batch in micro_batches) * processes
    speed = {
        f"{training.item}_per_second": round(items / seconds, 1),
        "tokens_per_second": round(tokens / seconds, 1),
    }
    achieved = sum(objective.flops(batch.tensors) for batch in micro_batches) / seconds  # of one device
    speed["tflops_per_second"] = round(achieved * processes / 1e12, 4)
    peak = peak_flops("fp32" if accelerator.mixed_precision == "no" else accelerator.mixed_precision)
    if peak is not None:
        speed["mfu"] = round(achieved / peak, 4)
    return speed


def _after_step(
    run: Run,
    accelerator: Accelerator,
    objective: Objective,
    model: Any,
    optimizer: Any,
    training: Training,
    done: int,
    counters: dict[str, int],
    stopping: bool,
    shown: Reporter,
) -> None:
    """Keep, validate and save where `done` steps call for it; leave where a signal does."""
    finished = done == training.steps
    if training.keep is not None and done in training.keep_steps:
        training.keep(done)
    if training.validate is not None and training.eval_every and (done % training.eval_every == 0 or finished):
        measured = _validate(objective, training.validate)
        model.train()
        labels = [label for label, _ in objective.apart] or [training.labels or {}]
        for label, scores in zip(labels, measured, strict=True):
            run.log({"step": training.offset + done, **label, "validation": scores})
            which = "".join(f", {name} {value}" for name, value in label.items())
            shown.say(f"  step {done}{which}: " + ", ".join(f"{name} {value:.3f}" for name, value in scores.items()))
    if (done % training.save_every == 0 and not finished) or (stopping and not finished):
        checkpoint.save(run.checkpoints, training.offset + done, accelerator, objective, model, optimizer, counters)
    if stopping and not finished:
        message = f"stopped by a signal after step {done}; state saved, continue with --resume"
        raise StoppedError(message, done, interrupted=True)
