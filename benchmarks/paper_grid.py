"""The paper's grid in hours of one device, from a measured time for each kind of run; called by `gpu.py`.

28 alignments of 6,000 steps and 348 fine-tunes with their transfers (29 encoders × 2 tasks × 2 modes × 3 seeds), one
after the other. Rates are measured on short runs of each kind and carried to the paper's sizes: 12,544 sentences of
UD EWT, 701 of SIB-200, 15 epochs.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import alignment

from xalign.config import LOSSES, AlignConfig, FinetuneConfig, TransferConfig
from xalign.metrics import accuracy, macro_f1
from xalign.phases.align import align
from xalign.phases.finetune import finetune
from xalign.phases.transfer import transfer

PAPER_HOURS, GOAL_HOURS = 140.0, 1.0
PAIRS, STEPS, ENCODERS, SEEDS, EPOCHS, BATCH = 4, 6000, 29, 3, 15, 16
SENTENCES = {"pos": 12_544, "topic": 701}


def measure(given: argparse.Namespace, line: Callable[..., dict[str, Any]]) -> list[dict[str, Any]]:
    """One line for the grid, after its parts were printed."""
    if importlib.util.find_spec("evaluate") is None:  # the same scores from the functions that it would call
        module = importlib.import_module("xalign.phases.transfer")
        scores = {"accuracy": accuracy, "macro_f1": macro_f1}
        module.compute = lambda *labels: {name: score(*labels) for name, score in scores.items()}  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as folder:
        seconds = {"alignment": PAIRS * sum(_alignment(given, loss) for loss in LOSSES)}
        align_run = _aligned(given, Path(folder) / "align")
        for task in SENTENCES:
            for mode in ("full", "linear"):
                tuned, tested = _downstream(given, task, mode, align_run, Path(folder))
                seconds[f"{task} {mode}, training"] = ENCODERS * tuned
                seconds[f"{task} {mode}, transfer"] = ENCODERS * tested
    for name, value in seconds.items():
        print(f"grid: {name}: {value / 60:.1f} minutes")
    hours = sum(seconds.values()) / 3600
    what = "the paper's grid, hours against its 140 V100-hours: XLM-R, 28 alignments, 348 fine-tunes, 116 transfers"
    return [line(what, hours, PAPER_HOURS, PAPER_HOURS / hours, PAPER_HOURS / GOAL_HOURS)]


def _alignment(given: argparse.Namespace, loss: str) -> float:
    lines = alignment.step_lines(given, loss=loss)
    return STEPS * alignment.BATCH / (len(lines) / sum(1 / line["pairs_per_second"] for line in lines))


def _aligned(given: argparse.Namespace, output: Path) -> str:
    """An encoder as alignment leaves it."""
    align(
        AlignConfig(
            pair=given.pair, loss="S1W0M0", model=given.model, data=given.data, output=str(output), steps=2,
            held_out=200, eval_pairs=2, keep_steps=(), tracking="none", quiet=True,
        )
    )  # fmt: skip
    return str(output)


def _downstream(given: argparse.Namespace, task: str, mode: str, model: str, folder: Path) -> tuple[float, float]:
    """Seconds of the paper's fine-tuning with its seeds, and of its transfer to all languages."""
    name = f"{task}-{mode}"
    seeds = (15,) if mode == "full" else (15, 33, 42)
    run = finetune(
        FinetuneConfig(
            task=task, mode=mode, model=model, data=given.task_data, output=str(folder / name), seeds=seeds, epochs=1,
            max_sentences=given.sentences, tracking="none", quiet=True,
        )
    )  # fmt: skip
    if mode == "full":
        entries = map(json.loads, (run.directory / "metrics.jsonl").read_text().splitlines())
        rates = sorted(entry["sentences_per_second"] for entry in entries if "sentences_per_second" in entry)
        tuned = SEEDS * EPOCHS * SENTENCES[task] / rates[len(rates) // 2]
    else:  # loading and features once, then the heads: the whole run, carried to the paper's sentences and epochs
        share = SENTENCES[task] / run.result["sentences"]
        tuned = run.result["seconds"] * share * (1 + _heads_share(run.directory, run.result["seconds"]) * (EPOCHS - 1))
    began = time.perf_counter()
    transfer(
        TransferConfig(
            model=str(run.directory), data=given.task_data, output=str(folder / f"{name}-transfer"), tracking="none",
            quiet=True,
        )
    )  # fmt: skip
    tested = time.perf_counter() - began
    return tuned, tested * (SEEDS if mode == "full" else 1)


def _heads_share(run: Path, seconds: float) -> float:
    """The share of a linear run's time that goes to its heads, and therefore grows with epochs."""
    entries = [json.loads(text) for text in (run / "metrics.jsonl").read_text().splitlines()]
    steps = {entry["step"]: entry["sentences_per_second"] for entry in entries if "sentences_per_second" in entry}
    return min(1.0, sum(BATCH / rate for rate in steps.values()) / seconds)
