"""Alignment with S alone: pairs a second, against the sentence-transformers trainer.

    python benchmarks/alignment.py [--model mini] [--data DIR] [--pair de-en] [--steps 100] [--rounds 3]

Both sides train the same encoder on the same pairs in batches of 32, at most 128 tokens, AdamW, fp32, with in-batch
negatives of both languages. *Theirs* is `SentenceTransformerTrainer` with `MultipleNegativesRankingLoss` at its
defaults. *Ours* runs once with S on the last layer, the same work, and once on layer 2/3, as the paper has it. Loading
is no part of either side.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import torch
from comparison import compare, write
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers import losses as sentence_losses
from sentence_transformers import models as modules
from trainer_clock import Clock

from xalign.config import AlignConfig
from xalign.data.parallel import load_pairs
from xalign.model_source import find_model
from xalign.phases.align import align
from xalign.phases.inputs import open_data

BATCH, LENGTH, WARM_UP = 32, 128, 10


def ours(given: argparse.Namespace, layer: str) -> float:
    """Pairs a second of ``xalign align``, from the metrics of its steps."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "run"
        align(
            AlignConfig(
                pair=given.pair, loss="S1W0M0", model=given.model, data=given.data, output=str(output), layer=layer,
                steps=given.steps + WARM_UP, batch_size=BATCH, max_length=LENGTH, held_out=200, eval_every=10**6,
                eval_pairs=2, keep_steps=(), tracking="none", quiet=True,
            )
        )  # fmt: skip
        entries = map(json.loads, (output / "metrics.jsonl").read_text().splitlines())
        lines = [entry for entry in entries if "pairs_per_second" in entry]
    seconds = sum(BATCH / line["pairs_per_second"] for line in lines[WARM_UP:])
    return BATCH * len(lines[WARM_UP:]) / seconds


def theirs(given: argparse.Namespace, pairs: Dataset) -> float:
    """Pairs a second of the sentence-transformers trainer."""
    directory = str(find_model(given.model).directory)
    model = SentenceTransformer(
        modules=[modules.Transformer(directory, max_seq_length=LENGTH), modules.Pooling(_width(directory))],
        device="cuda" if torch.cuda.is_available() else "cpu",
    )
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        arguments = SentenceTransformerTrainingArguments(
            output_dir=folder, max_steps=given.steps + WARM_UP, per_device_train_batch_size=BATCH, report_to="none",
            save_strategy="no", logging_strategy="no", disable_tqdm=True, learning_rate=2e-5,
            use_cpu=not torch.cuda.is_available(),
        )  # fmt: skip
        loss = sentence_losses.MultipleNegativesRankingLoss(model)
        SentenceTransformerTrainer(
            model=model, args=arguments, train_dataset=pairs, loss=loss, callbacks=[clock]
        ).train()
    return BATCH * given.steps / (clock.ends[-1] - clock.ends[WARM_UP - 1])


def _width(directory: str) -> int:
    from transformers import AutoConfig

    return int(AutoConfig.from_pretrained(directory).hidden_size)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--data", help="data directory; default: the embedded testbed")
    parser.add_argument("--pair", default="de-en")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    corpus = load_pairs(open_data(given.data), given.pair, max_pairs=None, held_out=200).train
    pairs = Dataset.from_dict({"anchor": list(corpus.source), "positive": list(corpus.target)})
    what = f"alignment with S, pairs/s: {given.pair}, {Path(given.model).name}"
    entries = [
        compare(
            f"{what}, {name}", lambda layer=layer: ours(given, layer), lambda: theirs(given, pairs),
            goal=1.5 if not torch.cuda.is_available() else 2.0, ratio="ours / theirs", rounds=given.rounds,
            warm_up=False,
        )
        for name, layer in (("the same layers", "1/1"), ("S on layer 2/3", "2/3"))
    ]  # fmt: skip
    write("alignment", entries)


if __name__ == "__main__":
    main()
