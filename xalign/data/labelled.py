"""Labelled data of any task, as tab-separated lines: words with tags, and texts with a label.

Words: one a line with its tag, in two columns or in any two of CoNLL-U's ten; a blank line ends a sentence. A comment
``# sent_id = …`` names it; without one it is called by its number. Texts: a header ``id label text`` or
``id label text second``, then one item a line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xalign.data.lines import read_lines
from xalign.data.treebank import SENTENCE_ID, SKIPPED, TaggedSentence
from xalign.errors import XalignError

HEADER = ["id", "label", "text", "second"]


@dataclass(frozen=True)
class LabelledText:
    """A text, or two that are judged together, and their label; `id` is unique within a file."""

    id: str
    label: str
    text: str
    second: str | None = None


def load_tagged(path: Path, labels: Sequence[str], *, word: int = 0, tag: int = 1) -> list[TaggedSentence]:
    """Read sentences of words with tags.

    Args:
        labels: the tags that there are.
        word, tag: their columns, from 0. Where words are not in the first one, that is CoNLL-U's number of a word, and
            multiword ranges (3-4) and empty nodes (5.1) are left out.

    Raises:
        UsageError: no such file.
        XalignError: a line with too few columns, an empty word, an unknown tag, a repeated id; or a file without words.
    """
    sentences: dict[str, TaggedSentence] = {}
    name, current = "", None
    for number, line in enumerate(read_lines(path), start=1):
        where = f"{path}:{number}"
        columns = line.split("\t")
        if not line.strip():
            name, current = "", None
        elif line.startswith("#") and current is None and len(columns) <= max(word, tag):
            if match := SENTENCE_ID.match(line):
                name = match[1].rstrip()
        elif len(columns) <= max(word, tag):
            raise XalignError(f"{where}: {len(columns)} tab-separated columns where {max(word, tag) + 1} were due")
        elif word > 0 and SKIPPED.fullmatch(columns[0]):
            continue
        else:
            if current is None:
                current = TaggedSentence(name or str(len(sentences) + 1))
                if current.id in sentences:
                    raise XalignError(f"{where}: the sentence id {current.id!r} occurs twice; ids must be unique")
                sentences[current.id] = current
            if not columns[word].strip():
                raise XalignError(f"{where}: an empty word")
            if columns[tag] not in labels:
                raise XalignError(f"{where}: unknown tag {columns[tag]!r}; it is one of {', '.join(labels)}")
            current.words.append(columns[word])
            current.tags.append(columns[tag])
    if not sentences:
        raise XalignError(f"{path}: no words in it")
    return list(sentences.values())


def load_labelled(path: Path, labels: Sequence[str]) -> list[LabelledText]:
    """Read texts with a label each.

    Raises:
        UsageError: no such file.
        XalignError: another header, a line with another number of columns, an unknown label, an empty text, a repeated
            id; or a file without texts.
    """
    lines = read_lines(path)
    header = lines[0].split("\t")
    if header not in (HEADER[:3], HEADER):
        raise XalignError(f"{path}:1: the header is not 'id label text' or 'id label text second', tab-separated")
    found: dict[str, LabelledText] = {}
    for number, line in enumerate(lines[1:], start=2):
        where, fields = f"{path}:{number}", [field.strip() for field in line.split("\t")]
        if len(fields) != len(header):
            raise XalignError(f"{where}: {len(fields)} tab-separated columns where the header has {len(header)}")
        item = LabelledText(*fields)
        if item.label not in labels:
            raise XalignError(f"{where}: unknown label {item.label!r}; it is one of {', '.join(labels)}")
        if not all(fields):
            raise XalignError(f"{where}: the {header[fields.index('')]} is empty")
        if item.id in found:
            raise XalignError(f"{where}: the id {item.id} occurs twice; ids must be unique")
        found[item.id] = item
    if not found:
        raise XalignError(f"{path}: a header, but no texts")
    return list(found.values())
