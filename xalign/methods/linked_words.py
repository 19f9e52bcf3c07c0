"""Sentence pairs with the words that an aligner linked in them: what realignment trains on and is measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xalign.data.words import SplitSentences
from xalign.methods.word_aligners import Links
from xalign.methods.word_pieces import Span


@dataclass(frozen=True)
class LinkedPairs:
    """n sentence pairs and the links of each.

    Attributes:
        source, target: the sentences, split into words.
        links: for each pair the linked words as (i, j).
    """

    source: SplitSentences
    target: SplitSentences
    links: Sequence[Links]

    def __len__(self) -> int:
        return len(self.links)

    @property
    def words(self) -> int:
        """All links together."""
        return sum(map(len, self.links))

    def spans(self, index: int) -> tuple[list[Span], list[Span]]:
        """The characters of the linked words of one pair, link by link: a word in two links stands there twice."""
        first, second = self.source.spans[index], self.target.spans[index]
        return [first[i] for i, _ in self.links[index]], [second[j] for _, j in self.links[index]]

    def without_identical(self) -> LinkedPairs:
        """The same without links between words that are spelt alike, but for case: they say nothing of meaning."""
        kept = []
        for n, links in enumerate(self.links):
            first, second = self.source.words(n), self.target.words(n)
            kept.append([(i, j) for i, j in links if first[i].lower() != second[j].lower()])
        return LinkedPairs(self.source, self.target, kept)

    def linked(self) -> LinkedPairs:
        """The pairs that have a link at all."""
        there = [n for n, links in enumerate(self.links) if links]
        return self.take(there)

    def take(self, indices: Sequence[int]) -> LinkedPairs:
        """Some of the pairs."""
        return LinkedPairs(self.source.take(indices), self.target.take(indices), [self.links[n] for n in indices])


def one_of_each(pairs: LinkedPairs, most: int, seed: int) -> LinkedPairs:
    """At most `most` links, of which no two have the same source word or the same target word, case ignored.

    A nearest neighbour among them is then right or wrong: no candidate is there twice. Links come in a random order
    that depends on the seed alone, but stay in their sentences.
    """
    every = [(n, link) for n, links in enumerate(pairs.links) for link in links]
    used: tuple[set[str], set[str]] = (set(), set())
    kept: dict[int, Links] = {}
    count = 0
    for place in np.random.default_rng(seed).permutation(len(every)):
        n, link = every[place]
        forms = pairs.source.words(n)[link[0]].lower(), pairs.target.words(n)[link[1]].lower()
        if count == most or forms[0] in used[0] or forms[1] in used[1]:
            continue
        used[0].add(forms[0])
        used[1].add(forms[1])
        kept.setdefault(n, []).append(link)
        count += 1
    chosen = sorted(kept)
    return LinkedPairs(pairs.source.take(chosen), pairs.target.take(chosen), [sorted(kept[n]) for n in chosen])
