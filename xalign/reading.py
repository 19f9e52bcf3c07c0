"""How an encoder's sentence vectors are read: which hidden state, pooled how, from how many tokens.

A run knows what it aligned; an export says it in ``xalign.json``; any other encoder is read where the paper measures.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xalign.config.analyses import MAIN_LAYER
from xalign.errors import UsageError
from xalign.model_source import ModelSource
from xalign.storage import read_json

EXPORT_RECORD = "xalign.json"
POOLINGS = ("mean", "cls")
MAX_LENGTH = 128  # what every analysis reads


@dataclass(frozen=True)
class Reading:
    """How sentence vectors are read.

    Attributes:
        layer: k of ``hidden_states[k]``, or a share of the depth, as `xalign.hidden_states.resolve_layer` reads it.
        pooling: ``mean`` over non-special tokens, or ``cls``.
        origin: who says so, in words.
        aligned: whether a training drew the vectors read so together.
    """

    layer: str
    pooling: str
    origin: str
    aligned: bool = False


def reading_of_run(record: dict[str, Any]) -> Reading | None:
    """What a run of this ``run.json`` aligned; None where it aligned no hidden state (pre-training, fine-tuning)."""
    config, phase = record["config"], record["phase"]
    if "layer" not in config or phase not in ("align", "joint", "realign"):
        return None
    pooling = config.get("align_pooling" if phase == "joint" else "pooling", "mean")
    # Realignment contrasts words: its option pooling is the topic task's, and says nothing about the alignment.
    return Reading(str(config["layer"]), "mean" if phase == "realign" else pooling, f"its {phase} run", True)


def reading_of(source: ModelSource) -> Reading:
    """The layer and pooling of an encoder, by its run, by its export, or else those of the paper's measurements."""
    exported = source.directory / EXPORT_RECORD
    if exported.is_file():
        said = read_json(exported)
        return Reading(str(said["layer"]), said["pooling"], "its export", bool(said.get("aligned")))
    run = source.directory.parent / "run.json"
    if source.upstream is not None and run.is_file():
        found = reading_of_run(read_json(run))
        if found is not None:
            return found
    return Reading(MAIN_LAYER, "mean", "the paper's measurements")


def choose(source: ModelSource, layer: str | None, pooling: str | None) -> Reading:
    """`reading_of`, with what the user asked for in its place.

    Raises:
        UsageError: a pooling that does not exist.
    """
    own = reading_of(source)
    if pooling is not None and pooling not in POOLINGS:
        raise UsageError(f"pooling={pooling} is unknown: choose from {', '.join(POOLINGS)}")
    if layer is None and pooling is None:
        return own
    return Reading(layer or own.layer, pooling or own.pooling, "the command line", False)


def run_of(source: ModelSource) -> Path | None:
    """The run directory that an encoder stands in, if it stands in one."""
    return source.directory.parent if source.upstream is not None else None
