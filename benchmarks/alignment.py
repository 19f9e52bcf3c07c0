"""Alignment with S alone: pairs a second, against the sentence-transformers trainer.

    python benchmarks/alignment.py [--model mini] [--data DIR] [--pair de-en] [--steps 100] [--rounds 3]

Both sides train the same encoder on the same pairs in batches of 32, at most 128 tokens, AdamW, fp32 (bf16 on a GPU),
with in-batch negatives of both languages. *Theirs* is `SentenceTransformerTrainer` with `MultipleNegativesRankingLoss`
at its defaults. *Ours* runs once with S on the last layer, the same work, and once on layer 2/3, as the paper has it;
two further lines compare it with itself, its batches in one table. Loading is no part of either side.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import contrastive_trainer
import torch
from comparison import compare, write

from xalign.config import AlignConfig
from xalign.data.parallel import load_pairs
from xalign.phases.align import align
from xalign.phases.inputs import open_data

BATCH, LENGTH, WARM_UP = 32, 128, 10
GROUPS = (2, 4)  # the defaults of a GPU and of a CPU


def step_lines(given: argparse.Namespace, **options: Any) -> list[dict[str, float]]:
    """What ``xalign align`` writes for each step after the first few."""
    common: dict[str, Any] = {
        "pair": given.pair, "loss": "S1W0M0", "model": given.model, "data": given.data, "batch_size": BATCH,
        "steps": given.steps + WARM_UP, "max_length": LENGTH, "held_out": 200, "eval_every": 10**6, "eval_pairs": 2,
        "keep_steps": (), "save_every": 10**6, "tracking": "none", "quiet": True,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "run"
        align(AlignConfig(output=str(output), **(common | options)))
        entries = map(json.loads, (output / "metrics.jsonl").read_text().splitlines())
        return [entry for entry in entries if "pairs_per_second" in entry][WARM_UP:]


def ours(given: argparse.Namespace, layer: str, **options: Any) -> float:
    """Pairs a second of ``xalign align``, from the metrics of its steps."""
    lines = step_lines(given, layer=layer, **options)
    return len(lines) / sum(1 / line["pairs_per_second"] for line in lines)


def measure(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Both sides in turns, on the same layers and on the paper's; then batches in groups by length against whole."""
    corpus = load_pairs(open_data(given.data), given.pair, max_pairs=None, held_out=200).train
    pairs = [{"anchor": a, "positive": b} for a, b in zip(corpus.source, corpus.target, strict=True)]

    def theirs() -> float:
        return contrastive_trainer.pairs_per_second(
            given.model, pairs, batch=BATCH, length=LENGTH, steps=given.steps, warm_up=WARM_UP
        )

    what = f"alignment with S, pairs/s against {contrastive_trainer.name()}: {given.pair}, {Path(given.model).name}"
    lines = [
        compare(
            f"{what}, {name}", lambda layer=layer: ours(given, layer), theirs,
            goal=1.5 if not torch.cuda.is_available() else 2.0, ratio="ours / theirs", rounds=given.rounds,
            warm_up=False,
        )
        for name, layer in (("the same layers", "1/1"), ("S on layer 2/3", "2/3"))
    ]  # fmt: skip
    what = f"against a batch in one table, pairs/s of alignment with S: {given.pair}, {Path(given.model).name}"
    return lines + [
        compare(
            f"{groups} groups by length {what}", lambda groups=groups: ours(given, "2/3", length_groups=groups),
            lambda: ours(given, "2/3", length_groups=1), goal=1.0, ratio="ours / theirs", rounds=given.rounds,
            warm_up=False,
        )
        for groups in GROUPS
    ]  # fmt: skip


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--data", help="data directory; default: the embedded testbed")
    parser.add_argument("--pair", default="de-en")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    write("alignment", measure(parser.parse_args()))


if __name__ == "__main__":
    main()
