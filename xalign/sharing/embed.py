"""Sentence vectors of a text file, as every analysis computes them: one line, one sentence, one vector.

xalign embed --model runs/de-en --input sentences.txt --output vectors.npy
"""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xalign.analysis.vectors import Vectorizer
from xalign.data.languages import find
from xalign.data.lines import read_lines, split_lines
from xalign.data.tokens import tokenize_cached
from xalign.encoder import load_encoder
from xalign.engine.launch import resolve_precision
from xalign.errors import UsageError, XalignError
from xalign.frozen_features import Encoding
from xalign.hidden_states import resolve_layer
from xalign.model_source import find_model
from xalign.reading import MAX_LENGTH, choose
from xalign.storage import write_bytes

FORMATS = (".npy", ".safetensors")
STANDARD_INPUT = "-"
BATCHES_AT_ONCE = 16  # sorted by length together, and one step of the progress bar


@dataclass(frozen=True, kw_only=True)
class EmbedOptions:
    """What `embed` reads and writes; layer and pooling are the run's own where they are None."""

    model: str
    input: str
    output: str
    layer: str | None = None
    pooling: str | None = None
    batch_size: int = 64
    max_length: int = MAX_LENGTH
    normalize: bool = False
    language: str | None = None
    precision: str = "auto"
    quiet: bool = False


def embed(options: EmbedOptions) -> dict[str, Any]:
    """Encode the lines of a file, and write their vectors.

    Returns:
        a summary: counts, shape, layer and pooling and who said so, and how many sentences were cut.

    Raises:
        UsageError: no such model, input, layer, pooling, language or output format; before anything is encoded.
        XalignError: an empty line or bytes that are not UTF-8 (with file and line), or damaged weights.
    """
    output = _checked_output(options)
    source = find_model(options.model)
    reading = choose(source, options.layer, options.pooling)
    language = find(options.language) if options.language is not None else None
    sentences = read_sentences(options.input)
    encoder = load_encoder(source)
    layer = resolve_layer(reading.layer, encoder.depth)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoding = Encoding(options.batch_size, device, resolve_precision(options.precision))
    vectorizer = Vectorizer(encoder, encoding, options.max_length, reading.pooling)
    length = encoder.effective_length(options.max_length)
    vectors, cut = _encode(vectorizer, sentences, layer, options)
    if cut:
        print(f"{cut:,} of {len(sentences):,} sentences are longer than {length} tokens and were cut", file=sys.stderr)
    if options.normalize:
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    summary = {
        "model": source.name,
        "weights": source.digest,
        "layer": layer,
        "pooling": reading.pooling,
        "chosen_by": reading.origin,
        "normalized": options.normalize,
        "max_length": length,
        "language": language.code if language is not None else None,
        "sentences": len(sentences),
        "cut": cut,
        "dimensions": encoder.width,
        "precision": encoding.precision,
    }
    _write(output, vectors, summary)
    return summary | {"output": str(output)}


def read_sentences(name: str) -> list[str]:
    """The lines of a UTF-8 file (``-``: standard input), without white space around them, as FLORES is read.

    Raises:
        UsageError: no such file.
        XalignError: no line, an empty one, or bytes that are not UTF-8; with file and line.
    """
    where = Path("<stdin>") if name == STANDARD_INPUT else Path(name)
    lines = split_lines(sys.stdin.buffer.read(), where) if name == STANDARD_INPUT else read_lines(where)
    sentences = [line.strip() for line in lines]
    for number, sentence in enumerate(sentences, start=1):
        if not sentence:
            raise XalignError(f"{where}:{number}: an empty line has no vector; delete it")
    return sentences


def _checked_output(options: EmbedOptions) -> Path:
    output = Path(options.output)
    if output.suffix not in FORMATS:
        raise UsageError(f"{output}: vectors are written as {' or '.join(FORMATS)}; name the output so")
    if not output.absolute().parent.is_dir():
        raise UsageError(f"{output.parent}: no such directory; make it, or choose another --output")
    if output.is_dir():
        raise UsageError(f"{output}: a directory; choose another --output")
    if options.batch_size < 1:
        raise UsageError(f"batch_size={options.batch_size} is out of range: at least 1")
    if options.max_length < 3:
        raise UsageError(f"max_length={options.max_length} is out of range: at least 3")
    return output


def _encode(vectorizer: Vectorizer, sentences: list[str], layer: int, options: EmbedOptions) -> tuple[np.ndarray, int]:
    """(n, d) vectors in the order of the sentences, and how many of these were cut; the bar is on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    encoder = vectorizer.encoder
    room = encoder.effective_length(options.max_length) - 2  # a special token at either end
    vectors, cut = np.empty((len(sentences), encoder.width), dtype=np.float32), 0
    size = options.batch_size * BATCHES_AT_ONCE
    columns = (TextColumn("embed"), BarColumn(), MofNCompleteColumn(), TextColumn("sentences"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=options.quiet) as progress:
        task = progress.add_task("embed", total=len(sentences))
        for start in range(0, len(sentences), size):
            chunk = sentences[start : start + size]
            vectors[start : start + len(chunk)] = vectorizer.compute(chunk, [layer])[0]
            cut += int((tokenize_cached(chunk, encoder.tokenizer).lengths > room).sum())  # the same cache entry
            progress.advance(task, len(chunk))
    return vectors, cut


def _write(output: Path, vectors: np.ndarray, summary: dict[str, Any]) -> None:
    try:
        if output.suffix == ".npy":
            stream = io.BytesIO()
            np.save(stream, vectors, allow_pickle=False)
            write_bytes(output, stream.getvalue())
        else:
            from safetensors.numpy import save

            said = {name: str(value) for name, value in summary.items() if value is not None}
            write_bytes(output, save({"vectors": np.ascontiguousarray(vectors)}, metadata=said))
    except OSError as error:
        raise XalignError(f"{output}: cannot be written ({error.strerror}); choose another --output") from None
