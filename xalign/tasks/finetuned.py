"""What a fine-tuning run leaves behind, and how it is read back.

head/head.json                 task, labels, and how a unit becomes a vector
head/seed15.safetensors        weight (labels, d) and bias (labels,); dev scores in its metadata
head/probe.safetensors         the same for the converged probe (linear mode)
head/encoder.json              linear mode: path and digest of the encoder, which is not copied
encoder-seed15/                full mode: the encoder that belongs to the head
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from xalign.errors import UsageError, XalignError
from xalign.model_source import EMBEDDED, ModelSource, embedded_directory
from xalign.runs import require_complete
from xalign.storage import digest_file, digest_json, naming_damage, read_record, write_bytes, write_json

HEADS, PROBE = "head", "probe"
SCORES = "scores"
PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Head:
    """A linear head: weight (labels, d), bias (labels,), and what was measured with it on dev data."""

    weight: Tensor
    bias: Tensor
    scores: Mapping[str, float]


def head_file(run: Path, head: int | str) -> Path:
    """Where the head of a seed, or the probe, is kept."""
    return run / HEADS / (f"{PROBE}.safetensors" if head == PROBE else f"seed{head}.safetensors")


def encoder_directory(run: Path, seed: int) -> Path:
    """Where full fine-tuning keeps the encoder of a seed."""
    return run / f"encoder-seed{seed}"


def write_head(path: Path, head: Head) -> None:
    """Write a head atomically; the same head is the same bytes, for runs are known by digests of what they read."""
    tensors = {"weight": head.weight.detach().float().cpu(), "bias": head.bias.detach().float().cpu()}
    # One entry: safetensors writes several in another order each time.
    metadata = {SCORES: json.dumps({key: float(value) for key, value in head.scores.items()}, sort_keys=True)}
    write_bytes(path, save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata))


def read_head(path: Path) -> Head:
    """Read a head.

    Raises:
        XalignError: it is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            # Earlier runs hold an entry for each score.
            found = json.loads(metadata[SCORES]) if SCORES in metadata else metadata
            scores = {key: float(value) for key, value in found.items() if key != "format"}
            return Head(file.get_tensor("weight"), file.get_tensor("bias"), scores)
    except (OSError, SafetensorError, ValueError, TypeError, AttributeError) as error:
        raise XalignError(f"{path}: cannot be read ({error}); run 'xalign finetune' again with --overwrite") from None


def write_description(run: Path, description: Mapping[str, Any], source: ModelSource, digest: str | None) -> None:
    """Write ``head.json``, and ``encoder.json`` if `digest` of a frozen encoder is given.

    An encoder that a run made is named relative to this run, so that both may move together; the embedded one by name.
    """
    (run / HEADS).mkdir(exist_ok=True)
    write_json(run / HEADS / "head.json", dict(description))
    if digest is not None:
        path = str(source.directory.resolve())
        if source.directory == PACKAGE / "models" / EMBEDDED:
            path = EMBEDDED
        elif source.upstream is not None:
            path = os.path.relpath(path, run.resolve())
        write_json(run / HEADS / "encoder.json", {"path": path, "digest": digest})


@dataclass(frozen=True)
class Finetuned:
    """A complete fine-tuning run.

    Attributes:
        record: its ``run.json``.
        description: its ``head.json``.
        heads: heads by name: a seed as text, or ``probe``.
        encoders: for each encoder, the names of the heads that sit on it.
        digest: SHA-256 over heads and encoders.
    """

    directory: Path
    record: dict[str, Any]
    description: dict[str, Any]
    heads: dict[str, Head]
    encoders: list[tuple[ModelSource, tuple[str, ...]]]
    digest: str


def read_finetuned(run: Path) -> Finetuned:
    """Read a fine-tuning run.

    Raises:
        UsageError: not a fine-tuning run.
        XalignError: it is not complete, a part is missing or damaged, or its encoder has changed since (stale).
    """
    if not run.exists():
        raise UsageError(f"{run}: no such directory; --model takes the directory of a finetune run")
    with naming_damage(run):
        return _read(run)


def _read(run: Path) -> Finetuned:
    record = require_complete(run)
    if not (run / HEADS).is_dir():  # of finetune, or of a method that trains a task in its own way
        raise UsageError(f"{run}: {_article(record['phase'])} run; --model takes the directory of a finetune run")
    description = read_record(run / HEADS / "head.json")
    seeds = record["config"]["seeds"]
    heads = {str(seed): read_head(head_file(run, seed)) for seed in seeds}
    if head_file(run, PROBE).is_file():
        heads[PROBE] = read_head(head_file(run, PROBE))
    lineage = record["lineage"]
    if lineage["mode"] == "linear":
        directory, digest = _frozen_encoder(run)
        digests = {"encoder": digest}
        encoders = [(ModelSource(lineage["encoder"], directory, lineage), tuple(heads))]
    else:
        sources = {str(seed): ModelSource(lineage["encoder"], encoder_directory(run, seed), lineage) for seed in seeds}
        for source in sources.values():
            _require_encoder(source.directory, "it was deleted after its transfer, or the copy is incomplete")
        digests = {seed: source.digest for seed, source in sources.items()}
        encoders = [(source, (seed,)) for seed, source in sources.items()]
    files = {name: digest_file(head_file(run, name)) for name in heads}
    content = {"description": description, "heads": files, "encoders": digests}
    return Finetuned(run, record, description, heads, encoders, digest_json(content))


def _frozen_encoder(run: Path) -> tuple[Path, str]:
    """Directory and digest of the encoder that heads of linear mode were trained on."""
    reference = read_record(run / HEADS / "encoder.json", path=str, digest=str)
    # Joining an absolute path gives the absolute path.
    directory = embedded_directory() if reference["path"] == EMBEDDED else run / reference["path"]
    _require_encoder(directory, f"{run} was trained on it")
    if ModelSource("", directory).digest != reference["digest"]:
        raise XalignError(
            f"{directory}: this encoder has changed since {run} was trained on it; "
            f"run 'xalign finetune' again with --overwrite"
        )
    return directory, reference["digest"]


def _require_encoder(directory: Path, why: str) -> None:
    if not (directory / "config.json").is_file():
        raise XalignError(f"{directory}: no encoder there ({why}); run 'xalign finetune' again with --overwrite")


def _article(phase: str) -> str:
    return f"an {phase}" if phase[0] in "aeiou" else f"a {phase}"
