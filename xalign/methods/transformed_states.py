"""Transformations inside of an encoder: the states of one layer are mapped, and the layers above go on from there.

A model that was fine-tuned on English so reads another language as if its states were English ones. What is mapped is
what a head may read: tokens with content, or the first token where sentences are pooled as ``cls``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from xalign.analysis.vectors import Vectorizer
from xalign.encoder import Encoder
from xalign.errors import UsageError
from xalign.frozen_features import Encoding
from xalign.hidden_states import content_mask, layer_stack
from xalign.methods.transformation_text import FittingText
from xalign.methods.transformations import CENTRING, FITS, Transformation
from xalign.methods.translated_vectors import piece_vectors, word_vectors
from xalign.tasks import Task
from xalign.tasks.objective import Reader


class StateFitter:
    """Fits transformations on the vectors that a task's head sees, or would see if it sat on `layer`.

    Topics: pooled sentences. POS: all pieces for centring; for Procrustes those that are each other's nearest in
    translated sentences.
    """

    def __init__(
        self, encoder: Encoder, task: Task, transform: str, encoding: Encoding, *, pooling: str, length: int, layer: int
    ) -> None:
        self.encoder, self.task, self.transform, self.encoding = encoder, task, transform, encoding
        self.pooling, self.length, self.layer = pooling, length, layer
        self._english: tuple[Sequence[str], Tensor] | None = None

    def fit(self, texts: FittingText) -> Transformation:
        """The map from the source language of `texts` to its target language.

        Raises:
            UsageError: too few pairs of vectors to fit on.
        """
        if self.task.unit == "words" and self.transform != CENTRING:
            source, target = word_vectors(
                self.encoder, texts.source, texts.target, self.encoding, length=self.length, layer=self.layer
            )
        else:
            source, target = self._vectors(texts.source), self._target(texts.target)
        if min(len(source), len(target)) < 2:
            raise UsageError(f"transform={self.transform}: {len(source)} vectors to fit on; raise transform_sentences")
        return FITS[self.transform](source, target)

    def _target(self, texts: Sequence[str]) -> Tensor:
        """Vectors of the language that all maps lead to, encoded once."""
        if self._english is None or self._english[0] != texts:
            self._english = texts, self._vectors(texts)
        return self._english[1]

    def _vectors(self, texts: Sequence[str]) -> Tensor:
        if self.task.unit == "words":
            return piece_vectors(self.encoder, texts, self.encoding, length=self.length, layer=self.layer)
        vectorizer = Vectorizer(self.encoder, self.encoding, self.length, self.pooling)
        return torch.from_numpy(vectorizer.compute(texts, [self.layer])[0])


@contextmanager
def transformed(reader: Reader, transformation: Transformation, layer: int) -> Iterator[None]:
    """While it lasts, ``hidden_states[layer]`` of `reader` go through `transformation`.

    Below the last layer the architecture must be one of `xalign.hidden_states.STACKS`.
    """
    batch: dict[str, Tensor] = {}

    def remember(module: nn.Module, args: Any, kwargs: dict[str, Tensor]) -> None:
        batch["ids"] = kwargs["input_ids"]

    def mapped(states: Tensor) -> Tensor:
        return torch.where(_read_by_heads(reader, batch["ids"])[..., None], transformation(states), states)

    def after_layer(module: nn.Module, args: Any, output: Any) -> Any:
        return (mapped(output[0]), *output[1:]) if isinstance(output, tuple) else mapped(output)

    def after_all(module: nn.Module, args: Any, output: Any) -> Any:
        output.last_hidden_state = mapped(output.last_hidden_state)
        return output

    handles = [reader.model.register_forward_pre_hook(remember, with_kwargs=True)]
    if layer == reader.depth:
        handles.append(reader.model.register_forward_hook(after_all))
    else:
        handles.append(layer_stack(reader.model)[layer - 1].register_forward_hook(after_layer))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _read_by_heads(reader: Reader, ids: Tensor) -> Tensor:
    """(N, L), true on the tokens that are mapped."""
    if reader.pooling == "cls":
        return torch.arange(ids.shape[1], device=ids.device).eq(0).expand_as(ids)
    return content_mask(ids, reader.special_ids)
