"""Realigning an encoder by itself, before any task: the training whose result stands in ``encoder/``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xalign.config.realign import RealignConfig
from xalign.encoder import export, load_encoder
from xalign.engine.batch import BatchOrder
from xalign.engine.loop import train
from xalign.engine.training import Training
from xalign.engine.weights import full_precision
from xalign.methods.linked_words import LinkedPairs
from xalign.methods.realignment import RealignmentObjective, token_ids, token_lengths
from xalign.methods.realignment_batches import RealignmentBatches
from xalign.methods.word_pieces import WordPieces
from xalign.model_source import ModelSource
from xalign.runs import Run
from xalign.storage import replacing_directory
from xalign.used_vocabulary import keep_used_rows

if TYPE_CHECKING:
    from accelerate import Accelerator

ENCODER = "encoder"


def objective_options(config: RealignConfig, layer: int) -> dict[str, Any]:
    """The options of `RealignmentObjective` in a configuration."""
    return {
        "layer": layer, "temperature": config.temperature, "negatives": config.negatives, "freeze": config.freeze,
    }  # fmt: skip


def batching(config: RealignConfig, accelerator: Accelerator) -> dict[str, int]:
    """The share of each batch that this process takes: options of `RealignmentBatches`."""
    return {
        "accumulation": config.accumulation,
        "rank": accelerator.process_index,
        "processes": accelerator.num_processes,
    }


def realign_before(
    run: Run, config: RealignConfig, source: ModelSource, pairs: LinkedPairs, layer: int, accelerator: Accelerator
) -> None:
    """Realign an encoder by itself, and write it to ``encoder/``."""
    encoder = load_encoder(source, dropout=config.dropout if config.mode == "full" else None)
    encoder.set_execution(compiled=config.compile, checkpointed=config.gradient_checkpointing)
    if config.vocabulary == "used":
        keep_used_rows(encoder, token_ids(pairs, encoder.tokenizer))
    objective = RealignmentObjective(encoder, **objective_options(config, layer))
    objective.freeze(encoder)
    order = BatchOrder(
        token_lengths(pairs, encoder.tokenizer), config.realign_batch_size,
        seed=config.realign_seed, bucket_batches=config.bucket_batches,
    )  # fmt: skip
    batches = RealignmentBatches(
        pairs, WordPieces(encoder, config.max_length), order, **batching(config, accelerator)
    )  # fmt: skip
    training = Training(
        steps=config.realign_steps, seed=config.realign_seed, title=f"realign {config.pair} {config.aligner}",
        item="pairs", warmup=config.realign_warmup, clip=config.clip, accumulation=config.accumulation,
        save_every=config.save_every, workers=config.workers, quiet=config.quiet, labels={"stage": "realign"},
    )  # fmt: skip
    learned = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    # The option weight_decay is fine-tuning's: its default depends on the task, which realignment does not know.
    groups = [{"params": learned, "lr": config.realign_learning_rate, "weight_decay": 0.0}]
    train(run, objective, groups, batches, training, accelerator)
    state = full_precision(encoder.model, accelerator)
    if run.main:
        with replacing_directory(run.directory / ENCODER) as folder:
            export(encoder, folder, state)
    accelerator.free_memory()
    accelerator.wait_for_everyone()
