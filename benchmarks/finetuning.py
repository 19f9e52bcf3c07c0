"""Full fine-tuning for POS tags on UD EWT: sentences a second, against transformers' Trainer.

    python benchmarks/finetuning.py [--model mini] [--data DIR] [--sentences 2000] [--rounds 3]

One epoch over the same sentences in batches of 16, at most 256 tokens, AdamW, fp32 (bf16 on a GPU), the label on a
word's first piece.
*Theirs* is `Trainer` with `AutoModelForTokenClassification` and `DataCollatorForTokenClassification`, as transformers'
token-classification script sets them up. Loading, tokenising and evaluation are no part of either side.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from comparison import compare, write
from trainer_clock import Clock
from transformers import (
    AutoModelForTokenClassification,
    DataCollatorForTokenClassification,
    Trainer,
    TrainingArguments,
)

from xalign.config import FinetuneConfig
from xalign.data.languages import find
from xalign.encoder import load_encoder
from xalign.model_source import find_model
from xalign.phases.finetune import finetune
from xalign.phases.inputs import open_data
from xalign.tasks import make_task

BATCH, LENGTH, WARM_UP = 16, 256, 5


def ours(given: argparse.Namespace) -> float:
    """Sentences a second of ``xalign finetune``, from the metrics of its steps."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "run"
        finetune(
            FinetuneConfig(
                task="pos", mode="full", model=given.model, data=given.data, output=str(output), seeds=(15,), epochs=1,
                batch_size=BATCH, max_length=LENGTH, max_sentences=given.sentences, tracking="none", quiet=True,
            )
        )  # fmt: skip
        entries = map(json.loads, (output / "metrics.jsonl").read_text().splitlines())
        rates = [entry["sentences_per_second"] for entry in entries if "sentences_per_second" in entry][WARM_UP:-1]
    return BATCH * len(rates) / sum(BATCH / rate for rate in rates)


def theirs(given: argparse.Namespace, rows: list[dict[str, list[int]]], labels: int) -> float:
    """Sentences a second of the Trainer."""
    source = find_model(given.model)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, num_train_epochs=1, per_device_train_batch_size=BATCH, learning_rate=2e-5,
            report_to="none", save_strategy="no", logging_strategy="no", disable_tqdm=True,
            use_cpu=not torch.cuda.is_available(), bf16=torch.cuda.is_available(),
        )  # fmt: skip
        Trainer(
            model=AutoModelForTokenClassification.from_pretrained(
                str(source.directory), num_labels=labels, trust_remote_code=False
            ),
            args=arguments,
            train_dataset=rows,
            data_collator=DataCollatorForTokenClassification(load_encoder(source).tokenizer),
            callbacks=[clock],
        ).train()
    steps = len(clock.ends) - 1
    return BATCH * (steps - WARM_UP) / (clock.ends[steps - 1] - clock.ends[WARM_UP - 1])


def tokenised(given: argparse.Namespace) -> tuple[list[dict[str, list[int]]], int]:
    """The same sentences as ids and labels, -100 behind a word's first piece; and the number of labels."""
    task = make_task("pos", label_on="first", pooling="mean")
    sentences = task.load(task.file(open_data(given.data), find("eng"), "train", None))[: given.sentences]
    tokenizer = load_encoder(find_model(given.model)).tokenizer
    rows = []
    for sentence in sentences:
        length = min(LENGTH, tokenizer.model_max_length, 128)
        found = tokenizer(list(sentence.words), is_split_into_words=True, truncation=True, max_length=length)
        words = found.word_ids()
        first = [word is not None and word != before for word, before in zip(words, [None, *words], strict=False)]
        tags = [task.labels.index(sentence.tags[w]) if f else -100 for w, f in zip(words, first, strict=True)]
        rows.append({"input_ids": found["input_ids"], "attention_mask": found["attention_mask"], "labels": tags})
    return rows, len(task.labels)


def measure(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Both sides in turns."""
    rows, labels = tokenised(given)
    entry = compare(
        f"full fine-tuning for POS, sentences/s: {len(rows):,} sentences, {Path(given.model).name}",
        lambda: ours(given), lambda: theirs(given, rows, labels),
        goal=1.5 if not torch.cuda.is_available() else 2.0, ratio="ours / theirs", rounds=given.rounds, warm_up=False,
    )  # fmt: skip
    return [entry]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--data", help="data directory; default: the embedded testbed")
    parser.add_argument("--sentences", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    write("finetuning", measure(parser.parse_args()))


if __name__ == "__main__":
    main()
