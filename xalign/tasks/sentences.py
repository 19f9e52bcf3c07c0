"""Tasks that label whole sentences, or two texts that are judged together.

Two texts are one input, ``<s> x </s></s> y </s>``, and one vector: the mean over the tokens of both, or the first one.
No segment ids are given: BERT reads both texts as its segment A.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from xalign.data.labelled import load_labelled
from xalign.data.tokens import tokenize_cached
from xalign.encoder import Encoder
from xalign.pair_batches import Layout
from xalign.tasks.examples import Examples
from xalign.tasks.labelled_files import LabelledFiles


@dataclass(frozen=True)
class SentenceTask(LabelledFiles):
    """A label for the pooled vector of a text, or of two: `pooling` is ``mean`` or ``cls``.

    A task of its own gives `name` and `labels`; its data are then read from ``DATA/<name>/<language>/<split>.tsv``
    (`xalign.data.labelled`). Other files: override `languages`, `file`, `load`, and `texts` and `label` where `load`
    gives something else than `xalign.data.labelled.LabelledText`.
    """

    pooling: str = "mean"
    name: ClassVar[str]
    labels: ClassVar[tuple[str, ...]]
    unit: ClassVar[str] = "sentences"
    positions: ClassVar[tuple[str | None, ...]] = (None,)
    position: ClassVar[str | None] = None

    def load(self, path: Path) -> list[Any]:
        """The items of a file.

        Raises:
            XalignError: a malformed line, with file and line.
        """
        return list(load_labelled(path, self.labels))

    def texts(self, sentence: Any) -> tuple[str, ...]:
        """The text of an item, or its two."""
        return (sentence.text,) if sentence.second is None else (sentence.text, sentence.second)

    def label(self, sentence: Any) -> str:
        """The label of an item, one of `labels`."""
        return str(sentence.label)

    def text(self, sentence: Any) -> str:
        """An item as running text."""
        return " ".join(self.texts(sentence))

    def examples(self, sentences: Sequence[Any], encoder: Encoder, layout: Layout) -> Examples:
        """Tokenise items; texts longer than `layout.max_length` are cut at the end, of two the longer one first."""
        texts = [self.texts(sentence) for sentence in sentences]
        sides = [tokenize_cached(list(side), encoder.tokenizer) for side in zip(*texts, strict=True)]
        join = layout.sentence if len(sides) == 1 else layout.pair
        starts = np.arange(len(sentences) + 1)
        index = {label: number for number, label in enumerate(self.labels)}
        return Examples(
            ids=[sentence.id for sentence in sentences],
            inputs=[join(*ids) for ids in zip(*sides, strict=True)],
            input_starts=starts,
            unit_starts=starts,
            unit_inputs=starts[:-1],
            labels=np.array([index[self.label(sentence)] for sentence in sentences]),
        )
