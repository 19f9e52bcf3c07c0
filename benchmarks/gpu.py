"""Everything that only a GPU can tell, in one command: ratios, MFU, memory, the paper's grid.

    python benchmarks/gpu.py [--minutes 10] [--data DIR] [--tokenizer MODEL] [--tiny]

XLM-R base with random weights: its costs are the real ones, its accuracies mean nothing. Needs torch, transformers and
accelerate alone. Without ``--data`` and ``--tokenizer`` sentences come from the testbed, at OPUS's lengths, and the
table has XLM-R's 250,002 rows all the same. Each measure is written as soon as it is there; one that fails is named,
and the others go on. ``--tiny`` is a rehearsal on a CPU, whose figures mean nothing.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs where xalign is not installed

import alignment
import finetuning
import gpu_memory
import linear
import masked_lm
import paper_grid
import torch
import xlmr
from comparison import device, write

BERT_LARGE_MFU, GOAL_MFU = 0.42, 0.5  # NVIDIA's BERT-large on V100; what a full batch should reach here
PAPER_HOURS, GOAL_MINUTES = 5.0, 3.0  # the least that the paper spent on an alignment, on V100s

Entries = list[dict[str, Any]]


def single(measure: str, ours: float, theirs: float, ratio: float, goal: float) -> dict[str, Any]:
    """A line whose other side is a published figure."""
    entry = {"measure": measure, "ours": round(ours, 4), "theirs": theirs, "ratio": round(ratio, 4), "goal": goal}
    spread = {"ratio": [round(ratio, 4)] * 2}
    return entry | {"higher_is_better": True, "spread": spread, "device": device()}


def alignment_time(given: argparse.Namespace) -> Entries:
    """``align`` for 6,000 steps of 32 pairs at OPUS's lengths, from the median of its steps."""
    found = []
    for loss in ("S1W0M0", "S1W1M1"):
        lines = alignment.step_lines(given, loss=loss)
        rates = sorted(line["pairs_per_second"] for line in lines)
        seconds = 6000 * alignment.BATCH / rates[len(rates) // 2]
        what = f"align {loss}, 6,000 steps of {alignment.BATCH} pairs, seconds against the paper's 5 V100-hours: XLM-R"
        goal = PAPER_HOURS * 60 / GOAL_MINUTES
        found.append(single(what, seconds, PAPER_HOURS * 3600, PAPER_HOURS * 3600 / seconds, goal))
    return found


def utilisation(given: argparse.Namespace) -> Entries:
    """MFU of ``align`` on sentences of 128 tokens each."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        data = xlmr.write_pairs(Path(folder) / "long", data=given.data, pairs=given.pairs, words=150, spread=0)
        for loss, batch in (("S1W0M0", 32), ("S1W0M0", given.full_batch), ("S1W1M1", given.full_batch)):
            lines = alignment.step_lines(
                argparse.Namespace(**vars(given) | {"data": data}), loss=loss, batch_size=batch
            )
            shares = sorted(line.get("mfu", 0.0) for line in lines)
            share = shares[len(shares) // 2]
            what = f"MFU of align {loss} at 128 tokens, against BERT-large's on V100: XLM-R, {batch} pairs"
            found.append(
                single(what, share, BERT_LARGE_MFU, share / BERT_LARGE_MFU, round(GOAL_MFU / BERT_LARGE_MFU, 3))
            )
    return found


def measures(given: argparse.Namespace) -> dict[str, Callable[[], Entries]]:
    """What is measured, the most wanted first."""
    sizes = {"width": given.width, "sentences": 32, "tokens": 128 if not given.tiny else 16, "rounds": given.rounds}
    downstream = argparse.Namespace(**vars(given) | {"data": given.task_data})
    return {
        "alignment": lambda: alignment.measure(given),
        "alignment_time": lambda: alignment_time(given),
        "utilisation": lambda: utilisation(given),
        "masked_lm": lambda: masked_lm.measure(argparse.Namespace(**sizes)),
        "finetuning": lambda: finetuning.measure(downstream),
        "linear": lambda: linear.measure(downstream),
        "grid": lambda: paper_grid.measure(given, single),
        "memory": lambda: gpu_memory.measure(given),
    }


def options() -> argparse.Namespace:
    """The command line, with what all measures share."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="no measure begins after nine tenths of this")
    parser.add_argument("--data", help="data directory; default: the embedded testbed")
    parser.add_argument("--tokenizer", default="mini", help="directory of XLM-R's tokenizer")
    parser.add_argument("--only", help="names of measures, with commas between them")
    parser.add_argument("--tiny", action="store_true", help="rehearse with a small model and few steps")
    given = parser.parse_args()
    given.width, given.layers, given.entries = (64, 2, 20_000) if given.tiny else (768, 12, xlmr.ENTRIES)
    given.steps, given.sentences, given.rounds = (3, 128, 1) if given.tiny else (100, 1000, 3)
    given.pairs, given.full_batch = (2000, 64) if given.tiny else (20_000, 256)
    given.pair, given.task = "de-en", "topic"
    return given


def main() -> None:
    """Measure and write."""
    given = options()
    if not (torch.cuda.is_available() or given.tiny):
        raise SystemExit("gpu.py: no GPU is visible; --tiny rehearses on a CPU")
    name = "gpu_rehearsal" if given.tiny else "gpu"
    began, entries, failed = time.monotonic(), [], {}
    with tempfile.TemporaryDirectory() as folder:
        sizes = {"width": given.width, "layers": given.layers, "entries": given.entries}
        given.model = xlmr.write_model(Path(folder) / "xlm-r", tokenizer=given.tokenizer, **sizes)
        own = given.data
        given.data = xlmr.write_pairs(Path(folder) / "opus", data=own, pairs=given.pairs)
        given.task_data = own
        for label, measure in measures(given).items():
            if given.only and label not in given.only.split(","):
                continue
            if time.monotonic() - began > 54 * given.minutes:
                failed[label] = "no time left"
                continue
            try:
                entries += measure()
                write(name, entries)
            except Exception:
                failed[label] = traceback.format_exc(limit=3)
            gc.collect()
            torch.cuda.empty_cache()
            print(f"{label}: {time.monotonic() - began:.0f} s since the start", flush=True)
    for label, why in failed.items():
        print(f"not measured: {label}: {why}", file=sys.stderr)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
