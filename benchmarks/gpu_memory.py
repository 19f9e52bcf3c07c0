"""Peak memory of `align` for XLM-R on one GPU, beside DeepSpeed's formula, and the largest batch of a V100.

Called by `gpu.py`. The formula counts model states alone: 16 bytes a parameter under mixed precision (weights, gradient
and AdamW's fp32 copy and moments). A peak grows in a straight line with the pairs of a batch, so two measured batches
tell the largest that fits.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
from pathlib import Path
from typing import Any

import alignment
import torch
import xlmr
from comparison import device

STATE_BYTES, PARAMETERS = 16, 278_000_000
CONTEXT_GB = 1.0  # what CUDA and the allocator keep beside tensors
SMALL, LARGE = 16, 48
CASES: dict[str, dict[str, Any]] = {
    "fp16": {"precision": "fp16"},
    "fp16, whole vocabulary": {"precision": "fp16", "vocabulary": "whole"},
    "fp16, checkpointing": {"precision": "fp16", "gradient_checkpointing": True},
    "bf16": {"precision": "bf16"},
    "fp32": {"precision": "fp32"},
}


def measure(given: argparse.Namespace) -> list[dict[str, Any]]:
    """A line for each loss and case: the peak at 32 pairs of 128 tokens, by the line through two batches."""
    found = []
    for loss in ("S1W0M0", "S1W1M1"):
        for name, options in CASES.items():
            if given.tiny and options["precision"] == "fp16":
                continue  # a CPU has none
            small, large = (peak_gb(given, loss, batch, options) for batch in (SMALL, LARGE))
            a_pair = max(1e-6, (large - small) / (LARGE - SMALL))
            formula = STATE_BYTES * PARAMETERS / 1e9
            peak = small + (32 - SMALL) * a_pair
            fitting = [max(0, int((room - CONTEXT_GB - small) / a_pair) + SMALL) for room in (16, 32)]
            what = f"peak GB of align {loss}, {name}, beside the formula for model states: XLM-R, 32 pairs of 128"
            batches = f"largest batch for 16 and 32 GB: {fitting[0]} and {fitting[1]}"
            found.append(line(f"{what}; {batches}", peak, formula))
    return found


def line(measure: str, peak: float, formula: float) -> dict[str, Any]:
    """A measured peak beside what the formula says of model states."""
    ratio = round(peak / formula, 3)
    return {
        "measure": measure, "ours": round(peak, 3), "theirs": round(formula, 3), "ratio": ratio, "goal": 1.0,
        "higher_is_better": False, "spread": {"ratio": [ratio, ratio]}, "device": device(),
    }  # fmt: skip


def peak_gb(given: argparse.Namespace, loss: str, batch: int, options: dict[str, Any]) -> float:
    """The allocator's peak over a few steps with sentences of 128 tokens."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as folder:
        data = xlmr.write_pairs(Path(folder) / "long", data=given.data, pairs=600, words=150, spread=0)
        few = argparse.Namespace(**vars(given) | {"data": data, "steps": 2})
        alignment.step_lines(few, loss=loss, batch_size=batch, **options)
    return float(torch.cuda.max_memory_allocated()) / 1e9 if torch.cuda.is_available() else 0.0
