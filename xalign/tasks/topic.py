"""Sentence classification: the seven topics of SIB-200."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from xalign.data.languages import Language
from xalign.data.layout import DataDirectory
from xalign.data.topics import TOPICS, TopicSentence, load_topics
from xalign.errors import UsageError
from xalign.tasks.sentences import SentenceTask


class TopicTask(SentenceTask):
    """Topic classification of a sentence from its pooled vector: `pooling` is ``mean`` or ``cls``."""

    name: ClassVar[str] = "topic"
    labels: ClassVar[tuple[str, ...]] = TOPICS

    def languages(self, data: DataDirectory) -> list[Language]:
        """The languages with a test set."""
        return data.topic_languages("test")

    def file(self, data: DataDirectory, language: Language, split: str, treebank: str | None = None) -> Path:
        """The SIB-200 file of a language and split.

        Raises:
            UsageError: there is none, or a treebank was named.
        """
        if treebank is not None:
            raise UsageError(f"treebank={treebank} concerns the task pos; topic classification reads SIB-200")
        return data.topics(language, split)

    def load(self, path: Path) -> list[TopicSentence]:
        """The sentences of a SIB-200 file."""
        return load_topics(path)

    def texts(self, sentence: TopicSentence) -> tuple[str, ...]:
        """The text of a sentence."""
        return (sentence.text,)

    def label(self, sentence: TopicSentence) -> str:
        """The topic of a sentence."""
        return sentence.topic
