"""XLM-R base with random weights, and sentence pairs as long as OPUS's: they cost as much as the real ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM

from xalign.data.parallel import load_pairs
from xalign.model_source import find_model
from xalign.phases.inputs import open_data

ENTRIES = 250_002
OPUS_WORDS = 20.0  # a sentence, on average: 25 to 30 tokens of XLM-R


def configuration(
    *, width: int = 768, layers: int = 12, positions: int = 514, entries: int = ENTRIES
) -> XLMRobertaConfig:
    """XLM-R's configuration, whole at the defaults."""
    return XLMRobertaConfig(
        vocab_size=entries, hidden_size=width, num_hidden_layers=layers, num_attention_heads=max(1, width // 64),
        intermediate_size=4 * width, max_position_embeddings=positions, type_vocab_size=1, pad_token_id=1,
        bos_token_id=0, eos_token_id=2, layer_norm_eps=1e-5,
    )  # fmt: skip


def write_model(folder: Path, *, tokenizer: str = "mini", **sizes: int) -> str:
    """Write the model with the tokenizer of another one; returns its directory.

    A tokenizer of fewer entries changes no cost: the table has 250,002 rows all the same.
    """
    torch.manual_seed(0)
    XLMRobertaForMaskedLM(configuration(**sizes)).save_pretrained(folder)
    for path in find_model(tokenizer).directory.iterdir():
        if "token" in path.name or path.suffix in (".model", ".txt"):
            (folder / path.name).write_bytes(path.read_bytes())
    return str(folder)


def write_pairs(folder: Path, *, data: str | None, pairs: int, words: float = OPUS_WORDS, spread: float = 0.6) -> str:
    """Write a de-en corpus whose lengths vary as OPUS's do, made by joining sentences; returns the data directory.

    Args:
        data: where the sentences come from; None is the testbed.
        words: words of a pair's source, on average.
        spread: standard deviation of the logarithm of the length; 0 makes all alike.
    """
    corpus = load_pairs(open_data(data), "de-en", max_pairs=20_000, held_out=2).train
    draw = np.random.default_rng(0)
    joined = list(_joined(list(corpus.source), list(corpus.target), draw, pairs, words, spread))
    place = folder / "parallel" / "de-en"
    place.mkdir(parents=True)
    for side, code in enumerate(("de", "en")):
        text = "".join(f"{pair[side]}\n" for pair in joined)
        (place / f"long.de-en.{code}").write_text(text, encoding="utf-8")
    return str(folder)


def _joined(
    source: list[str], target: list[str], draw: np.random.Generator, pairs: int, words: float, spread: float
) -> Iterator[tuple[str, str]]:
    for number in range(pairs):
        wanted = words * float(np.exp(spread * draw.standard_normal() - spread**2 / 2))
        first, second = [f"{number}"], [f"{number}"]  # the number keeps pairs apart
        while len(first) < wanted:
            chosen = int(draw.integers(len(source)))
            first += source[chosen].split()
            second += target[chosen].split()
        kept = max(2, round(wanted))
        yield " ".join(first[:kept]), " ".join(second[:kept])
