"""FLORES-200: one sentence a line, line n of every language a translation of line n of every other.

NLLB Team 2022, "No Language Left Behind".
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from xalign.data.lines import read_lines
from xalign.errors import XalignError


@dataclass(frozen=True)
class FloresOrigin:
    """Where a line comes from, in all languages alike: `article` is a URL, `domain` is wikinews, wikibooks, …"""

    article: str
    domain: str


def load_flores(path: Path) -> list[str]:
    """Read the sentences of one language and split, in the order of the file.

    Raises:
        UsageError: no such file.
        XalignError: an empty line, with file and line: dropping it would shift all translations after it.
    """
    sentences = [line.strip() for line in read_lines(path)]
    for number, sentence in enumerate(sentences, start=1):
        if not sentence:
            raise XalignError(f"{path}:{number}: an empty line; lines must match those of the other languages")
    return sentences


def load_metadata(path: Path) -> list[FloresOrigin]:
    """Read the origins of the lines of a split, in the order of its files: tab-separated, with a header.

    Raises:
        UsageError: no such file.
        XalignError: the header names no URL or domain, or a line has another number of columns.
    """
    header, *rows = [line.split("\t") for line in read_lines(path)]
    if not {"URL", "domain"} <= set(header):
        raise XalignError(f"{path}:1: the header names no URL and domain, tab-separated")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise XalignError(f"{path}:{number}: {len(row)} tab-separated columns where the header has {len(header)}")
    return [FloresOrigin(row[header.index("URL")], row[header.index("domain")]) for row in rows]


def lines_among(sentences: Sequence[str], texts: Iterable[str]) -> list[int]:
    """Indices of the sentences that also stand in `texts`, whatever their spacing and Unicode form."""
    known = {normalised(text) for text in texts}
    return [index for index, sentence in enumerate(sentences) if normalised(sentence) in known]


def normalised(text: str) -> str:
    """A text as it is compared with others."""
    # No blanks at all: words of a treebank are joined by blanks where running text has none.
    return "".join(unicodedata.normalize("NFKC", text).split())
