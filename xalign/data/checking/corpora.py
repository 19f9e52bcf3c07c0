"""Each kind of data, read by the loader that runs use, counted, and looked at for what a loader lets pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from xalign.data.checking.overlap import HeldOutSentences, running_text
from xalign.data.dictionaries import load_dictionary
from xalign.data.flores import load_flores, load_metadata, normalised
from xalign.data.languages import Language, parse_pair
from xalign.data.layout import DataDirectory
from xalign.data.lines import read_lines
from xalign.data.parallel import load_pairs
from xalign.data.topics import load_topics
from xalign.data.treebank import load_treebank
from xalign.errors import XalignError

Value = TypeVar("Value")


@dataclass
class Checked:
    """One thing that was looked at.

    Attributes:
        kind: the folder's kind: parallel, ud, sib200, flores200, muse, mono, sources.
        what: which one of it.
        counts: what was counted, by name.
        broken: what stops a run, one line each, with file and line where there is one.
        notes: what a run does not mind, but its reader may.
    """

    kind: str
    what: str
    counts: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def state(self) -> str:
        """The worst of it: broken, note or ok."""
        return "broken" if self.broken else "note" if self.notes else "ok"


def check_pair(data: DataDirectory, pair: str, held_out: HeldOutSentences) -> Checked:
    """A parallel corpus: unreadable lines, unequal counts, what cleaning removes, test sentences on either side."""
    found = Checked("parallel", pair)
    try:
        corpus = load_pairs(data, pair, held_out=0)
    except XalignError as error:
        found.broken.append(str(error))
        return found
    counts = corpus.counts
    found.counts = {"pairs": counts.read, "empty": counts.empty, "duplicate": counts.duplicate, "usable": counts.kept}
    copied = sum(map(str.__eq__, corpus.train.source, corpus.train.target))
    found.counts["untranslated"] = copied
    for language, side in zip(parse_pair(pair), (corpus.train.source, corpus.train.target), strict=True):
        found.notes += held_out.overlaps(side, language)
    return found


def check_mono(path: Path, language: Language, held_out: HeldOutSentences) -> Checked:
    """Monolingual text: unreadable, empty and repeated lines, test sentences."""
    found = Checked("mono", path.name)
    try:
        lines = read_lines(path)
    except XalignError as error:
        found.broken.append(str(error))
        return found
    filled = [line for line in lines if line.strip()]
    distinct = set(filled)
    found.counts = {"lines": len(lines), "empty": len(lines) - len(filled), "duplicate": len(filled) - len(distinct)}
    found.notes = held_out.overlaps(distinct, language)
    return found


def check_treebank(path: Path, language: Language, split: str, held_out: HeldOutSentences) -> Checked:
    """A CoNLL-U file: malformed lines, repeated sentences, and for training data sentences of a test set."""
    found = Checked("ud", path.name)
    try:
        sentences = load_treebank(path)
        if split == "train":
            distinct_texts = {normalised(text): text for text in running_text(path)}
            found.notes = held_out.overlaps(distinct_texts.values(), language)
    except XalignError as error:
        found.broken.append(str(error))
        return found
    distinct = {tuple(sentence.words) for sentence in sentences}
    words = sum(len(sentence.words) for sentence in sentences)
    found.counts = {"sentences": len(sentences), "words": words, "duplicate": len(sentences) - len(distinct)}
    return found


def check_topics(
    data: DataDirectory, split: str, languages: Collection[Language], held_out: HeldOutSentences
) -> Checked:
    """A split of SIB-200: malformed lines, ids that other languages lack, training sentences that are tested."""
    found = Checked("sib200", split)
    ids: dict[Language, frozenset[str]] = {}
    for language in languages:
        path = data.topics(language, split)
        try:
            sentences = load_topics(path)
        except XalignError as error:
            found.broken.append(str(error))
            continue
        ids[language] = frozenset(sentence.id for sentence in sentences)
        if split != "test":
            if common := ids[language] & _tested_ids(data, language):
                found.broken.append(f"{path}: {len(common)} ids are in the test set too, such as {min(common)}")
            same = held_out.overlaps([each.text for each in sentences], language)
            found.notes += [f"{path}: {line}" for line in same if "SIB-200 test" in line]
    usual = _usual(ids)
    odd = [language.code for language, these in ids.items() if these != usual]
    if odd:
        found.notes.append(f"other ids than in most languages: {' '.join(odd)}")
    found.counts = {"languages": len(languages), "sentences in each": len(usual or ())}
    return found


def _tested_ids(data: DataDirectory, language: Language) -> frozenset[str]:
    """The ids of a test set; none where it cannot be read, which its own check says."""
    try:
        return frozenset(sentence.id for sentence in load_topics(data.topics(language, "test")))
    except XalignError:
        return frozenset()


def check_flores(data: DataDirectory, split: str, languages: Collection[Language]) -> Checked:
    """A split of FLORES-200: unreadable or empty lines, and line counts that are not those of the other languages."""
    found = Checked("flores200", split)
    counts: dict[Language, int] = {}
    for language in languages:
        try:
            counts[language] = len(load_flores(data.flores(language, split)))
        except XalignError as error:
            found.broken.append(str(error))
    usual = _usual(counts)
    for language, count in counts.items():
        if count != usual:
            found.broken.append(f"{data.flores(language, split)}: {count:,} lines where most languages have {usual:,}")
    path = data.path / "flores200_dataset" / f"metadata_{split}.tsv"
    if path.is_file():
        try:
            if usual is not None and (origins := len(load_metadata(path))) != usual:
                found.broken.append(f"{path}: {origins:,} origins for {usual:,} lines")
        except XalignError as error:
            found.broken.append(str(error))
    else:
        found.notes.append(f"{path.name} is not there: retrieval within articles and domains needs it")
    found.counts = {"languages": len(languages), "lines in each": usual or 0}
    return found


def check_dictionary(path: Path) -> Checked:
    """A bilingual dictionary: lines that are no pair, pairs that are repeated."""
    found = Checked("muse", f"{path.parent.name}/{path.name}")
    try:
        entries = load_dictionary(path)
    except XalignError as error:
        found.broken.append(str(error))
        return found
    pairs = sum(map(len, entries.values()))
    distinct = sum(len(set(translations)) for translations in entries.values())
    found.counts = {"words": len(entries), "pairs": pairs, "duplicate": pairs - distinct}
    return found


def _usual(values: dict[Language, Value]) -> Value | None:
    """The value that most languages have."""
    return Counter(values.values()).most_common(1)[0][0] if values else None
