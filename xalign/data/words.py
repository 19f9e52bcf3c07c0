"""Where the words of a sentence stand: spans of characters, so that a word can be found again among subword pieces.

Between blanks stands a word, with the punctuation around it cut off. Scripts that put no blanks are cut by longest
match against the words of the dictionaries, and into single characters where no dictionary word begins.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from xalign.data.languages import Language

UNSPACED = frozenset({"Jpan", "Hans", "Hant", "Thai", "Laoo", "Khmr", "Mymr", "Tibt"})
LONGEST = 12  # characters of a dictionary word that is looked for
_TOKEN = re.compile(r"\S+")
_ASCII = re.compile(r"[0-9A-Za-z]+")

Spans = list[tuple[int, int]]


@dataclass(frozen=True)
class SplitSentences:
    """Sentences, and the (start, end) characters of the words in each."""

    texts: Sequence[str]
    spans: Sequence[Spans]

    def __len__(self) -> int:
        return len(self.texts)

    def words(self, index: int) -> list[str]:
        """The words of one sentence."""
        return [self.texts[index][start:end] for start, end in self.spans[index]]

    def take(self, indices: Sequence[int]) -> SplitSentences:
        """Some of the sentences."""
        return SplitSentences([self.texts[i] for i in indices], [self.spans[i] for i in indices])


def split_at_blanks(text: str) -> Spans:
    """(start, end) of all that stands between blanks: the words that a file of links counts."""
    return [match.span() for match in _TOKEN.finditer(text)]


def split_words(text: str, language: Language, vocabulary: Collection[str] = ()) -> Spans:
    """(start, end) of each word of a sentence; what holds no letter or digit is no word.

    Args:
        vocabulary: known words in lower case, with which text without blanks is cut.
    """
    trimmed = (_without_edges(text, start, end) for start, end in split_at_blanks(text))
    tokens = [span for span in trimmed if span[0] < span[1]]
    if language.script not in UNSPACED:
        return tokens
    return [span for start, end in tokens for span in _longest_matches(text, start, end, vocabulary)]


def _carries_content(character: str) -> bool:
    return unicodedata.category(character)[0] in "LNM"


def _without_edges(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and not _carries_content(text[start]):
        start += 1
    while start < end and not _carries_content(text[end - 1]):
        end -= 1
    return start, end


def _longest_matches(text: str, start: int, end: int, vocabulary: Collection[str]) -> Spans:
    spans: Spans = []
    while start < end:
        latin = _ASCII.match(text, start, end)
        lengths = range(min(LONGEST, end - start), 1, -1)
        length = next((n for n in lengths if text[start : start + n].lower() in vocabulary), 1)
        stop = latin.end() if latin else start + length
        if _carries_content(text[start]):
            spans.append((start, stop))
        start = stop
    return spans
