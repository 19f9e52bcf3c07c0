"""Bilingual dictionaries: MUSE's (two tokens a line), and lexicons with more columns.

Conneau et al. 2018, "Word Translation without Parallel Data". MUSE pairs each language with English and a few with
each other; the rest are joined through English. It has no Kazakh: a lexicon stands in, labelled an extension.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from transformers import PreTrainedTokenizerBase as Tokenizer

from xalign.data.languages import Language, find
from xalign.data.layout import DataDirectory
from xalign.data.lines import read_lines
from xalign.data.tokens import tokenize_cached
from xalign.errors import XalignError

PIVOT = "eng"
BOUNDARY = "▁"  # the piece of SentencePiece that says no more than that a word begins
LAST_SHARE = 1 / 3  # of a dictionary that ends before the wanted ranks

Translations = dict[str, list[str]]  # source word → its translations; words by rank


@dataclass(frozen=True)
class WordPairs:
    """Words with one translation each.

    Attributes:
        source, target: the words, item i of one translating item i of the other.
        files: the dictionaries that they were read from.
        word_ranks_used: first and one past the last rank of the source word, counted over unique words.
        pivoted: whether two dictionaries were joined through English.
        extension: whether a lexicon other than MUSE's took part.
    """

    source: list[str]
    target: list[str]
    files: tuple[Path, ...]
    word_ranks_used: tuple[int, int]
    pivoted: bool
    extension: bool

    def __len__(self) -> int:
        return len(self.source)


def load_dictionary(path: Path) -> Translations:
    """Read a dictionary: the first two fields of a line, which tabs part if there are any, else spaces.

    Raises:
        UsageError: no such file.
        XalignError: a line with fewer than two fields, with file and line.
    """
    found: Translations = {}
    for number, line in enumerate(read_lines(path), start=1):
        fields = line.split("\t") if "\t" in line else line.split()
        words = [field.strip() for field in fields[:2]]
        if len(words) < 2 or not all(words):
            raise XalignError(f"{path}:{number}: not a word and its translation, parted by a tab or a space")
        found.setdefault(words[0], []).append(words[1])
    return found


def dictionary_files(data: DataDirectory, source: Language, target: Language) -> tuple[Path, ...]:
    """The dictionary of a pair in either direction, or the two that join it through English, or none."""
    found = data.dictionaries()
    direct = _either_way(found, source, target)
    if direct is not None:
        return (direct,)
    if find(PIVOT) in (source, target):
        return ()
    halves = [found.get((find(PIVOT), language)) for language in (source, target)]
    return tuple(half for half in halves if half) if all(halves) else ()


def languages_from(data: DataDirectory, source: Language) -> list[Language]:
    """The languages that a dictionary of their own leads to from `source`, read in either direction, by code."""
    found = {b if a == source else a for a, b in data.dictionaries() if source in (a, b)}
    return sorted(found, key=lambda language: language.code)


def translations_from(path: Path, data: DataDirectory, source: Language, target: Language) -> Translations:
    """A dictionary read from `source` to `target`, turned round if it is the other way; identical strings left out.

    Args:
        path: the one file of `dictionary_files`.

    Raises:
        XalignError: a damaged dictionary.
    """
    turned = data.dictionaries().get((source, target)) != path
    found: Translations = {}
    for word, translations in load_dictionary(path).items():
        for translation in translations:
            a, b = (translation, word) if turned else (word, translation)
            if a != b and b not in found.setdefault(a, []):
                found[a].append(b)
    return {word: translations for word, translations in found.items() if translations}


def load_word_pairs(data: DataDirectory, source: Language, target: Language, ranks: Sequence[int]) -> WordPairs | None:
    """The words of a pair whose source words have certain ranks; None where no dictionary leads from one to the other.

    Pairs of identical strings are left out (names and numbers, at distance 0 in every model), and a source word keeps
    its first translation. Ranks are those of the file's own source words: English ones where English joins two files.

    Args:
        ranks: the first rank, from 0, and one past the last. Of a dictionary that ends before them, the last third.

    Raises:
        XalignError: a damaged dictionary.
    """
    files = dictionary_files(data, source, target)
    if not files:
        return None
    loaded = [load_dictionary(path) for path in files]
    pivoted = len(files) == 2
    ranking = next((words for words, path in zip(loaded, files, strict=True) if _is_muse(path)), loaded[0])
    first, end = ranks
    if first >= len(ranking):
        first, end = round(len(ranking) * (1 - LAST_SHARE)), len(ranking)
    end = min(end, len(ranking))
    chosen: dict[str, str] = {}
    for word in list(ranking)[first:end]:
        left, right = (words.get(word, []) for words in loaded) if pivoted else ([word], loaded[0][word])
        pair = next(((a, b) for a in left for b in right if a != b), None)
        if pair is not None:
            chosen.setdefault(*pair)  # English may lead twice from one word
    pairs = list(chosen.items())
    if not pivoted and data.dictionaries().get((source, target)) != files[0]:
        pairs = [(b, a) for a, b in pairs]
    return WordPairs(
        source=[a for a, _ in pairs],
        target=[b for _, b in pairs],
        files=files,
        word_ranks_used=(first, end),
        pivoted=pivoted,
        extension=not all(map(_is_muse, files)),
    )


def keep_encodable(pairs: WordPairs, tokenizer: Tokenizer) -> tuple[WordPairs, int]:
    """The pairs of which both words have a piece other than ``<unk>`` and a bare word boundary; how many were dropped.

    Raises:
        XalignError: fewer than two are left.
    """
    empty = {tokenizer.unk_token_id, tokenizer.convert_tokens_to_ids(BOUNDARY)}
    stores = [tokenize_cached(words, tokenizer) for words in (pairs.source, pairs.target)]
    kept = [i for i in range(len(pairs)) if all(set(store[i].tolist()) - empty for store in stores)]
    if len(kept) < 2:
        files = " and ".join(map(str, pairs.files))
        raise XalignError(
            f"{files}: of {len(pairs)} word pairs of ranks {pairs.word_ranks_used[0]}-{pairs.word_ranks_used[1]} the "
            f"tokenizer can encode {len(kept)}; take a model that knows both scripts, or other --pairs or word_ranks"
        )
    source, target = ([words[i] for i in kept] for words in (pairs.source, pairs.target))
    return replace(pairs, source=source, target=target), len(pairs) - len(kept)


def _either_way(found: dict[tuple[Language, Language], Path], source: Language, target: Language) -> Path | None:
    """A pair's dictionary; MUSE's of the other direction goes before another lexicon of this one."""
    both = [found[pair] for pair in ((source, target), (target, source)) if pair in found]
    return min(both, key=lambda path: not _is_muse(path), default=None)


def _is_muse(path: Path) -> bool:
    return path.parent.name == "muse"
