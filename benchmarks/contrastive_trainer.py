"""Contrastive training as people do it today: sentence-transformers' trainer, or its loss in transformers' own.

The second stands in where sentence-transformers is not installed: `Trainer` with a collator that tokenises each batch,
mean pooling over all tokens, and cross-entropy over scaled cosines, which is what `MultipleNegativesRankingLoss`
computes at its defaults.
"""

from __future__ import annotations

import importlib.util
import tempfile
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from trainer_clock import Clock
from transformers import AutoModel, AutoTokenizer, Trainer, TrainingArguments

from xalign.model_source import find_model

SCALE = 20.0
Pairs = list[dict[str, str]]


def name() -> str:
    """Which of the two this machine has."""
    found = importlib.util.find_spec("sentence_transformers") is not None
    return "the sentence-transformers trainer" if found else "transformers' Trainer with the same loss"


def pairs_per_second(model: str, pairs: Pairs, *, batch: int, length: int, steps: int, warm_up: int) -> float:
    """Rate of a training of `steps` steps after `warm_up`, loading left out; bf16 on a GPU, else fp32."""
    directory, clock = str(find_model(model).directory), Clock()
    train = _sentence_transformers if importlib.util.find_spec("sentence_transformers") else _transformers
    with tempfile.TemporaryDirectory() as folder:
        common = {
            "output_dir": folder, "max_steps": steps + warm_up, "per_device_train_batch_size": batch,
            "report_to": "none", "save_strategy": "no", "logging_strategy": "no", "disable_tqdm": True,
            "learning_rate": 2e-5, "use_cpu": not torch.cuda.is_available(), "bf16": torch.cuda.is_available(),
        }  # fmt: skip
        train(directory, pairs, length, common, clock)
    return batch * steps / (clock.ends[-1] - clock.ends[warm_up - 1])


def _sentence_transformers(directory: str, pairs: Pairs, length: int, common: dict[str, Any], clock: Clock) -> None:
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
        losses,
        models,
    )
    from transformers import AutoConfig

    width = int(AutoConfig.from_pretrained(directory, trust_remote_code=False).hidden_size)
    model = SentenceTransformer(
        modules=[models.Transformer(directory, max_seq_length=length), models.Pooling(width)],
        device="cuda" if torch.cuda.is_available() else "cpu",
    )
    arguments = SentenceTransformerTrainingArguments(**common)
    loss = losses.MultipleNegativesRankingLoss(model)
    SentenceTransformerTrainer(
        model=model, args=arguments, train_dataset=Dataset.from_list(pairs), loss=loss, callbacks=[clock]
    ).train()


class _Contrast(nn.Module):
    def __init__(self, directory: str) -> None:
        super().__init__()
        self.encoder = AutoModel.from_pretrained(directory, trust_remote_code=False)

    def _vectors(self, ids: Tensor, mask: Tensor) -> Tensor:
        states = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        kept = mask.unsqueeze(-1).to(states.dtype)
        return functional.normalize((states * kept).sum(1) / kept.sum(1).clamp(min=1e-9), dim=-1)

    def forward(
        self, anchor: Tensor, anchor_mask: Tensor, positive: Tensor, positive_mask: Tensor
    ) -> dict[str, Tensor]:
        scores = self._vectors(anchor, anchor_mask) @ self._vectors(positive, positive_mask).T * SCALE
        return {"loss": functional.cross_entropy(scores, torch.arange(len(scores), device=scores.device))}


def _transformers(directory: str, pairs: Pairs, length: int, common: dict[str, Any], clock: Clock) -> None:
    tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=False)

    def collate(rows: Pairs) -> dict[str, Tensor]:
        batch = {}
        for side in ("anchor", "positive"):
            texts = [row[side] for row in rows]
            found = tokenizer(texts, padding=True, truncation=True, max_length=length, return_tensors="pt")
            batch |= {side: found["input_ids"], f"{side}_mask": found["attention_mask"]}
        return batch

    arguments = TrainingArguments(**common, remove_unused_columns=False)
    Trainer(
        model=_Contrast(directory), args=arguments, train_dataset=pairs, data_collator=collate, callbacks=[clock]
    ).train()
