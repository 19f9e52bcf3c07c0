"""Words as spans of characters: punctuation, letters with marks, and scripts without blanks."""

from __future__ import annotations

import pytest

from xalign.data.languages import find
from xalign.data.words import SplitSentences, split_at_blanks, split_words


def words(text: str, language: str = "eng", vocabulary: frozenset[str] = frozenset()) -> list[str]:
    return [text[start:end] for start, end in split_words(text, find(language), vocabulary)]


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("Hello, world!", "eng", ["Hello", "world"]),
        ("the well-known “don't” – (x)", "eng", ["the", "well-known", "don't", "x"]),
        ("... -- ?", "eng", []),
        ("हिन्दी में।", "hin", ["हिन्दी", "में"]),  # vowel signs are part of the word
        ("Үйде 3 кітап.", "kaz", ["Үйде", "3", "кітап"]),
    ],
)
def test_a_word_stands_between_blanks_without_the_punctuation_around_it(
    text: str, language: str, expected: list[str]
) -> None:
    assert words(text, language) == expected


def test_text_without_blanks_is_cut_by_the_longest_known_word() -> None:
    known = frozenset({"東京", "東京都", "大学"})
    assert words("東京都の大学、GNOME版", "jpn", known) == ["東京都", "の", "大学", "GNOME", "版"]
    assert words("東京", "jpn") == ["東", "京"]
    assert words("東京 大学", "eng", known) == ["東京", "大学"]  # the language decides, not the text


def test_a_file_of_links_counts_what_stands_between_blanks() -> None:
    text = "Hello , world !"
    assert [text[a:b] for a, b in split_at_blanks(text)] == text.split()
    split = SplitSentences([text, "x"], [split_at_blanks(text), [(0, 1)]])
    assert split.words(0) == ["Hello", ",", "world", "!"] and split.take([1]).texts == ["x"]
