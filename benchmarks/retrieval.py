"""Retrieval at every layer of many pairs: each language encoded once, against scripts that encode for each pair.

    python benchmarks/retrieval.py [--sentences 32] [--model mini] [--data DIR] [--rounds 3]

Both sides compute the same measures of the same pairs and layers, in one thread's matrix products; they differ in how
often a sentence goes through the encoder. *Theirs* does what analysis scripts do today: for every pair and layer it
encodes both languages anew. Writes ``benchmarks/results/retrieval.json``.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from comparison import compare, wall_seconds, write
from torch import Tensor

from xalign.analysis.retrieval import Neighbourhoods, layer_scores, nearest_of_own_language, unit_rows
from xalign.analysis.vectors import Vectorizer
from xalign.config.analyses import RETRIEVAL_PAIRS, RetrieveConfig
from xalign.data.languages import Language
from xalign.encoder import load_encoder
from xalign.frozen_features import Encoding
from xalign.model_source import find_model
from xalign.phases.flores_pairs import Pair, choose_pairs, load_translations
from xalign.phases.inputs import open_data

SIZES = Neighbourhoods()


def nearest(vectors: np.ndarray) -> Tensor:
    """(layers, n): the nearest sentence of the same language, which strong alignment compares with."""
    return torch.stack([nearest_of_own_language(unit_rows(layer)) for layer in vectors])


def encode_once(vectorizer: Vectorizer, pairs: list[Pair], sentences: dict[Language, list[str]]) -> float:
    """Ours: all layers of a language from one pass. Returns the sum of recalls, to compare the two sides by."""
    vectors = {language: vectorizer.compute(texts) for language, texts in sentences.items()}
    within = {language: nearest(found) for language, found in vectors.items()}
    total = 0.0
    for a, b in pairs:
        for _, there, back in layer_scores(vectors[a], vectors[b], (within[a], within[b]), SIZES, centred=False):
            total += (there["recall_at_1"] or 0) + (back["recall_at_1"] or 0)
    return total


def encode_per_pair(vectorizer: Vectorizer, pairs: list[Pair], sentences: dict[Language, list[str]]) -> float:
    """Theirs: both languages of a pair go through the encoder for every layer that is looked at."""
    total = 0.0
    for a, b in pairs:
        for layer in range(vectorizer.encoder.depth + 1):
            first, second = (vectorizer.compute(sentences[language], [layer]) for language in (a, b))
            within = nearest(first), nearest(second)
            for _, there, back in layer_scores(first, second, within, SIZES, centred=False):
                total += (there["recall_at_1"] or 0) + (back["recall_at_1"] or 0)
    return total


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--data", help="data directory; default: the embedded testbed")
    parser.add_argument("--sentences", type=int, default=32)
    parser.add_argument("--pairs", type=int, default=len(RETRIEVAL_PAIRS), help="the first so many of the 26")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    config = RetrieveConfig(model=given.model, data=given.data, output="unused", max_sentences=given.sentences)
    chosen = choose_pairs(config, open_data(config.data))
    chosen = replace(chosen, pairs=chosen.pairs[: given.pairs])
    languages = {language: chosen.files[language] for pair in chosen.pairs for language in pair}
    sentences = load_translations(languages, config.max_sentences)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    vectorizer = Vectorizer(load_encoder(find_model(config.model)), Encoding(64, device))
    for texts in sentences.values():
        vectorizer.compute(texts)  # tokenising and first calls are no part of either side
    recalls = [side(vectorizer, chosen.pairs, sentences) for side in (encode_once, encode_per_pair)]
    if abs(recalls[0] - recalls[1]) > 1e-6 * max(1.0, recalls[0]):
        raise SystemExit(f"the two sides disagree: {recalls[0]} and {recalls[1]}")
    entry = compare(
        f"retrieval, seconds: {len(chosen.pairs)} pairs at {vectorizer.encoder.depth + 1} layers, "
        f"{given.sentences} sentences, {Path(given.model).name}",
        lambda: wall_seconds(lambda: encode_once(vectorizer, chosen.pairs, sentences)),
        lambda: wall_seconds(lambda: encode_per_pair(vectorizer, chosen.pairs, sentences)),
        goal=10.0, ratio="theirs / ours", rounds=given.rounds, warm_up=False,
    )  # fmt: skip
    write("retrieval", [entry])


if __name__ == "__main__":
    main()
