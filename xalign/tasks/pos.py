"""Part-of-speech tagging: universal tags of Universal Dependencies, one for each syntactic word."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from xalign.data.languages import Language
from xalign.data.layout import DataDirectory
from xalign.data.treebank import UPOS, TaggedSentence, load_treebank
from xalign.tasks.words import WordTask


class PosTask(WordTask):
    """POS tagging with the tag on one piece of the word: `label_on` is ``first`` or ``first-nonblank``."""

    name: ClassVar[str] = "pos"
    labels: ClassVar[tuple[str, ...]] = UPOS

    def languages(self, data: DataDirectory) -> list[Language]:
        """The languages with a test set."""
        return data.treebank_languages("test")

    def file(self, data: DataDirectory, language: Language, split: str, treebank: str | None = None) -> Path:
        """The treebank file of a language and split."""
        return data.treebank(language, split, treebank)

    def load(self, path: Path) -> list[TaggedSentence]:
        """The sentences of a treebank file."""
        return load_treebank(path)
