"""Sentence vectors of every hidden state of an encoder, from one pass, kept in memory-mapped files.

The store is content-addressed: weights, texts, length, pooling and precision make the name of a file, so nothing in it
can be stale. All measures of all layers and pairs of languages then come from matrix products.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from xalign.data.tokens import tokenize_cached
from xalign.encoder import Encoder
from xalign.engine.batch import pad
from xalign.errors import XalignError
from xalign.frozen_features import Encoding
from xalign.hidden_states import content_mask, hidden_state, pool
from xalign.pair_batches import Layout
from xalign.storage import cache_directory, digest_file, digest_json, locked, read_json, write_bytes, write_json

LAYOUT_VERSION = 1


@dataclass(frozen=True)
class Vectorizer:
    """An encoder that turns texts into vectors.

    Attributes:
        max_length: tokens a text, special tokens included.
        pooling: ``mean`` over non-special tokens, or ``cls``.
    """

    encoder: Encoder
    encoding: Encoding
    max_length: int = 128
    pooling: str = "mean"

    @cached_property
    def folder(self) -> Path:
        """Where the vectors of these weights are kept."""
        return cache_directory() / "vectors" / self.encoder.source.digest

    @cached_property
    def _base(self) -> PreTrainedModel:
        return self.encoder.base.eval().to(self.encoding.device)

    @cached_property
    def _layout(self) -> Layout:
        encoder, length = self.encoder, self.encoder.effective_length(self.max_length)
        return Layout.of(
            encoder.tokenizer, encoder.special_ids.tolist(), encoder.model.config.model_type, length, length
        )

    def compute(self, texts: Sequence[str], layers: Sequence[int] | None = None) -> np.ndarray:
        """Encode texts in batches of similar length.

        Args:
            layers: which ``hidden_states[k]``; all of them by default.

        Returns:
            (layers, n, d), fp32.

        Raises:
            XalignError: a vector holds NaN or infinity.
        """
        encoder, device, layout = self.encoder, self.encoding.device, self._layout
        wanted = range(encoder.depth + 1) if layers is None else layers
        inputs = [layout.sentence(ids) for ids in tokenize_cached(texts, encoder.tokenizer)]
        vectors = np.empty((len(wanted), len(inputs), encoder.width), dtype=np.float32)
        # The longest come first, so that memory runs out at once or not at all.
        order = np.argsort([-len(ids) for ids in inputs], kind="stable")
        for start in range(0, len(order), self.encoding.batch_size):
            chosen = order[start : start + self.encoding.batch_size]
            ids = torch.from_numpy(pad([inputs[i] for i in chosen], layout.padding)).to(device)  # (N, L)
            with torch.inference_mode(), self.encoding.autocast():
                content = content_mask(ids, encoder.special_ids)
                states = self._states(ids, ids != layout.padding, wanted)
                pooled = torch.stack([pool(state, content, self.pooling) for state in states])
            vectors[:, chosen] = pooled.cpu().numpy()
        if not np.isfinite(vectors).all():
            raise XalignError(
                f"{encoder.source.directory}: its hidden states hold NaN or infinity, so the weights are damaged; "
                "take an earlier checkpoint"
            )
        return vectors

    def _states(self, ids: Tensor, attention: Tensor, layers: Sequence[int]) -> list[Tensor]:
        if len(layers) == 1:  # the layers above it are left out
            return [hidden_state(self._base, ids, attention, layers[0])]
        out = self._base(input_ids=ids, attention_mask=attention, output_hidden_states=True)
        # Where a stack ends in a norm of its own, only the last hidden state has gone through it.
        states = (*out.hidden_states[:-1], out.last_hidden_state)
        return [states[layer] for layer in layers]

    def keep(self, texts: Sequence[str]) -> Path:
        """The file of all hidden states of `texts`, computed now if it is missing or damaged; read by `open_vectors`.

        Raises:
            XalignError: a vector holds NaN or infinity, or the file cannot be written.
        """
        path = self.folder / f"{self._name(texts)}.npy"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked(path.with_suffix(".lock"), wait=True):
                if not _is_whole(path):
                    stream = io.BytesIO()
                    np.save(stream, self.compute(texts), allow_pickle=False)
                    write_bytes(path, stream.getvalue())
                    write_json(path.with_suffix(".json"), digest_file(path))
        except OSError as error:
            where = error.filename or self.folder
            raise XalignError(f"{where}: {error.strerror}; set XALIGN_CACHE to a folder with room") from None
        return path

    def forget(self) -> None:
        """Delete the stored vectors of these weights."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _name(self, texts: Sequence[str]) -> str:
        length = self.encoder.effective_length(self.max_length)
        return digest_json(
            {
                "layout": LAYOUT_VERSION,
                "texts": list(texts),
                "max_length": length,
                "pooling": self.pooling,
                "precision": self.encoding.precision,
            }
        )


def open_vectors(path: Path) -> np.ndarray:
    """What `Vectorizer.keep` made: (depth + 1, n, d) fp32, read-only and memory-mapped."""
    vectors: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return vectors


def _is_whole(path: Path) -> bool:
    """Whether a file of vectors is there and matches the digest beside it."""
    try:
        return bool(read_json(path.with_suffix(".json")) == digest_file(path))
    except (XalignError, OSError):
        return False
