"""Sentence classification: the seven topics of SIB-200."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from xalign.data.languages import Language
from xalign.data.layout import DataDirectory
from xalign.data.tokens import tokenize_cached
from xalign.data.topics import TOPICS, TopicSentence, load_topics
from xalign.encoder import Encoder
from xalign.errors import UsageError
from xalign.pair_batches import Layout
from xalign.tasks.examples import Examples


@dataclass(frozen=True)
class TopicTask:
    """Topic classification of a sentence from its pooled vector: `pooling` is ``mean`` or ``cls``."""

    pooling: str = "mean"
    name: ClassVar[str] = "topic"
    unit: ClassVar[str] = "sentences"
    labels: ClassVar[tuple[str, ...]] = TOPICS
    positions: ClassVar[tuple[str | None, ...]] = (None,)
    position: ClassVar[str | None] = None

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

    def text(self, sentence: TopicSentence) -> str:
        """A sentence as running text."""
        return sentence.text

    def examples(self, sentences: Sequence[TopicSentence], encoder: Encoder, layout: Layout) -> Examples:
        """Tokenise sentences; those longer than `layout.max_length` are cut at the end."""
        store = tokenize_cached([sentence.text for sentence in sentences], encoder.tokenizer)
        starts = np.arange(len(sentences) + 1)
        return Examples(
            ids=[sentence.id for sentence in sentences],
            inputs=[layout.sentence(ids) for ids in store],
            input_starts=starts,
            unit_starts=starts,
            unit_inputs=starts[:-1],
            labels=np.array([TOPICS.index(sentence.topic) for sentence in sentences]),
        )
