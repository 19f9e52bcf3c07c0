"""Phase I: alignment tuning of an encoder on sentence pairs.

    accelerate launch -m xalign align --pair de-en --loss S1W0M1 --model xlm-roberta-base --output runs/de-en

Source: Veitsman, Liu & Schütze 2026, §4.2.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from xalign.analysis.retrieval import translation_scores
from xalign.config import AlignConfig
from xalign.data.parallel import PairCorpus, load_pairs
from xalign.data.tokens import TokenStore, tokenize_cached
from xalign.encoder import Encoder, export, load_encoder
from xalign.engine import collective, launch
from xalign.engine.batch import BatchOrder, Order, pad
from xalign.engine.loop import train
from xalign.engine.training import Training
from xalign.engine.weights import full_precision
from xalign.errors import XalignError
from xalign.hidden_states import resolve_layer
from xalign.length_groups import resolve_groups
from xalign.methods import monolingual
from xalign.methods.lora import Adapter
from xalign.model_source import ModelSource, find_model
from xalign.naming import align_name, runs_directory, with_method
from xalign.objective import AlignmentObjective, active_losses
from xalign.pair_batches import Layout, PairBatches
from xalign.phases.alignment_options import check_combination, reads_translations
from xalign.phases.inputs import describe_inputs, open_data
from xalign.runs import Inputs, Run, RunResult, completed, open_run, run_key
from xalign.sharing.model_card import write_card
from xalign.storage import replacing_directory
from xalign.tracking import following
from xalign.used_vocabulary import keep_used_rows

if TYPE_CHECKING:
    from accelerate import Accelerator

EVAL_BATCH = 128


@dataclass
class Preparation:
    """Everything that can be refused before a run's directory exists."""

    source: ModelSource
    corpus: PairCorpus
    inputs: Inputs
    encoder: Encoder
    objective: AlignmentObjective
    layout: Layout
    batches: PairBatches
    held_out: tuple[TokenStore, TokenStore]
    adapter: Adapter | None


def align(config: AlignConfig) -> RunResult:
    """Tune an encoder on the pairs of two languages.

    Returns:
        the run; its ``encoder/`` loads with `AutoModel` and `AutoModelForMaskedLM`.

    Raises:
        UsageError: a pair, model, option or output that does not fit, before anything is written.
        XalignError: training failed; what was reached stays for ``--resume``.
    """
    check_combination(config)
    config = launch.with_precision(config)
    source = find_model(config.model)
    data = open_data(config.data)
    corpus = load_pairs(
        data, config.pair, max_pairs=config.max_pairs, held_out=config.held_out, shared_with=config.shared_with
    )
    inputs = describe_inputs(data, corpus.files, source)
    if not config.overwrite and (done := completed(Path(config.output), run_key("align", config, inputs))):
        return done
    prepared = prepare(config, source, corpus, inputs)
    pair = "-".join(language.short or language.code for language in corpus.languages)
    lineage: dict[str, Any] = {
        "encoder": source.name,
        "pair": pair,
        "loss": config.loss,
        "align_seed": config.seed,
        "align_step": config.steps,
    }
    if source.lineage.get("method"):
        lineage = with_method(lineage, source.lineage["method"])
    for method, used in (("monolingual", config.positives == "dropout"), ("lora", config.adapter == "lora")):
        lineage = with_method(lineage, method) if used else lineage
    name = align_name(pair, config.loss, config.seed, lineage.get("method"))
    with open_run(config, "align", name, lineage, inputs, main=launch.rank() == 0) as run:
        runs = runs_directory(run.directory, name)
        with following(run, runs=runs, tracking=config.tracking, log_checkpoints=config.log_checkpoints):
            return _train(run, config, prepared)


def prepare(config: AlignConfig, source: ModelSource, corpus: PairCorpus, inputs: Inputs) -> Preparation:
    """Load the encoder, tokenise the pairs, and set up objective and batches."""
    encoder = load_encoder(source, dropout=config.dropout)
    encoder.set_execution(compiled=config.compile, checkpointed=config.gradient_checkpointing)
    losses = active_losses(config.loss)
    sides = corpus.train.source, corpus.train.target, corpus.held_out.source, corpus.held_out.target
    first, second, *held_out = stores = [tokenize_cached(texts, encoder.tokenizer) for texts in sides]
    if config.vocabulary == "used" and not {"W", "M"} & set(losses):  # W draws from the table, M predicts all of it
        keep_used_rows(encoder, (store.ids for store in stores))
    layer = resolve_layer(config.layer, encoder.depth)
    objective = AlignmentObjective(
        encoder, losses, layer=layer, pooling=config.pooling,
        temperature=config.temperature, negatives=config.negatives, detach_lookup=config.detach_lookup,
        share_forward=config.share_forward, grad_cache=config.grad_cache,
    )  # fmt: skip
    adapter = None
    if config.adapter == "lora":
        adapter = Adapter(
            encoder, encoder.depth if "M" in losses else layer, rank=config.adapter_rank, alpha=config.adapter_alpha,
            targets=config.adapter_targets, seed=config.seed,
        )  # fmt: skip
    layout = Layout.of(
        encoder.tokenizer,
        encoder.special_ids.tolist(),
        encoder.model.config.model_type,
        encoder.effective_length(config.max_length),
        encoder.effective_length(2 * config.max_length),
    )
    draw: dict[str, Any] = {"seed": config.seed, "bucket_batches": config.bucket_batches}
    order: Order
    if config.positives == "dropout":
        monolingual.require_dropout(encoder)
        order = monolingual.TurnsOfLanguages(first.lengths, second.lengths, config.batch_size, **draw)
        first = second = monolingual.all_sentences(first, second)
    else:
        order = BatchOrder(np.maximum(first.lengths, second.lengths), config.batch_size, **draw)
    batches = PairBatches(
        first, second, layout, order, losses=losses, seed=config.seed, word_negatives=config.word_negatives,
        mlm_probability=config.mlm_probability, mlm_input=config.mlm_input, share_forward=config.share_forward,
        length_groups=resolve_groups(config.length_groups), accumulation=config.accumulation,
        rank=launch.rank(), processes=launch.world_size(),
    )  # fmt: skip
    return Preparation(source, corpus, inputs, encoder, objective, layout, batches, (held_out[0], held_out[1]), adapter)


