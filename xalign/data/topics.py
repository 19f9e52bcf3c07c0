"""SIB-200 topic classification: a tab-separated file with a header, one sentence a line.

Adelani et al. 2024, "SIB-200". Fields that contain quotation marks are quoted as in CSV. A sentence keeps its
`index_id` in every language, which is what lets tests be paired across languages.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from xalign.data.lines import read_lines
from xalign.errors import XalignError

TOPICS: tuple[str, ...] = (
    "entertainment",
    "geography",
    "health",
    "politics",
    "science/technology",
    "sports",
    "travel",
)
HEADER = ["index_id", "category", "text"]


@dataclass(frozen=True)
class TopicSentence:
    """A sentence and its topic, one of `TOPICS`; `id` is shared by its translations."""

    id: str
    topic: str
    text: str


def load_topics(path: Path) -> list[TopicSentence]:
    """Read the sentences of one language and split.

    Raises:
        UsageError: no such file.
        XalignError: a missing header, or a malformed line, with file and line: a wrong number of columns, an open
            quotation mark, an unknown topic, an empty text, an id that occurs twice.
    """
    lines = read_lines(path)
    if _fields(lines[0], f"{path}:1") != HEADER:
        raise XalignError(f"{path}:1: the header is not '{' '.join(HEADER)}', tab-separated")
    sentences: dict[str, TopicSentence] = {}
    for number, line in enumerate(lines[1:], start=2):
        where = f"{path}:{number}"
        fields = _fields(line, where)
        if len(fields) != len(HEADER):
            raise XalignError(f"{where}: {len(fields)} tab-separated columns where SIB-200 has {len(HEADER)}")
        sentence = TopicSentence(id=fields[0].strip(), topic=fields[1].strip(), text=fields[2].strip())
        if sentence.topic not in TOPICS:
            raise XalignError(f"{where}: unknown topic {sentence.topic!r}; it is one of {', '.join(TOPICS)}")
        if not sentence.id or not sentence.text:
            raise XalignError(f"{where}: the {'text' if sentence.id else 'index_id'} is empty")
        if sentence.id in sentences:
            raise XalignError(f"{where}: the index_id {sentence.id} occurs twice; ids must be unique")
        sentences[sentence.id] = sentence
    if not sentences:
        raise XalignError(f"{path}: a header, but no sentences")
    return list(sentences.values())


def _fields(line: str, where: str) -> list[str]:
    """The fields of one line. Each line is parsed alone, so that a stray quotation mark cannot swallow the next."""
    try:
        return next(csv.reader([line], delimiter="\t", strict=True), [])
    except csv.Error as error:
        raise XalignError(f"{where}: not a tab-separated line ({error})") from None
