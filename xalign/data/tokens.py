"""Token ids of many texts, computed once and kept in memory-mapped files.

The cache is content-addressed: the texts, the tokenizer and the cleaning version make the key, so nothing in it
can be stale. `datasets`' fingerprint would not do: a fast tokenizer's pickle changes when it is used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, overload

import numpy as np
from tokenizers import Tokenizer

from xalign.data.parallel import CLEANING_VERSION
from xalign.errors import UsageError, XalignError
from xalign.storage import cache_directory, digest_file, locked, read_json, replacing_directory, write_json

LAYOUT_VERSION = 1
CHUNK_TEXTS = 8192
IDS, OFFSETS, SEAL = "ids.npy", "offsets.npy", "seal.json"


class TokenStore(Sequence[np.ndarray]):
    """Token ids of `len(store)` texts, without special tokens and not truncated.

    `ids` (tokens,) int32 holds all texts one after the other; text i is `ids[offsets[i]:offsets[i + 1]]`.
    """

    def __init__(self, ids: np.ndarray, offsets: np.ndarray) -> None:
        self._ids = ids
        self._offsets = offsets
        self.lengths: np.ndarray = np.diff(offsets)  # (texts,), in tokens

    @property
    def ids(self) -> np.ndarray:
        """The ids of all texts, one after the other: (tokens,) int32."""
        return self._ids

    def __len__(self) -> int:
        return len(self.lengths)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...

    @overload
    def __getitem__(self, index: slice) -> list[np.ndarray]: ...

    def __getitem__(self, index: int | slice) -> np.ndarray | list[np.ndarray]:
        """Ids of one text, (tokens,) int32, a read-only view of the file; or of several texts."""
        if isinstance(index, slice):
            return [self[text] for text in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"text {index} of {len(self)}")
        index %= len(self)
        return self._ids[self._offsets[index] : self._offsets[index + 1]]


def tokenize_cached(texts: Sequence[str], tokenizer: Any) -> TokenStore:
    """Token ids of `texts`, from the cache or computed and put there; a damaged entry is made again.

    A special token that is spelled out in a text, such as `</s>`, is dropped. The tokenizer is left as it was.

    Args:
        texts: cleaned texts.
        tokenizer: a fast tokenizer of `transformers`, or a `tokenizers.Tokenizer`.

    Raises:
        UsageError: the tokenizer has no fast backend.
        XalignError: the cache cannot be written.
    """
    try:
        folder = cache_directory() / "tokens"
        folder.mkdir(exist_ok=True)
        with _neither_cut_nor_padded(tokenizer) as backend:
            key = _key(texts, backend)
            with locked(folder / f"{key}.lock", wait=True):
                store = _open(folder / key)
                if store is None:
                    _write(folder / key, texts, backend)
                    store = _open(folder / key)
    except OSError as error:
        where = error.filename or "token cache"
        raise XalignError(f"{where}: {error.strerror}; set XALIGN_CACHE to a folder with room for tokens") from None
    if store is None:
        raise XalignError(f"{folder / key}: what was written does not read back; the disk may be damaged")
    return store


@contextmanager
def _neither_cut_nor_padded(tokenizer: Any) -> Iterator[Tokenizer]:
    """The tokenizer's backend with truncation and padding off inside the block and as they were after it.

    Switched rather than copied: to copy 250,000 entries takes longer than to tokenize 50,000 sentences.
    """
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not isinstance(backend, Tokenizer):
        raise UsageError(f"{type(tokenizer).__name__} has no fast backend; use a model folder with a tokenizer.json")
    truncation, padding = backend.truncation, backend.padding
    backend.no_truncation()
    backend.no_padding()
    try:
        yield backend
    finally:
        if truncation:
            backend.enable_truncation(**truncation)
        if padding:
            backend.enable_padding(**padding)


def _special_ids(backend: Tokenizer) -> np.ndarray:
    """Ids that stand for no text: (n,) int. The token for unknown pieces does stand for text and is not among them."""
    model = json.loads(backend.to_str())["model"]
    unknown = model["unk_id"] if "unk_id" in model else backend.token_to_id(model.get("unk_token") or "")
    added = backend.get_added_tokens_decoder()
    return np.array([id_ for id_, token in added.items() if token.special and id_ != unknown], dtype=np.int32)


def _key(texts: Sequence[str], backend: Tokenizer) -> str:
    total = hashlib.sha256(f"layout {LAYOUT_VERSION} cleaning {CLEANING_VERSION}\n".encode())
    total.update(hashlib.sha256(backend.to_str().encode()).digest())
    for text in texts:
        content = text.encode()
        total.update(len(content).to_bytes(8, "big"))
        total.update(content)
    return total.hexdigest()


def _write(entry: Path, texts: Sequence[str], backend: Tokenizer) -> None:
    special = _special_ids(backend)
    chunks = [np.empty(0, dtype=np.int32)]
    lengths = [np.empty(0, dtype=np.int64)]
    for start in range(0, len(texts), CHUNK_TEXTS):
        batch = list(texts[start : start + CHUNK_TEXTS])
        encoded = [encoding.ids for encoding in backend.encode_batch_fast(batch, add_special_tokens=False)]
        owners = np.repeat(np.arange(len(batch)), [len(ids) for ids in encoded])  # text of each token
        ids = np.fromiter(chain.from_iterable(encoded), dtype=np.int32, count=len(owners))
        is_text = np.isin(ids, special, invert=True)
        chunks.append(ids[is_text])
        lengths.append(np.bincount(owners[is_text], minlength=len(batch)))
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])  # (texts + 1,) int64
    with replacing_directory(entry) as partial:
        np.save(partial / IDS, np.concatenate(chunks), allow_pickle=False)
        np.save(partial / OFFSETS, offsets, allow_pickle=False)
        write_json(partial / SEAL, {name: digest_file(partial / name) for name in (IDS, OFFSETS)})


def _open(entry: Path) -> TokenStore | None:
    """The store of an entry whose files match their seal; None if it is absent or damaged."""
    try:
        seal = read_json(entry / SEAL)
        if seal != {name: digest_file(entry / name) for name in (IDS, OFFSETS)}:
            return None
    except (XalignError, OSError):
        return None
    # As a plain array: slicing `np.memmap` itself costs several times as much.
    ids = np.asarray(np.load(entry / IDS, mmap_mode="r", allow_pickle=False))
    return TokenStore(ids, np.load(entry / OFFSETS, allow_pickle=False))
