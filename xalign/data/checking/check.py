"""Check a data directory: all that it holds, or just what is asked for, which must then be there and sound."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from xalign.data.checking.corpora import (
    Checked,
    check_dictionary,
    check_flores,
    check_mono,
    check_pair,
    check_topics,
    check_treebank,
)
from xalign.data.checking.overlap import HeldOutSentences
from xalign.data.dictionaries import dictionary_files
from xalign.data.fetching.record import changed_files, read_record
from xalign.data.inventory import monolingual_files
from xalign.data.languages import Language, find, parse_pair
from xalign.data.layout import FLORES_SPLITS, TOPIC_SPLITS, TREEBANK_SPLITS, DataDirectory
from xalign.errors import UsageError, XalignError

KINDS = ("parallel", "ud", "sib200", "flores200", "muse", "mono")
BY_LANGUAGE = ("ud", "sib200", "flores200")  # what `--languages` alone asks for


@dataclass(frozen=True)
class Asked:
    """What must be there: kinds, pairs of parallel text, languages in the splits.

    Raises:
        UsageError: an unknown kind, pair or split.
    """

    kinds: tuple[str, ...] = ()
    pairs: tuple[str, ...] = ()
    languages: tuple[Language, ...] = ()
    splits: tuple[str, ...] = ("test",)

    def __post_init__(self) -> None:
        for kind in self.kinds:
            if kind not in KINDS:
                raise UsageError(f"unknown kind of data {kind!r}; there are {', '.join(KINDS)}")
        for split in self.splits:
            if split not in TREEBANK_SPLITS:
                raise UsageError(f"unknown split {split!r}; there are {', '.join(TREEBANK_SPLITS)}")
        for pair in self.pairs:
            parse_pair(pair)

    def __bool__(self) -> bool:
        return bool(self.kinds or self.pairs or self.languages)

    @property
    def wanted_kinds(self) -> tuple[str, ...]:
        """The kinds to look at: those named, and those that the pairs and languages imply; all, if nothing is asked."""
        kinds = {*self.kinds, *(("parallel",) if self.pairs else ())}
        if self.languages and not set(self.kinds) - {"parallel"}:
            kinds.update(BY_LANGUAGE)
        return tuple(kind for kind in KINDS if kind in kinds) if self else KINDS


def check(data: DataDirectory, asked: Asked | None = None) -> Iterator[Checked]:
    """Look at what is there, one thing after another, reading only what is asked for."""
    asked = asked or Asked()
    held_out = HeldOutSentences(data)
    kinds = asked.wanted_kinds
    if "parallel" in kinds:
        for pair in asked.pairs or data.available_pairs():
            if _pair_is_there(data, pair):
                yield check_pair(data, pair, held_out)
    if "ud" in kinds:
        for split in TREEBANK_SPLITS:
            for language, files in data.treebanks(split).items():
                if _among(language, asked):
                    yield from (check_treebank(path, language, split, held_out) for path in files.values())
    if "sib200" in kinds:
        for split in TOPIC_SPLITS:
            if languages := [each for each in data.topic_languages(split) if _among(each, asked)]:
                yield check_topics(data, split, languages, held_out)
    if "flores200" in kinds:
        for split in FLORES_SPLITS:
            if languages := [each for each in data.flores_languages(split) if _among(each, asked)]:
                yield check_flores(data, split, languages)
    if "muse" in kinds:
        for both, path in data.dictionaries().items():
            if any(_among(language, asked) for language in both):
                yield check_dictionary(path)
    if "mono" in kinds:
        for path, language in _monolingual(data):
            if _among(language, asked):
                yield check_mono(path, language, held_out)
    if not asked and read_record(data.path):
        yield Checked("sources", "sources.json", {"downloads": len(read_record(data.path))}, changed_files(data.path))


def missing(data: DataDirectory, asked: Asked) -> list[str]:
    """What was asked for and is not there, one line each, with what is there instead."""
    lines = []
    for pair in asked.pairs:
        try:
            data.pair_files(pair)
        except XalignError as error:
            lines.append(str(error))
    kinds = asked.wanted_kinds if asked else ()
    for language in asked.languages:
        for kind in kinds:
            lines += _missing_of(data, kind, language, asked.splits)
    if not asked.languages:
        lines += [f"{data.path}: no {kind}" for kind in kinds if kind in asked.kinds and not _any(data, kind)]
    return lines


def gaps(data: DataDirectory) -> list[str]:
    """The languages of the parallel corpora for which some test or dictionary is absent, one line each."""
    lines = []
    languages = dict.fromkeys(language for pair in data.available_pairs() for language in parse_pair(pair))
    for language in sorted(languages, key=lambda language: language.code):
        lacking = [
            *(f"UD {split}" for split in ("test",) if language not in data.treebanks(split)),
            *(f"SIB-200 {split}" for split in ("train", "test") if language not in data.topic_languages(split)),
            *(f"FLORES-200 {split}" for split in FLORES_SPLITS if language not in data.flores_languages(split)),
        ]
        english = find("eng")
        if language != english and not dictionary_files(data, english, language):
            lacking.append("a dictionary with English")
        if lacking:
            lines.append(f"{language.code} ({language.name}) has no {', '.join(lacking)}")
    return lines


def _missing_of(data: DataDirectory, kind: str, language: Language, splits: Sequence[str]) -> list[str]:
    lines = []
    for split in splits:
        try:
            if kind == "ud":
                data.treebank(language, split)
            elif kind == "sib200":
                data.topics(language, split)
            elif kind == "flores200" and split != "train":  # it has none
                data.flores(language, "devtest" if split == "test" else split)
            elif kind == "mono":
                data.mono(language)
            elif kind == "muse" and language.code != "eng" and not dictionary_files(data, find("eng"), language):
                raise UsageError(f"{data.path / 'muse'}: no dictionary of English and {language.name}")
        except XalignError as error:
            lines.append(str(error))
    return list(dict.fromkeys(lines))


def _any(data: DataDirectory, kind: str) -> bool:
    found = {
        "parallel": data.available_pairs,
        "ud": lambda: [split for split in TREEBANK_SPLITS if data.treebanks(split)],
        "sib200": lambda: [split for split in TOPIC_SPLITS if data.topic_languages(split)],
        "flores200": lambda: [split for split in FLORES_SPLITS if data.flores_languages(split)],
        "muse": data.dictionaries,
        "mono": lambda: monolingual_files(data.path),
    }
    return bool(found[kind]())


def _pair_is_there(data: DataDirectory, pair: str) -> bool:
    """Whether a pair has a folder at all: without one it is missing, and with a bad one it is broken."""
    languages = set(parse_pair(pair))
    return any(set(parse_pair(folder)) == languages for folder in data.available_pairs())


def _among(language: Language, asked: Asked) -> bool:
    return not asked.languages or language in asked.languages


def _monolingual(data: DataDirectory) -> Iterator[tuple[Path, Language]]:
    for code in monolingual_files(data.path):
        try:
            language = find(code)
        except UsageError:
            continue  # a file that no command reads
        yield data.mono(language), language
