"""Tasks that label words: part-of-speech tagging, and any other whose data are words with tags.

Words are tokenised one by one, as XLM-R does with text that is already split into words. The tag stands on the first
piece of a word, or on the first piece that is not a bare "▁": with XLM-R's vocabulary most Japanese and Chinese words
begin with one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from xalign.data.labelled import load_tagged
from xalign.data.tokens import tokenize_cached
from xalign.data.treebank import TaggedSentence
from xalign.encoder import Encoder, Tokenizer
from xalign.pair_batches import Layout
from xalign.tasks.examples import NOWHERE, Examples
from xalign.tasks.labelled_files import LabelledFiles

BLANK = " ▁Ġ"  # how sentencepiece and byte-level BPE write a word's beginning


@dataclass(frozen=True)
class WordTask(LabelledFiles):
    """Labels on one piece of each word: `label_on` is ``first`` or ``first-nonblank``.

    A task of its own gives `name` and `labels`; its data are then read from ``DATA/<name>/<language>/<split>.tsv``
    (`xalign.data.labelled`), words and tags in the columns `word_column` and `tag_column`. Other files: override
    `languages`, `file` and `load`.
    """

    label_on: str = "first"
    name: ClassVar[str]
    labels: ClassVar[tuple[str, ...]]
    unit: ClassVar[str] = "words"
    positions: ClassVar[tuple[str | None, ...]] = ("first", "first-nonblank")
    word_column: ClassVar[int] = 0
    tag_column: ClassVar[int] = 1

    @property
    def position(self) -> str | None:
        """The position that training labels and accuracy counts."""
        return self.label_on

    def load(self, path: Path) -> list[TaggedSentence]:
        """The sentences of a file.

        Raises:
            XalignError: a malformed line, with file and line.
        """
        return load_tagged(path, self.labels, word=self.word_column, tag=self.tag_column)

    def text(self, sentence: TaggedSentence) -> str:
        """A sentence as running text, its words parted by blanks."""
        return " ".join(sentence.words)

    def examples(self, sentences: Sequence[TaggedSentence], encoder: Encoder, layout: Layout) -> Examples:
        """Tokenise sentences, and cut those longer than `layout.max_length` into windows at word boundaries.

        Every word is in one window; a word longer than a window is cut. A word without pieces keeps its place, at
        position `NOWHERE`.
        """
        pieces = _word_pieces([word for sentence in sentences for word in sentence.words], encoder)
        blank = _blank_ids(encoder.tokenizer)
        room = layout.max_length - 2
        inputs: list[np.ndarray] = []
        unit_inputs: list[int] = []
        first: list[int] = []
        nonblank: list[int] = []
        input_starts, unit_starts = [0], [0]
        for sentence in sentences:
            window: list[int] = []
            for word in sentence.words:
                ids = pieces[word][:room]
                if len(window) + len(ids) > room:
                    inputs.append(layout.sentence(np.array(window)))
                    window = []
                unit_inputs.append(len(inputs))
                start = len(window) + 1  # behind <s>
                first.append(start if ids else NOWHERE)
                offset = next((i for i, piece in enumerate(ids) if piece not in blank), 0)
                nonblank.append(start + offset if ids else NOWHERE)
                window += ids
            inputs.append(layout.sentence(np.array(window, dtype=np.int64)))
            input_starts.append(len(inputs))
            unit_starts.append(len(unit_inputs))
        index = {tag: number for number, tag in enumerate(self.labels)}
        return Examples(
            ids=[sentence.id for sentence in sentences],
            inputs=inputs,
            input_starts=np.array(input_starts),
            unit_starts=np.array(unit_starts),
            unit_inputs=np.array(unit_inputs),
            labels=np.array([index[tag] for sentence in sentences for tag in sentence.tags]),
            positions={"first": np.array(first), "first-nonblank": np.array(nonblank)},
        )


def _word_pieces(words: Sequence[str], encoder: Encoder) -> dict[str, list[int]]:
    """Word to the ids of its pieces, which do not depend on its neighbours: each form is tokenised once."""
    forms = sorted(set(words))
    store = tokenize_cached(forms, encoder.tokenizer)
    return {form: ids.tolist() for form, ids in zip(forms, store, strict=True)}


def _blank_ids(tokenizer: Tokenizer) -> frozenset[int]:
    """Ids of pieces that mark the beginning of a word and hold none of it."""
    return frozenset(index for token, index in tokenizer.get_vocab().items() if token and not token.strip(BLANK))
