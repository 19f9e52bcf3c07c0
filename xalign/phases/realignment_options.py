"""Which options of a realignment go together, how much it reads, and how what it makes is called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xalign.config import RealignConfig
from xalign.data.languages import parse_pair
from xalign.data.parallel import PairCorpus
from xalign.encoder import Encoder
from xalign.engine import launch
from xalign.errors import UsageError
from xalign.hidden_states import layer_stack
from xalign.methods.link_corpus import ALIGNERS
from xalign.naming import with_method


def check_realignment(config: RealignConfig) -> None:
    """Refuse options of realignment that contradict each other or the launch.

    Raises:
        UsageError: which, and what to do.
    """
    processes = launch.world_size()
    if launch.under_deepspeed():
        raise UsageError("realign does not run under DeepSpeed: launch with accelerate_configs/multi_gpu.yaml")
    if config.realign_batch_size % (processes * config.accumulation):
        raise UsageError(
            f"realign_batch_size={config.realign_batch_size} does not divide over {processes} processes × "
            f"accumulation={config.accumulation}"
        )
    if "during" in config.strategy and config.mode == "linear":
        raise UsageError(f"strategy={config.strategy} trains the encoder with the task: use --mode full, or before")


def check_freezing(config: RealignConfig, encoder: Encoder, layer: int) -> None:
    """Refuse to freeze all that realignment could train.

    Raises:
        UsageError: which, and what to do.
    """
    depth = len(layer_stack(encoder.base))
    if config.freeze != "none" and depth < 2:
        raise UsageError(f"freeze={config.freeze}: {config.model} has no two halves of layers; use --freeze none")
    if config.freeze == "lower" and layer <= depth // 2:
        raise UsageError(
            f"freeze=lower leaves nothing to realign at layer {layer} of {depth}: raise layer, or use --freeze none"
        )


def most_pairs(config: RealignConfig, sentences: int) -> int | None:
    """How many sentence pairs are linked; the neural aligner encodes no more of them than training will read."""
    if config.aligner != "neural":
        return config.max_pairs
    epoch = -(-min(sentences, config.max_sentences or sentences) // config.batch_size)
    steps = max(config.realign_steps, config.epochs * epoch if "during" in config.strategy else 0)
    return min(config.max_pairs or steps * config.realign_batch_size, steps * config.realign_batch_size)


def realigned_lineage(config: RealignConfig, lineage: Mapping[str, Any], corpus: PairCorpus) -> dict[str, Any]:
    """`lineage` of the encoder and task, with the realignment that they get."""
    lineage = dict(lineage)
    if config.strategy == "baseline":
        return with_method(lineage, "realign-baseline")
    pair = "-".join(language.short or language.code for language in corpus.languages)
    method = [
        "realign", config.strategy, config.aligner if config.aligner in ALIGNERS else "file",
        "itermax" if config.aligner == "neural" and config.matching == "itermax" else "",
        config.freeze if config.freeze != "none" else "", "weak" if config.negatives == "weak" else "",
    ]  # fmt: skip
    if not lineage["pair"]:
        lineage["pair"] = pair
        if config.strategy.startswith("before"):
            lineage |= {"align_seed": config.realign_seed, "align_step": config.realign_steps}
    elif parse_pair(lineage["pair"]) != corpus.languages:
        method.append(pair)
    return with_method(lineage, "-".join(part for part in method if part))
