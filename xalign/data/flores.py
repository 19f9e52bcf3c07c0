"""FLORES-200: one sentence a line, line n of every language a translation of line n of every other.

NLLB Team 2022, "No Language Left Behind".
"""

from __future__ import annotations

from pathlib import Path

from xalign.data.lines import read_lines
from xalign.errors import XalignError


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
