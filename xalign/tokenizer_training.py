"""Training a tokenizer with XLM-R's special ids: ``<s>`` 0, ``<pad>`` 1, ``</s>`` 2, ``<unk>`` 3, ``<mask>`` last."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedTokenizerFast

from xalign.randomness import generator

SCORE_DIGITS = 4
MOST_TEXTS = 200_000  # a unigram model of a few thousand pieces gains nothing from more


def _in_fixed_order(tokenizer: Any, special: list[str]) -> Any:
    """The trained model with pieces by score, then by text: training orders equal pieces by chance."""
    from tokenizers import models

    trained = json.loads(tokenizer.to_str())["model"]["vocab"]
    pieces = [(piece, round(score, SCORE_DIGITS)) for piece, score in trained if piece not in special]
    pieces.sort(key=lambda entry: (-entry[1], entry[0]))
    return models.Unigram([(token, 0.0) for token in special] + pieces, unk_id=special.index("<unk>"))


def train_tokenizer(texts: Sequence[str], vocab_size: int, *, max_length: int) -> PreTrainedTokenizerFast:
    """Train a unigram tokenizer (NFKC, words marked by ``▁``).

    It has `vocab_size` entries, ``<mask>`` included, or fewer where the text does not yield so many. The library sums
    in varying order, so two trainings on one text may differ in the last digit of a score: a run keeps its tokenizer.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    if len(texts) > MOST_TEXTS:
        chosen = generator(0, "tokenizer-texts").permutation(len(texts))[:MOST_TEXTS]
        texts = [texts[i] for i in sorted(chosen)]
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=vocab_size - 1, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer, length=len(texts))
    tokenizer.model = _in_fixed_order(tokenizer, special)
    tokenizer.add_special_tokens(["<mask>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", cls_token="<s>", eos_token="</s>", sep_token="</s>",
        pad_token="<pad>", unk_token="<unk>", mask_token="<mask>", model_max_length=max_length,
    )  # fmt: skip
