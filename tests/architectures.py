"""Random encoders of every architecture that xalign must align, in Hugging Face's layout."""

from __future__ import annotations

from pathlib import Path

import torch
from tiny import tiny_encoder, words

ARCHITECTURES = ("xlm-roberta", "bert", "distilbert")
BERT_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def write_encoder(folder: Path, architecture: str, *, layers: int = 3, seed: int = 0) -> Path:
    """Write a random model with its masked-LM head, and a tokenizer of its family; returns `folder`."""
    if architecture == "xlm-roberta":
        return tiny_encoder(folder, layers=layers, seed=seed)
    from transformers import BertConfig, BertForMaskedLM, DistilBertConfig, DistilBertForMaskedLM

    folder.mkdir(parents=True, exist_ok=True)
    entries = _write_word_tokenizer(folder)
    torch.manual_seed(seed)
    if architecture == "bert":
        config = BertConfig(
            vocab_size=entries, hidden_size=16, num_hidden_layers=layers, num_attention_heads=2, intermediate_size=32,
            max_position_embeddings=64, pad_token_id=0, initializer_range=0.2,
        )  # fmt: skip
        BertForMaskedLM(config).save_pretrained(folder)
    else:
        small = DistilBertConfig(
            vocab_size=entries, dim=16, n_layers=layers, n_heads=2, hidden_dim=32, max_position_embeddings=64,
            pad_token_id=0, initializer_range=0.2,
        )  # fmt: skip
        DistilBertForMaskedLM(small).save_pretrained(folder)
    return folder


def _write_word_tokenizer(folder: Path) -> int:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    entries = {word: i for i, word in enumerate(dict.fromkeys([*BERT_SPECIAL, *words("eng"), *words("deu")]))}
    tokenizer = Tokenizer(models.WordLevel(entries, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", unk_token="[UNK]",
        mask_token="[MASK]",
    ).save_pretrained(folder)  # fmt: skip
    return len(entries)
