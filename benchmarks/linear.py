"""Linear mode, three seeds × 15 epochs: seconds, against a plain loop with a frozen encoder.

    python benchmarks/linear.py [--model mini] [--data DIR] [--task topic] [--sentences 400] [--rounds 2]

Both sides train the same heads on the same sentences in batches of 16, with AdamW and fp32. *Theirs* sends each batch
through the frozen encoder, without gradients, for every epoch of every seed. *Ours* is ``xalign finetune --mode
linear``: features once, then heads. Loading is part of ours; the probe, which the plain loop has not, is left out.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch
from comparison import compare, wall_seconds, write
from torch.nn import functional

from xalign.config import FinetuneConfig
from xalign.data.languages import find
from xalign.encoder import load_encoder
from xalign.engine.batch import BatchOrder
from xalign.model_source import find_model
from xalign.pair_batches import Layout
from xalign.phases.finetune import finetune
from xalign.phases.inputs import open_data
from xalign.tasks import make_task
from xalign.tasks.batches import TaskBatches
from xalign.tasks.objective import Reader, new_head

SEEDS, EPOCHS, BATCH, LENGTH, RATE = (15, 33, 42), 15, 16, 128, 1e-3


def ours(given: argparse.Namespace) -> None:
    """Features once, heads on them."""
    with tempfile.TemporaryDirectory() as folder:
        finetune(
            FinetuneConfig(
                task=given.task, mode="linear", model=given.model, data=given.data, output=f"{folder}/run",
                seeds=SEEDS, epochs=EPOCHS, batch_size=BATCH, max_length=LENGTH, max_sentences=given.sentences,
                learning_rate=0.0, head_learning_rate=RATE, probe=False, tracking="none", quiet=True,
            )
        )  # fmt: skip


def theirs(given: argparse.Namespace) -> None:
    """Every batch of every epoch and seed through the encoder."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    task = make_task(given.task, label_on="first", pooling="mean")
    encoder = load_encoder(find_model(given.model))
    length = encoder.effective_length(LENGTH)
    layout = Layout.of(encoder.tokenizer, encoder.special_ids.tolist(), encoder.model.config.model_type, length, length)
    sentences = task.load(task.file(open_data(given.data), find("eng"), "train", None))[: given.sentences]
    examples = task.examples(sentences, encoder, layout)
    reader = Reader(encoder, frozen=True).to(device).eval()
    for seed in SEEDS:
        head = new_head(encoder.width, len(task.labels), seed).to(device)
        optimizer = torch.optim.AdamW(head.parameters(), lr=RATE)
        order = BatchOrder(examples.lengths, BATCH, seed=seed, keep_last=True)
        batches = TaskBatches(examples, order, padding=layout.padding, position=task.position)
        for step in range(EPOCHS * order.steps_per_epoch):
            [micro] = batches.micro_batches(step)
            batch = micro.to(device)
            with torch.no_grad():
                vectors = reader(batch)
            functional.cross_entropy(head(vectors), batch["labels"]).backward()
            optimizer.step()
            optimizer.zero_grad()


def measure(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Both sides in turns."""
    entry = compare(
        f"linear mode, {given.task}, 3 seeds × 15 epochs, seconds: {given.sentences} sentences, "
        f"{Path(given.model).name}",
        lambda: wall_seconds(lambda: ours(given)), lambda: wall_seconds(lambda: theirs(given)),
        goal=30.0, ratio="theirs / ours", rounds=given.rounds, warm_up=False,
    )  # fmt: skip
    return [entry]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--data", help="data directory; default: the embedded testbed")
    parser.add_argument("--task", default="topic", choices=("pos", "topic"))
    parser.add_argument("--sentences", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=2)
    write("linear", measure(parser.parse_args()))


if __name__ == "__main__":
    main()
