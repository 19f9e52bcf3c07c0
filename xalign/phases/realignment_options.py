"""Which options of a realignment go together, how much it reads, and how what it makes is called."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from xalign.config import RealignConfig
from xalign.data.languages import parse_pair
from xalign.data.parallel import PairCorpus
from xalign.encoder import Encoder
from xalign.engine import launch
from xalign.errors import UsageError
from xalign.hidden_states import layer_stack
from xalign.methods.realignment_variants import DEFAULTS, METHOD, aligner_name, variant
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
    if "during" in config.strategy and config.freeze != "none" and config.gradient_checkpointing:
        # What is checkpointed is computed again with the parameters themselves, not with those that stand in for them.
        raise UsageError(
            f"freeze={config.freeze} during fine-tuning does not go with gradient_checkpointing: leave out one of them"
        )
    if config.codeswitch and config.strategy.startswith("before"):
        # The lineage that a run hands on with encoder/ would count data that this encoder never saw.
        rest = "'xalign finetune --model RUN'" if config.strategy == "before" else "'--strategy during --model RUN'"
        raise UsageError(
            f"codeswitch does not go with strategy={config.strategy}: realign without it, then code-switch in {rest}"
        )
    _refuse_idle(config)


def _refuse_idle(config: RealignConfig) -> None:
    """Refuse options that were changed but do nothing."""
    idle = {"matching": f"aligner={config.aligner}"} if config.aligner != "neural" else {}
    if "during" not in config.strategy:
        idle["coefficient"] = f"strategy={config.strategy}"
    if config.strategy == "baseline":
        idle |= dict.fromkeys(("freeze", "negatives", "matching", "temperature"), "strategy=baseline")
    for name, why in idle.items():
        if getattr(config, name) != DEFAULTS[name]:
            raise UsageError(f"{name}={getattr(config, name)} does nothing with {why}: leave it out")


def check_freezing(config: RealignConfig, encoder: Encoder, layer: int) -> None:
    """Refuse to freeze all that realignment could train, or nothing of it.

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
    if config.freeze == "upper" and layer <= depth // 2:
        raise UsageError(
            f"freeze=upper freezes nothing that is realigned at layer {layer} of {depth}: raise layer, or use "
            f"--freeze none"
        )


def most_pairs(config: RealignConfig, sentences: int) -> int | None:
    """How many sentence pairs are linked; the neural aligner encodes no more of them than training will read."""
    if config.aligner != "neural":
        return config.max_pairs
    epoch = -(-min(sentences, config.max_sentences or sentences) // config.batch_size)
    steps = max(config.realign_steps, config.epochs * epoch if "during" in config.strategy else 0)
    return min(config.max_pairs or steps * config.realign_batch_size, steps * config.realign_batch_size)


def pairs_read(pairs: int, config: RealignConfig, *, before: int, during: int) -> int:
    """Sentence pairs that realignment could read, of so many, in its steps before and during fine-tuning.

    Both stages read them in an order of their own.
    """
    return min(pairs, (before + during) * config.realign_batch_size)


def realigned_lineage(
    config: RealignConfig, lineage: Mapping[str, Any], corpus: PairCorpus, layer: int
) -> dict[str, Any]:
    """`lineage` of the encoder and task, with the realignment at `layer` that they get."""
    lineage = dict(lineage)
    if config.strategy == "baseline":
        return with_method(lineage, f"{METHOD}-baseline")
    pair = "-".join(language.short or language.code for language in corpus.languages)
    before = config.strategy.startswith("before")
    method = [METHOD, config.strategy, aligner_name(config.aligner), variant(dataclasses.asdict(config), layer)]
    if not lineage["pair"]:
        lineage["pair"] = pair
        if before:
            lineage |= {"align_seed": config.realign_seed, "align_step": config.realign_steps}
    else:
        # The seed of a first realignment is the lineage's align_seed, which names say already.
        method.append(
            f"seed{config.realign_seed}" if before and config.realign_seed != DEFAULTS["realign_seed"] else ""
        )
        method.append(pair if parse_pair(lineage["pair"]) != corpus.languages else "")
    return with_method(lineage, "-".join(part for part in method if part))
