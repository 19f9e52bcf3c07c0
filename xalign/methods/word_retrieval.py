"""How well words are aligned in context: whether a word's nearest word of the other language is the one linked to it.

Source: Gaschi et al. 2023, arXiv 2306.02790: cosine 1-NN accuracy, at every layer and in both directions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from xalign.encoder import Encoder
from xalign.frozen_features import Encoding
from xalign.methods.linked_words import LinkedPairs
from xalign.methods.word_pieces import WordPieces, word_vectors


@dataclass(frozen=True)
class WordRetrieval:
    """1-NN accuracy at one layer from one language to the other.

    Attributes:
        accuracy: among the words of the other language (weak alignment).
        strong: among the words of both languages, the word itself left out (strong alignment).
    """

    layer: int
    forward: bool
    accuracy: float
    strong: float


def measure(encoder: Encoder, pairs: LinkedPairs, encoding: Encoding, *, max_length: int) -> list[WordRetrieval]:
    """Both directions at every hidden state, layer by layer; links that lost a word to the length count as errors."""
    pieces = WordPieces(encoder, max_length)
    layers = range(encoder.depth + 1)
    spans = [pairs.spans(n) for n in range(len(pairs))]
    sides = []
    for side, split in enumerate((pairs.source, pairs.target)):
        sentences = pieces.find(split.texts, [pair[side] for pair in spans])
        found = word_vectors(encoder, sentences, layers, encoding, pieces.layout.padding)
        sides.append(torch.cat(found, dim=1))  # (layers, words, d)
    measured = []
    for layer in layers:
        source, target = sides[0][layer], sides[1][layer]
        for forward, queries, candidates in ((True, source, target), (False, target, source)):
            measured.append(WordRetrieval(layer, forward, *nearest_accuracy(queries, candidates)))
    return measured


def nearest_accuracy(queries: Tensor, candidates: Tensor) -> tuple[float, float]:
    """Share of rows whose nearest candidate is that of the same row: (n, d) against (n, d), weak and strong.

    A vector of zeros finds nothing; in the strong form it is no candidate either.
    """
    count = len(queries)
    if not count:
        return float("nan"), float("nan")
    rows, columns = (functional.normalize(vectors, dim=-1) for vectors in (queries, candidates))
    empty = [vectors.norm(dim=-1) == 0 for vectors in (rows, columns)]
    across = (rows @ columns.T).masked_fill(empty[1][None, :], -torch.inf)  # (n, n)
    within = (rows @ rows.T).masked_fill(empty[0][None, :], -torch.inf).fill_diagonal_(-torch.inf)
    own = across.diagonal()
    best, index = across.max(dim=1)
    right = (index == torch.arange(count)) & ~empty[0] & best.isfinite()
    strong = right & (own > within.max(dim=1).values)
    return float(right.double().mean()), float(strong.double().mean())
