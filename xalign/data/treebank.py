"""Universal Dependencies treebanks: words and universal part-of-speech tags from CoNLL-U files.

Format: https://universaldependencies.org/format.html. Multiword ranges (`3-4`) repeat the surface form of words
that follow with their own lines, and empty nodes (`5.1`) stand for words that were not written: neither is a word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from xalign.data.lines import read_lines
from xalign.errors import XalignError

UPOS: tuple[str, ...] = (
    *("ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM"),
    *("PART", "PRON", "PROPN", "PUNCT", "SCONJ", "SYM", "VERB", "X"),
)

# The treebank of a language that has several. PUD for Hindi and Arabic: it is in every UD release, test set only.
PREFERRED_TREEBANKS: dict[str, str] = {
    "arb": "Arabic-PUD",
    "bul": "Bulgarian-BTB",
    "ces": "Czech-PDT",
    "deu": "German-GSD",
    "ell": "Greek-GDT",
    "eng": "English-EWT",
    "est": "Estonian-EDT",
    "fin": "Finnish-TDT",
    "fra": "French-GSD",
    "gle": "Irish-IDT",
    "glg": "Galician-CTG",
    "heb": "Hebrew-HTB",
    "hin": "Hindi-PUD",
    "hye": "Armenian-ArmTDP",
    "ind": "Indonesian-GSD",
    "isl": "Icelandic-Modern",
    "ita": "Italian-ISDT",
    "jpn": "Japanese-GSD",
    "kaz": "Kazakh-KTB",
    "kor": "Korean-GSD",
    "lit": "Lithuanian-ALKSNIS",
    "lvs": "Latvian-LVTB",
    "nld": "Dutch-Alpino",
    "nno": "Norwegian-Nynorsk",
    "nob": "Norwegian-Bokmaal",
    "pes": "Persian-Seraji",
    "pol": "Polish-PDB",
    "por": "Portuguese-GSD",
    "ron": "Romanian-RRT",
    "rus": "Russian-GSD",
    "slv": "Slovenian-SSJ",
    "spa": "Spanish-GSD",
    "swe": "Swedish-Talbanken",
    "tam": "Tamil-TTB",
    "tur": "Turkish-BOUN",
    "zho": "Chinese-GSDSimp",
}

COLUMNS = 10
WORD = re.compile(r"[1-9][0-9]*")
SKIPPED = re.compile(r"[1-9][0-9]*-[1-9][0-9]*|[0-9]+\.[1-9][0-9]*")
SENTENCE_ID = re.compile(r"#\s*sent_id\s*=\s*(\S.*)")


@dataclass(frozen=True)
class TaggedSentence:
    """A sentence as syntactic words with one UPOS tag each; `id` is its `sent_id`, or its number in the file."""

    id: str
    words: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)


def load_treebank(path: Path) -> list[TaggedSentence]:
    """Read the sentences of a CoNLL-U file.

    Raises:
        UsageError: no such file.
        XalignError: a malformed line, with file and line: a wrong number of columns, words that are not numbered
            1, 2, 3 …, an empty form, a tag outside `UPOS`, a repeated `sent_id`; or a file without words.
    """
    sentences: list[TaggedSentence] = []
    seen: set[str] = set()
    sentence_id = ""
    current: TaggedSentence | None = None
    for number, line in enumerate(read_lines(path), start=1):
        where = f"{path}:{number}"
        if not line.strip():
            sentence_id, current = "", None
        elif line.startswith("#"):
            if match := SENTENCE_ID.match(line):
                sentence_id = match[1].rstrip()
        else:
            columns = line.split("\t")
            if len(columns) != COLUMNS:
                raise XalignError(f"{where}: {len(columns)} tab-separated columns where CoNLL-U has {COLUMNS}")
            if current is None:
                current = TaggedSentence(sentence_id or str(len(sentences) + 1))
                if current.id in seen:
                    raise XalignError(f"{where}: the sentence id {current.id!r} occurs twice; ids must be unique")
                seen.add(current.id)
                sentences.append(current)
            if not SKIPPED.fullmatch(columns[0]):
                _add_word(current, columns, where)
    _check_words(sentences, path)
    return sentences


def _add_word(sentence: TaggedSentence, columns: list[str], where: str) -> None:
    number, form, tag = columns[0], columns[1], columns[3]
    expected = len(sentence.words) + 1
    if not WORD.fullmatch(number):
        raise XalignError(f"{where}: {number!r} is not a word number, a range (3-4) or an empty node (5.1)")
    if number != str(expected):
        hint = "; is the blank line between two sentences missing?" if number == "1" else ""
        raise XalignError(f"{where}: word number {number} where {expected} was due{hint}")
    if not form.strip():
        raise XalignError(f"{where}: word {number} has an empty form")
    if tag not in UPOS:
        what = "has no UPOS tag" if tag == "_" else f"has the tag {tag!r}, which is not one of the 17 UPOS tags"
        raise XalignError(f"{where}: word {number} ({form}) {what}")
    sentence.words.append(form)
    sentence.tags.append(tag)


def _check_words(sentences: list[TaggedSentence], path: Path) -> None:
    """Refuse files with nothing to tag: no sentences, or a release from which the licence removed the words."""
    if not any(sentence.words for sentence in sentences):
        raise XalignError(f"{path}: no words in it; is it a CoNLL-U file?")
    for sentence in sentences:
        if not sentence.words:
            raise XalignError(f"{path}: sentence {sentence.id!r} has no words")
    if all(word == "_" for sentence in sentences for word in sentence.words) and len(sentences) > 1:
        raise XalignError(f"{path}: every word is '_': the treebank is released without its text; merge that first")
