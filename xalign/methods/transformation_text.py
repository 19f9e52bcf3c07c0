"""What transformations are fitted on: text of each language that is not among the sentences to be tested.

Four sources, of which the first is the default because every language of the tests has it:

topics     SIB-200's training sentences, which say the same in all languages
flores     FLORES-200 dev, which does too
parallel   parallel/, for pairs with a corpus
mono       mono/, one language at a time: for centring alone

SIB-200's sentences *are* FLORES-200 sentences: 310 of its 701 training sentences stand in devtest, where retrieval is
tested, and 93 of FLORES-200's dev sentences in SIB-200's test set. A sentence is therefore left out in all languages if
it is tested in any of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xalign.config.transformations import TRANSFORM_TEXTS
from xalign.data.flores import lines_among, load_flores
from xalign.data.languages import Language, find
from xalign.data.layout import DataDirectory
from xalign.data.lines import read_lines
from xalign.data.parallel import clean, load_pairs
from xalign.data.topics import load_topics
from xalign.errors import UsageError
from xalign.methods.transformations import PROCRUSTES
from xalign.randomness import generator

TOPICS, FLORES, PARALLEL, MONO = TRANSFORM_TEXTS
ENGLISH = find("eng")
DRAW = 42  # seed of which lines of mono/ are read
LEAST = 2  # sentences: of one the mean is the sentence


@dataclass(frozen=True)
class FittingText:
    """Sentences of two languages; `paired` if sentence i of one translates sentence i of the other."""

    source: list[str]
    target: list[str]
    paired: bool


class FittingTexts:
    """The text of all language pairs of a run, read when it is made.

    Args:
        kind: one of `TRANSFORM_TEXTS`.
        pairs: (source, target) languages to be mapped.
        tested: sentences that must not take part, by language.
        most: sentences of a language, at most.

    Attributes:
        pairs: as given.
        files: what was read.

    Raises:
        UsageError: text that is not there, or does not suit the transformation; nothing left to fit on.
    """

    def __init__(
        self,
        data: DataDirectory,
        kind: str,
        transform: str,
        pairs: Sequence[tuple[Language, Language]],
        tested: Mapping[Language, Sequence[str]],
        most: int,
    ) -> None:
        if kind == MONO and transform == PROCRUSTES:
            raise UsageError("transform=procrustes needs translations, which mono/ has not: use another transform_text")
        self.data, self.kind, self.pairs, self.tested, self.most = data, kind, list(pairs), tested, most
        self.transform = transform
        self.files: list[Path] = []
        self._texts: dict[tuple[Language, Language], FittingText] = {}
        languages = list(dict.fromkeys(language for pair in pairs for language in pair))
        if kind == MONO:
            alone = {language: self._mono(language) for language in languages}
            self._texts = {pair: FittingText(alone[pair[0]], alone[pair[1]], paired=False) for pair in pairs}
        elif kind == PARALLEL:
            self._texts = {pair: self._parallel(pair) for pair in pairs}
        else:
            together = self._in_all_languages(languages)
            self._texts = {pair: FittingText(together[pair[0]], together[pair[1]], paired=True) for pair in pairs}

    def __getitem__(self, pair: tuple[Language, Language]) -> FittingText:
        """The sentences of a pair."""
        return self._texts[pair]

    @property
    def translations(self) -> int:
        """Sentence pairs that all maps together were fitted on; means need none, whatever the text is."""
        if self.transform != PROCRUSTES:
            return 0
        return sum(len(text.source) for text in self._texts.values() if text.paired)

    def _in_all_languages(self, languages: list[Language]) -> dict[Language, list[str]]:
        """The same sentences in all languages, less those that are tested in one of them or in English."""
        columns: dict[Language, dict[str, str]] = {}
        for language in dict.fromkeys([*languages, ENGLISH]):
            if self.kind == TOPICS:
                path = self.data.topics(language, "train")
                columns[language] = {sentence.id: sentence.text for sentence in load_topics(path)}
            else:
                path = self.data.flores(language, "dev")
                columns[language] = {str(line): text for line, text in enumerate(load_flores(path))}
            self.files.append(path)
        ids = [id_ for id_ in columns[ENGLISH] if all(id_ in column for column in columns.values())]
        seen = {
            row
            for language, column in columns.items()
            for row in lines_among([column[id_] for id_ in ids], self.tested.get(language, ()))
        }
        kept = [id_ for row, id_ in enumerate(ids) if row not in seen][: self.most]
        self._require(kept, self.files[0].parent)
        return {language: [columns[language][id_] for id_ in kept] for language in languages}

    def _parallel(self, pair: tuple[Language, Language]) -> FittingText:
        # Which pairs those are depends on their text alone: the head of the file may be of one kind.
        corpus = load_pairs(self.data, f"{pair[0].code}-{pair[1].code}", max_pairs=self.most, held_out=0)
        self.files += corpus.files
        sides = corpus.train.source, corpus.train.target
        seen = {
            row
            for language, side in zip(corpus.languages, sides, strict=True)
            for row in lines_among(side, self.tested.get(language, ()))
        }
        kept = [row for row in range(len(sides[0])) if row not in seen]
        self._require(kept, corpus.files[0])
        source, target = ([side[row] for row in kept] for side in sides)
        return FittingText(source, target, paired=True)

    def _mono(self, language: Language) -> list[str]:
        path = self.data.mono(language)
        self.files.append(path)
        texts = [text for text in map(clean, read_lines(path)) if text]
        order = generator(DRAW, "transformation text").permutation(len(texts))
        chosen = [texts[row] for row in sorted(order[: self.most].tolist())]
        seen = set(lines_among(chosen, self.tested.get(language, ())))
        kept = [text for row, text in enumerate(chosen) if row not in seen]
        self._require(kept, path)
        return kept

    def _require(self, kept: Sequence[object], where: Path) -> None:
        if len(kept) < LEAST:
            raise UsageError(
                f"{where}: {len(kept)} sentences are left to fit transform on, without those that are tested; "
                f"name another transform_text ({', '.join(TRANSFORM_TEXTS)})"
            )
