"""Pairs of vectors of translations, as a task's head would see them: sentences, or words.

A topic's vector is the pooled sentence. For POS it is that of pieces: in two translated sentences a piece of each that
are nearest to one another (mutual argmax of the cosine, as SimAlign takes them; Jalili Sabet et al. 2020). Whole words
would need a tokeniser for languages without spaces.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from xalign.analysis.vectors import Vectorizer
from xalign.data.tokens import tokenize_cached
from xalign.encoder import Encoder
from xalign.engine.batch import pad
from xalign.frozen_features import Encoding
from xalign.hidden_states import content_mask, hidden_state
from xalign.pair_batches import Layout


def sentence_vectors(
    encoder: Encoder, source: Sequence[str], target: Sequence[str], encoding: Encoding, *, pooling: str, length: int
) -> tuple[Tensor, Tensor]:
    """Pooled last-layer vectors of sentences and their translations: (n, d) each."""
    vectorizer = Vectorizer(encoder, encoding, pooling=pooling, max_length=length)
    first, second = (torch.from_numpy(vectorizer.compute(side, [encoder.depth])[0]) for side in (source, target))
    return first, second


def word_vectors(
    encoder: Encoder,
    source: Sequence[str],
    target: Sequence[str],
    encoding: Encoding,
    *,
    length: int,
    layer: int | None = None,
) -> tuple[Tensor, Tensor]:
    """States of pieces that are each other's nearest in translated sentences: (m, d) each.

    Args:
        layer: which ``hidden_states[k]``; None = the last.
    """
    pieces = corresponding_pieces(encoder, source, target, encoding, length=length, layer=layer)
    found = [each.vectors for each in pieces]
    empty = torch.empty(0, encoder.width)
    first, second = (torch.cat([empty, *(pair[side] for pair in found)]) for side in (0, 1))
    return first, second


@dataclass(frozen=True)
class Pieces:
    """The pieces of a sentence and its translation that correspond: their tokens (k,), and their states (k, d)."""

    places: tuple[np.ndarray, np.ndarray]
    vectors: tuple[Tensor, Tensor]


def corresponding_pieces(
    encoder: Encoder,
    source: Sequence[str],
    target: Sequence[str],
    encoding: Encoding,
    *,
    length: int,
    layer: int | None = None,
) -> Iterator[Pieces]:
    """Pieces that are each other's nearest at a layer (None: the last), for each pair of sentences in turn."""
    layout = _layout(encoder, length)
    depth = encoder.depth if layer is None else layer
    stores = [tokenize_cached(list(side), encoder.tokenizer) for side in (source, target)]
    for start in range(0, len(source), encoding.batch_size):
        rows = range(start, min(start + encoding.batch_size, len(source)))
        sides = [
            _states(encoder, [layout.sentence(store[i]) for i in rows], layout.padding, encoding, depth)
            for store in stores
        ]
        for (where, first), (there, second) in zip(*sides, strict=True):
            kept, nearest = mutually_nearest(first, second)
            yield Pieces((where[kept].numpy(), there[nearest].numpy()), (first[kept], second[nearest]))


def piece_vectors(encoder: Encoder, texts: Sequence[str], encoding: Encoding, *, length: int, layer: int) -> Tensor:
    """``hidden_states[layer]`` of all content pieces of sentences: (m, d)."""
    layout = _layout(encoder, length)
    inputs = [layout.sentence(ids) for ids in tokenize_cached(list(texts), encoder.tokenizer)]
    starts = range(0, len(inputs), encoding.batch_size)
    found = [_states(encoder, inputs[i : i + encoding.batch_size], layout.padding, encoding, layer) for i in starts]
    return torch.cat([torch.empty(0, encoder.width), *(states for batch in found for _, states in batch)])


def _layout(encoder: Encoder, length: int) -> Layout:
    room = encoder.effective_length(length)
    return Layout.of(encoder.tokenizer, encoder.special_ids.tolist(), encoder.model.config.model_type, room, room)


def _states(
    encoder: Encoder, rows: list[np.ndarray], padding: int, encoding: Encoding, layer: int
) -> list[tuple[Tensor, Tensor]]:
    """Each sentence's content pieces: which tokens they are (pieces,), and their states (pieces, d)."""
    ids = torch.from_numpy(pad(rows, padding)).to(encoding.device)
    with torch.inference_mode(), encoding.autocast():
        states = hidden_state(encoder.base, ids, ids != padding, layer).float()
    content = content_mask(ids, encoder.special_ids)
    return [(kept.nonzero().flatten().cpu(), state[kept].cpu()) for state, kept in zip(states, content, strict=True)]


def mutually_nearest(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Which rows of (n, d) and (m, d) are each other's nearest by cosine: (k,) indices into each."""
    if not len(first) or not len(second):
        nothing = torch.empty(0, dtype=torch.long)
        return nothing, nothing
    cosines = functional.normalize(first, dim=-1) @ functional.normalize(second, dim=-1).T
    there, back = cosines.argmax(dim=1), cosines.argmax(dim=0)
    rows = torch.arange(len(first))
    chosen = rows[back[there] == rows]
    return chosen, there[chosen]
