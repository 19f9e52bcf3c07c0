"""One encoder as a task's head sees it: vectors of labelled sentences, and of translations."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from xalign.encoder import Encoder
from xalign.errors import UsageError
from xalign.frozen_features import Encoding, frozen_features
from xalign.methods.translated_vectors import sentence_vectors, word_vectors
from xalign.pair_batches import Layout
from xalign.tasks import Task
from xalign.tasks.examples import Examples
from xalign.tasks.objective import Reader


class TaskVectors:
    """Vectors of an encoder that does not change, for a task whose sentences have at most `length` tokens."""

    def __init__(self, task: Task, encoder: Encoder, encoding: Encoding, length: int) -> None:
        self.task, self.encoder, self.encoding = task, encoder, encoding
        self.length = encoder.effective_length(length)
        special, kind = encoder.special_ids.tolist(), encoder.model.config.model_type
        self.layout = Layout.of(encoder.tokenizer, special, kind, self.length, self.length)
        self.reader = Reader(encoder, pooling="mean", frozen=True).to(encoding.device)

    def translations(self, texts: tuple[list[str], list[str]]) -> tuple[Tensor, Tensor]:
        """Vectors of translations as the task's head would see them: sentences (topic) or pieces (POS), (n, d) each.

        Raises:
            UsageError: too few to fit a map.
        """
        if self.task.unit == "sentences":
            pair = sentence_vectors(self.encoder, *texts, self.encoding, pooling="mean", length=self.length)
        else:
            pair = word_vectors(self.encoder, *texts, self.encoding, length=self.length)
        if len(pair[0]) < 2:
            raise UsageError(f"{len(pair[0])} pairs of vectors are too few for a map: raise sentences")
        return pair

    def examples(self, sentences: list[Any]) -> Examples:
        """Sentences as encoder inputs."""
        return self.task.examples(sentences, self.encoder, self.layout)

    def features(self, examples: Examples) -> Tensor:
        """Vectors of the units that carry labels: (U, d)."""
        return frozen_features(self.reader, examples, self.task.position, self.encoding)
