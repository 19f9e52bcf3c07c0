"""Outcomes of single test sentences, as integer arrays that share their sentence ids."""

from __future__ import annotations

import gzip
import json
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xalign.errors import XalignError

MOST_WORDS = 2**31 - 1  # of a sentence: what the arrays hold

# Maps a tuple of sentence ids to the one copy of it that is kept.
KnownIds = dict[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True)
class LanguageOutcomes:
    """Test outcomes in one language: `correct` is (seeds, sentences), `total` (sentences,), in the order of the ids."""

    sentence_ids: tuple[str, ...]
    correct: np.ndarray
    total: np.ndarray

    @property
    def accuracy(self) -> np.ndarray:
        """Share of correct words (POS) or sentences (topic) for each seed: (seeds,)."""
        return self.correct.sum(axis=1) / self.total.sum()


def read_outcomes(path: Path, known_ids: KnownIds) -> tuple[tuple[int, ...], dict[str, LanguageOutcomes]]:
    """Seeds and outcomes of ``outcomes.jsonl``, one line a (language, seed, sentence).

    Raises:
        XalignError: with file and line for a malformed line; or languages and seeds that lack sentences of the others.
    """
    counts: dict[str, dict[int, dict[str, tuple[int, int]]]] = defaultdict(lambda: defaultdict(dict))
    for number, line in enumerate(outcome_lines(path), start=1):
        try:
            row = json.loads(line)
            language, seed, sentence_id = row["language"], row["seed"], row["sentence_id"]
            correct, total = row["correct"], row["total"]
            sentences = counts[language][seed]
            valid = is_outcome(language, seed, sentence_id, correct, total) and sentence_id not in sentences
            sentences[sentence_id] = (correct, total)
        except (ValueError, KeyError, TypeError, RecursionError):
            valid = False
        if not valid:
            raise XalignError(f"{path}:{number}: not a new outcome; run it again with --overwrite")
    seeds = tuple(sorted({seed for by_seed in counts.values() for seed in by_seed}))
    if not seeds:
        raise XalignError(f"{path}: empty; run it again with --overwrite")
    arrays = {language: to_arrays(path, language, seeds, counts[language], known_ids) for language in counts}
    return seeds, arrays


def outcome_lines(path: Path) -> Iterator[str]:
    """The lines of a file of outcomes, plain or packed.

    Raises:
        XalignError: it is missing, damaged or not UTF-8.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as stream:
            yield from stream
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise XalignError(f"{path}: damaged; make the archive again") from None
    except UnicodeDecodeError:
        raise XalignError(f"{path}: not UTF-8; run it again with --overwrite") from None
    except FileNotFoundError:
        raise XalignError(f"{path}: missing beside a result.json; run it again with --overwrite") from None


def is_outcome(name: object, seed: object, sentence_id: object, correct: object, total: object) -> bool:
    """Whether a line of outcomes holds what xalign writes: two names and three counts, of which `total` is not zero."""
    if not isinstance(name, str) or not isinstance(sentence_id, str) or not isinstance(seed, int):
        return False
    return isinstance(correct, int) and isinstance(total, int) and 0 <= correct <= total <= MOST_WORDS and total > 0


def to_arrays(
    path: Path,
    language: str,
    seeds: tuple[int, ...],
    by_seed: Mapping[int, Mapping[str, tuple[int, int]]],
    known_ids: KnownIds,
) -> LanguageOutcomes:
    """One language's outcomes as arrays over the sorted sentence ids.

    Raises:
        XalignError: a seed lacks a sentence, or counts other words in it, than the first seed.
    """
    ids = tuple(sorted(by_seed.get(seeds[0], ())))
    ids = known_ids.setdefault(ids, ids)
    if any(by_seed.get(seed, {}).keys() != set(ids) for seed in seeds):
        raise XalignError(f"{path}: {language}: its seeds were not tested on the same sentences; run it again")
    values = np.array([[by_seed[seed][sentence] for sentence in ids] for seed in seeds], dtype=np.int32)
    correct, total = values[..., 0], values[0, :, 1]  # (seeds, sentences), (sentences,)
    if (values[..., 1] != total).any():
        raise XalignError(f"{path}: {language}: a sentence has another number of words in another seed; run it again")
    return LanguageOutcomes(ids, np.ascontiguousarray(correct), np.ascontiguousarray(total))
