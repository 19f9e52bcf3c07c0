"""Sentences of the test sets that stand in training text, whatever their spacing and Unicode form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from xalign.data.flores import load_flores, normalised
from xalign.data.languages import Language
from xalign.data.layout import FLORES_SPLITS, DataDirectory
from xalign.data.topics import load_topics
from xalign.data.treebank import load_treebank
from xalign.errors import XalignError

LONG = 20  # characters without blanks; shorter sentences coincide by chance ("Yes.", "Page 3")
SHOWN = 60
TEXT_COMMENT = "# text = "


class HeldOutSentences:
    """The sentences of all test sets in a data directory: FLORES-200, SIB-200's and Universal Dependencies' tests.

    Both splits of FLORES-200 count, for both are measured on. A file that cannot be read is left out here: the check
    of that file says so.
    """

    def __init__(self, data: DataDirectory) -> None:
        self.data = data
        self.of = cache(self._of)

    def _of(self, language: Language) -> dict[str, frozenset[str]]:
        """Of one language: normalised sentence → the test sets that have it."""
        found: dict[str, set[str]] = {}
        for name, path in self._files(language):
            try:
                sentences = _sentences(name, path)
            except XalignError:
                continue
            for sentence in sentences:
                found.setdefault(normalised(sentence), set()).add(name)
        found.pop("", None)
        return {sentence: frozenset(names) for sentence, names in found.items()}

    def _files(self, language: Language) -> Iterator[tuple[str, Path]]:
        for split in FLORES_SPLITS:
            if language in self.data.flores_languages(split):
                yield f"FLORES-200 {split}", self.data.flores(language, split)
        if language in self.data.topic_languages("test"):
            yield "SIB-200 test", self.data.topics(language, "test")
        for path in self.data.treebanks("test").get(language, {}).values():
            yield "UD test", path

    def overlaps(self, texts: Iterable[str], language: Language) -> list[str]:
        """One line for each test set of which sentences stand in `texts`, with how many, how many long, and one."""
        held_out = self.of(language)
        lines: Counter[str] = Counter()
        long: Counter[str] = Counter()
        example: dict[str, str] = {}
        for text in texts:
            compared = normalised(text)
            if compared not in held_out:
                continue
            for name in held_out[compared]:
                lines[name] += 1
                if len(compared) >= LONG:
                    long[name] += 1
                if len(text) > len(example.get(name, "")):
                    example[name] = text
        return [
            f"{lines[name]:,} lines are {language.code} sentences of {name}, {long[name]:,} of them of {LONG} "
            f"characters or more, such as {_short(example[name])!r}"
            for name in sorted(lines)
        ]


def _sentences(name: str, path: Path) -> list[str]:
    if name.startswith("FLORES"):
        return load_flores(path)
    if name.startswith("SIB"):
        return [each.text for each in load_topics(path)]
    return running_text(path)


def running_text(path: Path) -> list[str]:
    """The sentences of a treebank as words, and as the text that they stand for: contractions differ."""
    words = ["".join(sentence.words) for sentence in load_treebank(path)]
    lines = path.read_text(encoding="utf-8").split("\n")
    return words + [line.removeprefix(TEXT_COMMENT) for line in lines if line.startswith(TEXT_COMMENT)]


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
