"""Word links from an encoder's own hidden states: words of two sentences that are nearest to each other.

Source: Jalili Sabet et al. 2020 (SimAlign), arXiv 2004.08728: mutual argmax, and itermax, which repeats it with the
words that are linked already put back.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from xalign.data.words import SplitSentences
from xalign.encoder import Encoder
from xalign.frozen_features import Encoding
from xalign.methods.word_aligners import Links
from xalign.methods.word_pieces import WordPieces, word_vectors

ROUNDS = 2
CHUNK = 2048  # pairs whose word vectors are in memory at once
DISCOUNT = 0.9  # of the similarity of two words of which one is linked already


def mutual_argmax(similarity: Tensor) -> Tensor:
    """(n, m) booleans, true where two words are each other's most similar one."""
    if not similarity.numel():
        return torch.zeros_like(similarity, dtype=torch.bool)
    rows, columns = similarity.argmax(dim=1), similarity.argmax(dim=0)
    found = torch.zeros_like(similarity, dtype=torch.bool)
    found[torch.arange(len(rows)), rows] = True
    back = torch.zeros_like(found)
    back[columns, torch.arange(len(columns))] = True
    return found & back & similarity.isfinite()


def itermax(similarity: Tensor) -> Tensor:
    """Mutual argmax, and once more with linked words discounted; two words that are both linked stay apart.

    Args:
        similarity: (n, m), not negative: a discount has to make a similarity smaller.
    """
    links = mutual_argmax(similarity)
    for _ in range(ROUNDS - 1):
        rows, columns = links.any(dim=1, keepdim=True), links.any(dim=0, keepdim=True)
        if rows.all() or columns.all():
            break
        weighted = torch.where(rows | columns, DISCOUNT * similarity, similarity)
        links = links | mutual_argmax(weighted.masked_fill(rows & columns, -torch.inf))
    return links


MATCHINGS = {"argmax": mutual_argmax, "itermax": itermax}


class NeuralAligner:
    """Links words by the cosine of their vectors at one layer; a word without pieces stays unlinked."""

    def __init__(self, encoder: Encoder, *, layer: int, matching: str, max_length: int, encoding: Encoding) -> None:
        self.encoder, self.layer, self.encoding = encoder, layer, encoding
        self.matching = MATCHINGS[matching]
        self.pieces = WordPieces(encoder, max_length)

    def align(self, source: SplitSentences, target: SplitSentences) -> list[Links]:
        """See `xalign.methods.word_aligners.WordAligner.align`."""
        found: list[Links] = []
        for start in range(0, len(source), CHUNK):
            chosen = range(start, min(start + CHUNK, len(source)))
            found += self._align(source.take(chosen), target.take(chosen))
        return found

    def _align(self, source: SplitSentences, target: SplitSentences) -> list[Links]:
        padding = self.pieces.layout.padding
        sides = [
            word_vectors(self.encoder, self.pieces.find(side.texts, side.spans), [self.layer], self.encoding, padding)
            for side in (source, target)
        ]
        return [self._links(first[0], second[0]) for first, second in zip(*sides, strict=True)]

    def _links(self, source: Tensor, target: Tensor) -> Links:
        there, here = (vectors.norm(dim=-1) > 0 for vectors in (source, target))
        cosines = functional.normalize(source, dim=-1) @ functional.normalize(target, dim=-1).T  # (n, m)
        similarity = (cosines + 1) / 2
        similarity = similarity.masked_fill(~(there[:, None] & here[None, :]), -torch.inf)
        return [(int(i), int(j)) for i, j in self.matching(similarity).nonzero().tolist()]
