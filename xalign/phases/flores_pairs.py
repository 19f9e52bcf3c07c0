"""What the analyses of FLORES-200 read: language pairs, their translated sentences, and which of them a task saw."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from xalign.config import DistancesConfig, RetrieveConfig
from xalign.data.flores import lines_among, load_flores
from xalign.data.languages import Language, find, parse_pair
from xalign.data.layout import DataDirectory
from xalign.data.topics import load_topics
from xalign.errors import UsageError, XalignError

SPLIT = "devtest"
ENGLISH = "eng"
Pair = tuple[Language, Language]


@dataclass(frozen=True)
class ChosenPairs:
    """Language pairs to measure, and the FLORES-200 file of each of their languages.

    Attributes:
        missing: the default pairs that the data lack.
        asked_for: whether the pairs were named, so that each of them must be measured.
    """

    pairs: list[Pair]
    files: dict[Language, Path]
    missing: list[str]
    asked_for: bool


def pair_name(pair: Pair) -> str:
    """``deu-eng``."""
    return f"{pair[0].code}-{pair[1].code}"


def choose_pairs(config: RetrieveConfig | DistancesConfig, data: DataDirectory) -> ChosenPairs:
    """The pairs to measure. The default list means those that the data has; any other is meant as it stands.

    Raises:
        UsageError: an unknown language, a pair named twice, or a language without FLORES-200 sentences.
    """
    wanted = [parse_pair(pair) for pair in config.pairs]
    if len({frozenset(pair) for pair in wanted}) < len(wanted) or not wanted:
        raise UsageError(
            f"pairs={','.join(config.pairs) or 'none'}: name each pair once, in one direction; at least one"
        )
    there = set(data.flores_languages(SPLIT))
    pairs = [pair for pair in wanted if there.issuperset(pair)]
    by_default = next(field.default for field in dataclasses.fields(config) if field.name == "pairs")
    asked_for = config.pairs != by_default
    if asked_for or not pairs:
        pairs = wanted  # and the first language without a file is an error
    files = {language: data.flores(language, SPLIT) for pair in pairs for language in pair}
    return ChosenPairs(pairs, files, [pair_name(pair) for pair in wanted if pair not in pairs], asked_for)


def load_translations(files: Mapping[Language, Path], most: int | None) -> dict[Language, list[str]]:
    """The first `most` sentences of each language, line n of one translating line n of every other.

    Raises:
        XalignError: the files differ in their number of sentences, or one is damaged.
    """
    sentences = {language: load_flores(path) for language, path in files.items()}
    first = next(iter(files))
    for language, lines in sentences.items():
        if len(lines) != len(sentences[first]):
            raise XalignError(
                f"{files[language]}: {len(lines)} sentences where {files[first].name} has {len(sentences[first])}; "
                "lines must be translations of each other, so restore the file"
            )
    if len(sentences[first]) < 2:
        raise XalignError(f"{files[first]}: one sentence; there must be others to tell a translation from")
    return {language: lines[:most] for language, lines in sentences.items()}


def topic_files(data: DataDirectory) -> list[Path]:
    """The English files that say which sentences a topic model may have seen: FLORES-200's, SIB-200's train and dev.

    Raises:
        UsageError: one of them is missing.
    """
    english = find(ENGLISH)
    return [data.flores(english, SPLIT), data.topics(english, "train"), data.topics(english, "dev")]


def seen_by_topic_models(files: Iterable[Path], most: int | None) -> list[int]:
    """Which of the first `most` sentences of FLORES-200 are training or development data of SIB-200, by their text.

    Args:
        files: from `topic_files`.
    """
    flores, *topics = files
    texts = [sentence.text for path in topics for sentence in load_topics(path)]
    return lines_among(load_flores(flores)[:most], texts)
