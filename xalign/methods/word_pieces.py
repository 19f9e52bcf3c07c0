"""From the words of a sentence to the pieces that an encoder reads, and back to vectors of words in context.

A word's vector is the sum of its pieces' states (Gaschi et al. 2023). A piece that only marks where a word begins
belongs to no word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from xalign.encoder import Encoder
from xalign.engine.batch import pad
from xalign.frozen_features import Encoding
from xalign.pair_batches import Layout

Span = tuple[int, int]
BLANK = " ▁Ġ"


@dataclass(frozen=True)
class PiecedWords:
    """A sentence and some of its words.

    Attributes:
        ids: (L,) encoder input, special tokens included.
        places: for each word the tokens that hold it; empty where it was cut off or has no piece.
    """

    ids: np.ndarray
    places: list[np.ndarray]


class WordPieces:
    """Finds the pieces of words; sentences longer than `max_length` tokens are cut at their end."""

    def __init__(self, encoder: Encoder, max_length: int) -> None:
        self.tokenizer = encoder.tokenizer
        length = encoder.effective_length(max_length)
        self.layout = Layout.of(
            encoder.tokenizer, encoder.special_ids.tolist(), encoder.model.config.model_type, length, length
        )

    def find(self, texts: Sequence[str], words: Sequence[Sequence[Span]]) -> list[PiecedWords]:
        """Tokenise `texts` and find in each the words at these (start, end) characters."""
        backend = self.tokenizer.backend_tokenizer
        found = []
        for encoded, spans in zip(backend.encode_batch(list(texts), add_special_tokens=False), words, strict=True):
            ids = np.array(encoded.ids, dtype=np.int64)
            kept = ~np.isin(ids, self.layout.special)  # a special token that a text spells out
            ids = ids[kept]
            offsets = np.array(encoded.offsets, dtype=np.int64).reshape(-1, 2)[kept]
            marks = np.array([not token.strip(BLANK) for token in encoded.tokens], dtype=bool)[kept]
            row = self.layout.sentence(ids)
            inside = (np.arange(len(ids)) < len(row) - 2) & ~marks
            places = [
                np.flatnonzero(inside & (offsets[:, 0] < end) & (offsets[:, 1] > start)) + 1 for start, end in spans
            ]
            found.append(PiecedWords(row, places))
        return found


def word_sums(states: Tensor, pieces: Tensor, owner: Tensor, words: int) -> Tensor:
    """Sum the states of each word's pieces.

    Args:
        states: (N, L, d).
        pieces: (T,) places in the flattened (N·L) tokens.
        owner: (T,) the word that a piece belongs to.
        words: how many words there are.

    Returns:
        (words, d) in fp32; zeros for a word without pieces.
    """
    sums = states.new_zeros(words, states.shape[-1], dtype=torch.float32)
    return sums.index_add(0, owner, states.flatten(0, 1)[pieces].float())


def flat_places(sentences: Sequence[PiecedWords], length: int) -> tuple[np.ndarray, np.ndarray]:
    """Places in the flattened batch of all words' pieces, word after word, and the word of each: (T,) and (T,)."""
    rows = [row * length + places for row, sentence in enumerate(sentences) for places in sentence.places]
    if not rows:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    return np.concatenate(rows), np.repeat(np.arange(len(rows)), [len(places) for places in rows])


def word_vectors(
    encoder: Encoder, sentences: Sequence[PiecedWords], layers: Sequence[int], encoding: Encoding, padding: int
) -> list[Tensor]:
    """Vectors of each sentence's words: (layers, words, d), in fp32 in main memory."""
    base = encoder.base.eval().to(encoding.device)
    order = np.argsort([-len(sentence.ids) for sentence in sentences], kind="stable")
    found: list[Tensor] = [torch.empty(0)] * len(sentences)
    for start in range(0, len(order), encoding.batch_size):
        chosen = [sentences[i] for i in order[start : start + encoding.batch_size]]
        ids = torch.from_numpy(pad([sentence.ids for sentence in chosen], padding)).to(encoding.device)
        pieces, owner = (torch.from_numpy(part).to(ids.device) for part in flat_places(chosen, ids.shape[1]))
        counts = [len(sentence.places) for sentence in chosen]
        with torch.inference_mode(), encoding.autocast():
            out = base(input_ids=ids, attention_mask=ids != padding, output_hidden_states=True)
            # Where a stack ends in a norm of its own, only the last hidden state has gone through it.
            states = (*out.hidden_states[:-1], out.last_hidden_state)
            sums = torch.stack([word_sums(states[layer], pieces, owner, sum(counts)) for layer in layers])
        for index, vectors in zip(order[start:], sums.cpu().split(counts, dim=1), strict=False):
            found[index] = vectors
    return found
