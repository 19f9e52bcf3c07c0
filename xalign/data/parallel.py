"""Sentence pairs for alignment: read, normalised, freed of empty and repeated pairs, held out, capped, counted.

Which pairs are held out, and which stay under a cap, depends on each pair's text alone: every pair has a rank
drawn from a keyed hash of its two sentences. The lowest ranks are held out, the next ones are trained on. So the
held-out pairs are the same whatever the cap, a smaller cap takes a subset of a larger one, and the order of the
file or of the languages in the pair's name changes nothing.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xalign.data.languages import Language, parse_pair
from xalign.data.layout import DataDirectory
from xalign.data.lines import read_lines
from xalign.data.shared_sentences import common_language, keep_shared, side_of
from xalign.errors import UsageError, XalignError

CLEANING_VERSION = 1
HELD_OUT_SEED = 42
# The blank, and characters without width that `str.split` does not take for white space.
INVISIBLE = " \u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"


@dataclass(frozen=True)
class Pairs:
    """Sentences and their translations: `target[i]` translates `source[i]`."""

    source: list[str]
    target: list[str]

    def __len__(self) -> int:
        return len(self.source)


@dataclass(frozen=True)
class PairCounts:
    """What became of the pairs: `read` = `empty` + `duplicate` + `unshared` + `held_out` + `capped` + `kept`.

    `held_out_asked` exceeds `held_out` where the corpus is too small to give that many.
    """

    read: int
    empty: int
    duplicate: int
    unshared: int
    held_out: int
    held_out_asked: int
    capped: int
    kept: int

    def summary(self) -> str:
        """One line for people."""
        small = f" (a tenth: too few pairs for {self.held_out_asked:,})" if self.held_out < self.held_out_asked else ""
        return (
            f"{self.read:,} pairs read, {self.empty:,} empty, {self.duplicate:,} duplicate, "
            + (f"{self.unshared:,} not shared, " if self.unshared else "")
            + f"{self.held_out:,} held out{small}, {self.capped:,} over the cap, {self.kept:,} kept for training"
        )


@dataclass(frozen=True)
class PairCorpus:
    """The pairs of one corpus, split into training and held-out pairs, both in the order of the file."""

    languages: tuple[Language, Language]
    train: Pairs
    held_out: Pairs
    counts: PairCounts
    files: list[Path]


def load_pairs(
    data: DataDirectory,
    pair: str,
    *,
    max_pairs: int | None = None,
    held_out: int = 2000,
    shared_with: Sequence[str] = (),
) -> PairCorpus:
    """Load the corpus of a pair such as `de-en`; source is the language named first.

    Args:
        data: the data directory.
        pair: two language codes joined by a hyphen.
        max_pairs: most training pairs; None for all.
        held_out: pairs set aside before the cap. If that would leave fewer than half of the corpus for training,
            a tenth is set aside instead.
        shared_with: other pairs; only sentences of the common language that all corpora have are kept, once each, and
            the same ones are held out in all of them.

    Raises:
        UsageError: an unknown pair, a pair without files, a count out of range.
        XalignError: a damaged file, unequal line counts, or no usable pair.
    """
    if max_pairs is not None and max_pairs < 1:
        raise UsageError(f"max_pairs is {max_pairs}; it must be at least 1")
    if held_out < 0:
        raise UsageError(f"held_out is {held_out}; it must not be negative")
    languages = parse_pair(pair)
    files, pairs, read, empty = _unique_pairs(data, pair)
    distinct = len(pairs)
    if shared_with:
        language = common_language([pair, *shared_with])
        others = []
        for other in shared_with:
            more, theirs, _, _ = _unique_pairs(data, other)
            files += more
            others.append([each[side_of(other, language)] for each in theirs])
        where = ", ".join([pair, *shared_with])
        by_sentence = keep_shared(pairs, side_of(pair, language), others, where)
        texts, pairs = list(by_sentence), list(by_sentence.values())
    else:
        reverse = languages[0].flores > languages[1].flores
        texts = ["\t".join(reversed(each) if reverse else each) for each in pairs]
    set_aside = held_out if 2 * (len(pairs) - held_out) >= len(pairs) else len(pairs) // 10
    order = np.argsort(_ranks(texts), kind="stable")
    training = order[set_aside:][:max_pairs]
    counts = PairCounts(
        read=read,
        empty=empty,
        duplicate=read - empty - distinct,
        unshared=distinct - len(pairs),
        held_out=set_aside,
        held_out_asked=held_out,
        capped=len(pairs) - set_aside - len(training),
        kept=len(training),
    )
    return PairCorpus(languages, _select(pairs, training), _select(pairs, order[:set_aside]), counts, files)


def _unique_pairs(data: DataDirectory, pair: str) -> tuple[list[Path], list[tuple[str, str]], int, int]:
    """The files of a pair, its clean and distinct pairs, and how many lines were read and how many were empty."""
    files, lines = read_pairs(data, pair)
    read, empty = 0, 0
    unique: dict[tuple[str, str], None] = {}
    for source, target in lines:
        read += 1
        cleaned = clean(source), clean(target)
        if all(cleaned):
            unique[cleaned] = None
        else:
            empty += 1
    if not unique:
        raise XalignError(f"{files[0]}: no usable sentence pair among {read:,} lines")
    return files, list(unique), read, empty


def clean(text: str) -> str:
    """Unicode NFC with runs of white space as one blank; the empty string if nothing visible is left.

    A change here raises `CLEANING_VERSION`.
    """
    text = " ".join(unicodedata.normalize("NFC", text).split())
    return text if text.strip(INVISIBLE) else ""


def read_pairs(data: DataDirectory, pair: str) -> tuple[list[Path], Iterable[tuple[str, str]]]:
    """The files of a pair, and all of their lines as (source, target), as they stand there.

    Raises:
        UsageError: an unknown pair, or one without files.
        XalignError: a damaged file, or unequal line counts.
    """
    found = data.pair_files(pair)
    if isinstance(found, Path):
        rows = _read_table(found)
        swapped = parse_pair(found.parent.name) != parse_pair(pair)
        return [found], [(second, first) for first, second in rows] if swapped else rows
    sides = [read_lines(path) for path in found]
    if len(sides[0]) != len(sides[1]):
        raise XalignError(
            f"{found[0]} has {len(sides[0]):,} lines, {found[1]} has {len(sides[1]):,}: "
            "line n of one must translate line n of the other; restore both files"
        )
    return list(found), zip(*sides, strict=True)


def _read_table(path: Path) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for number, line in enumerate(read_lines(path), start=1):
        columns = line.split("\t") if line else ["", ""]
        if len(columns) != 2:
            raise XalignError(f"{path}:{number}: {len(columns)} tab-separated columns; a line is source, tab, target")
        rows.append((columns[0], columns[1]))
    return rows


def _ranks(texts: list[str]) -> np.ndarray:
    """A number for each text, uniform in 64 bits, that depends on the text alone."""
    key = f"xalign held-out {HELD_OUT_SEED}".encode()
    digests = (hashlib.blake2b(text.encode(), digest_size=8, key=key).digest() for text in texts)
    return np.array([int.from_bytes(digest, "big") for digest in digests], dtype=np.uint64)


def _select(pairs: list[tuple[str, str]], rows: np.ndarray) -> Pairs:
    chosen = [pairs[row] for row in sorted(rows.tolist())]
    return Pairs([source for source, _ in chosen], [target for _, target in chosen])