def _train(run: Run, config: AlignConfig, prepared: Preparation) -> RunResult:
    objective = prepared.objective
    accelerator = launch.start(
        config.precision,
        accumulation=config.accumulation,
        clip=config.clip,
        micro_batch=config.batch_size // config.accumulation // launch.world_size(),
        timeout_seconds=config.timeout_seconds,
    )
    try:
        environment = launch.environment(accelerator, config.precision)
        run.write("environment.json", environment | {"length_groups": prepared.batches.length_groups})
        _say(run, config, prepared)
        scores: dict[str, float] = {}

        def validate() -> list[dict[str, float]]:
            vectors = [
                embed_all(objective, store, prepared.layout, config.eval_pairs, accelerator.device)
                for store in prepared.held_out
            ]
            scores.update(translation_scores(*vectors))
            return [dict(scores)]

        def keep(step: int) -> None:
            _export(run, f"encoder-step{step}", prepared, accelerator)

        training = Training(
            steps=config.steps, seed=config.seed, title=f"align {config.pair} {config.loss}", item="pairs",
            warmup=config.warmup, clip=config.clip, accumulation=config.accumulation, save_every=config.save_every,
            eval_every=config.eval_every, workers=config.workers, quiet=config.quiet, validate=validate, keep=keep,
            keep_steps=tuple(step for step in config.keep_steps if step < config.steps),
        )  # fmt: skip
        trained = [parameter for parameter in objective.parameters() if parameter.requires_grad]
        groups = [{"params": trained, "lr": config.learning_rate, "weight_decay": config.weight_decay}]
        trained_parameters = sum(parameter.numel() for parameter in trained)
        train(run, objective, groups, prepared.batches, training, accelerator)
        _export(run, "encoder", prepared, accelerator)
        return run.finish(
            {
                "validation": scores,
                "steps": config.steps,
                "pairs": dataclasses.asdict(prepared.corpus.counts),
                "layer": objective.layer,
                "parameters": 0,
                "trained_parameters": trained_parameters,
                "translations": min(prepared.corpus.counts.kept, config.steps * config.batch_size)
                * reads_translations(config),
            }
        )
    finally:
        launch.stop(accelerator)


def _say(run: Run, config: AlignConfig, prepared: Preparation) -> None:
    if run.main and not config.quiet:
        layout = prepared.layout
        print(f"{config.pair}: {prepared.corpus.counts.summary()}")
        print(
            f"hidden_states[{prepared.objective.layer}], {config.pooling} pooling; "
            f"at most {layout.max_length} tokens a sentence, {layout.pair_length} a pair"
        )


def embed_all(
    objective: Any, store: TokenStore | Sequence[np.ndarray], layout: Layout, limit: int, device: torch.device
) -> Tensor:
    """Vectors of the first `limit` sentences, each process encoding its share: (n, d) on every process."""
    count = min(limit, len(store))
    mine = list(range(collective.rank(), count, collective.processes()))
    mine.sort(key=lambda index: len(store[index]))
    vectors: Tensor | None = None
    for start in range(0, len(mine), EVAL_BATCH):
        indices = mine[start : start + EVAL_BATCH]
        ids = torch.from_numpy(pad([layout.sentence(store[i]) for i in indices], layout.padding)).to(device)
        found = objective.embed(ids)
        if vectors is None:
            vectors = torch.zeros(count, found.shape[-1], device=device)
        vectors[torch.tensor(indices, device=device)] = found.float()
    if vectors is None:
        raise XalignError(f"{count} held-out pairs are fewer than processes: raise held_out")
    return collective.sum_over_processes(vectors)


def _export(run: Run, name: str, prepared: Preparation, accelerator: Accelerator) -> None:
    """Write the encoder; where it has adapters, they are added to its weights there, and written by themselves too."""
    encoder, adapter = prepared.encoder, prepared.adapter
    state = full_precision(encoder.model, accelerator)
    if not run.main:
        return
    trained = state or encoder.model.state_dict()
    with replacing_directory(run.directory / name) as folder:
        export(encoder, folder, state if adapter is None else adapter.merged(trained))
        write_card(run.directory, folder, name=name)  # a stage is used before the run is complete
    if adapter is not None:
        beside = name.replace("encoder", "adapter")
        with replacing_directory(run.directory / beside) as folder:
            adapter.save(folder, trained)
            write_card(run.directory, folder, name=beside)
