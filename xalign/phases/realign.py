"""Realignment as a phase: words that an aligner links are drawn together before or during fine-tuning on English.

    accelerate launch -m xalign realign --task pos --pair de-en --strategy before --aligner dictionary \\
        --model xlm-roberta-base --data DATA --output runs/realign

What it leaves, `xalign transfer` tests like any fine-tuned model; realigned before fine-tuning, ``encoder/`` is a
model of its own. Source: Gaschi et al. 2023, arXiv 2306.02790; AlignFreeze 2025, arXiv 2502.12959.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xalign.config import RealignConfig
from xalign.config.realign import ALIGNERS
from xalign.data.parallel import PairCorpus, load_pairs
from xalign.encoder import Encoder, load_encoder
from xalign.engine import launch
from xalign.frozen_features import Encoding
from xalign.hidden_states import resolve_layer
from xalign.methods.link_corpus import (
    Linker,
    links_written,
    make_linker,
    measured_links,
    trained_links,
    write_links,
)
from xalign.methods.linked_words import LinkedPairs
from xalign.methods.neural_aligner import NeuralAligner
from xalign.methods.realignment import RealignmentBeside
from xalign.methods.realignment_before import ENCODER, batching, objective_options, realign_before
from xalign.methods.word_aligners import WordAligner
from xalign.methods.word_retrieval import measure
from xalign.model_source import ModelSource, find_model
from xalign.naming import encoder_name, realign_name, runs_directory
from xalign.phases.csv_files import Value, write_csv
from xalign.phases.finetune import NO_LINEAGE, check_combination
from xalign.phases.inputs import describe_inputs, open_data
from xalign.phases.realignment_options import (
    check_freezing,
    check_realignment,
    most_pairs,
    pairs_read,
    realigned_lineage,
)
from xalign.phases.task_data import TaskData
from xalign.runs import Run, RunResult, completed, open_run, run_key
from xalign.storage import digest_file
from xalign.tasks import Task, make_task
from xalign.tasks.all_seeds import EVAL_BATCH, start, train_models
from xalign.tasks.finetuned import encoder_directory
from xalign.tracking import following

if TYPE_CHECKING:
    from accelerate import Accelerator

COLUMNS = ("state", "seed", "layer", "direction", "accuracy", "accuracy_strong")
BASE, REALIGNED, FINETUNED = "base", "realigned", "finetuned"


@dataclass
class Preparation:
    """Everything that can be refused before a run's directory exists."""

    task: Task
    source: ModelSource
    encoder: Encoder
    layer: int
    aligner_layer: int
    sentences: list[list[Any]]
    corpus: PairCorpus
    linker: Linker
    cost: dict[str, Any]


def realign(config: RealignConfig) -> RunResult:
    """Realign an encoder before or during fine-tuning, and measure how well its words were aligned at each stage.

    Returns:
        the run; `xalign.tasks.finetuned.read_finetuned` reads it back. ``alignment.csv`` has the 1-NN accuracy of
        linked words by state, layer and direction.

    Raises:
        UsageError: an option, pair, aligner, model or output that does not fit, before anything is written.
        XalignError: a training failed, or too few words were linked.
    """
    check_combination(config)
    check_realignment(config)
    config = launch.with_precision(config)
    task = make_task(config.task, label_on=config.label_on, pooling=config.pooling)
    source = find_model(config.model)
    data = open_data(config.data)
    material = TaskData(config, data, task)
    linker = make_linker(config, data)
    sentences = material.load()
    corpus = load_pairs(data, config.pair, max_pairs=most_pairs(config, len(sentences[0])), held_out=config.held_out)
    inputs = describe_inputs(data, [*material.files, *corpus.files, *linker.files], source)
    if config.aligner not in ALIGNERS:
        inputs = dataclasses.replace(inputs, data={**inputs.data, "links": digest_file(Path(config.aligner))})
    if not config.overwrite and (done := completed(Path(config.output), run_key("realign", config, inputs))):
        return done
    encoder = load_encoder(source, dropout=config.dropout)
    layer, aligner_layer = (resolve_layer(each, encoder.depth) for each in (config.layer, config.aligner_layer))
    check_freezing(config, encoder, layer)
    prepared = Preparation(task, source, encoder, layer, aligner_layer, sentences, corpus, linker, material.cost())
    lineage = {**NO_LINEAGE, **source.lineage, "encoder": source.name, "task": config.task, "mode": config.mode}
    lineage = realigned_lineage(config, material.lineage(lineage), corpus, layer)
    name = realign_name(config.task, config.mode, encoder_name(lineage))
    with open_run(config, "realign", name, lineage, inputs, main=launch.rank() == 0) as run:
        runs = runs_directory(run.directory, name)
        with following(run, runs=runs, tracking=config.tracking, log_checkpoints=config.log_checkpoints):
            accelerator = start(config)
            try:
                run.write("environment.json", launch.environment(accelerator, config.precision))
                return _run(run, config, prepared, accelerator)
            finally:
                launch.stop(accelerator)


def _run(run: Run, config: RealignConfig, prepared: Preparation, accelerator: Accelerator) -> RunResult:
    corpus, linker, source = prepared.corpus, prepared.linker, prepared.source
    learns = config.strategy != "baseline"
    encoding = Encoding(EVAL_BATCH, accelerator.device, config.precision)

    def make_aligner() -> WordAligner:
        return linker.aligner or NeuralAligner(
            load_encoder(source), layer=prepared.aligner_layer, matching=config.matching,
            max_length=config.max_length, encoding=encoding,
        )  # fmt: skip

    if run.main and not links_written(run.directory):
        write_links(run.directory, linker, corpus, make_aligner, train=learns)
    accelerator.wait_for_everyone()
    measured = measured_links(run.directory, config, linker, corpus)
    pairs = trained_links(run.directory, config, linker, corpus) if learns else None
    _say(run, config, corpus, pairs, measured)
    states: list[tuple[str, int | None, ModelSource]] = [(BASE, None, source)]
    encoder, offset = prepared.encoder, 0
    if pairs is not None and config.strategy.startswith("before"):
        directory = run.directory / ENCODER
        if not (run.resuming and (directory / "config.json").is_file()):
            accelerator.wait_for_everyone()
            realign_before(run, config, source, pairs, prepared.layer, accelerator)
            run.resuming = False  # what follows begins at its beginning
        upstream = {"path": str(run.directory), "key": run.record["key"]}
        source = ModelSource(source.name, directory, dict(run.record["lineage"]), upstream)
        encoder, offset = load_encoder(source, dropout=config.dropout), config.realign_steps
        states.append((REALIGNED, None, source))
    companion = None
    if pairs is not None and "during" in config.strategy:
        companion = RealignmentBeside(
            pairs, encoder.tokenizer, batch_size=config.realign_batch_size, max_length=config.max_length,
            coefficient=config.coefficient, bucket_batches=config.bucket_batches,
            options=objective_options(config, prepared.layer), batching=batching(config, accelerator),
        )  # fmt: skip
    trained = train_models(
        run, config, prepared.task, source, encoder, prepared.sentences, accelerator, companion=companion, offset=offset
    )
    if config.mode == "full":
        for seed in config.seeds:
            states.append((FINETUNED, seed, ModelSource(source.name, encoder_directory(run.directory, seed))))
    accelerator.wait_for_everyone()
    measures = _measure(run, config, measured, states, prepared, encoding) if run.main else {}
    during = trained["steps"] if companion is not None else 0
    read = pairs_read(len(pairs), config, before=offset, during=during) if pairs is not None else 0
    return run.finish(
        prepared.cost
        | trained
        | {
            "alignment": measures,
            "layer": prepared.layer,
            "links": pairs.words if pairs is not None else 0,
            "measured_words": measured.words,
            "measured_by": linker.measured_by if linker.dictionary is not None else config.aligner,
            "parameters": 0,
            "translations": read,
        }
    )


def _say(run: Run, config: RealignConfig, corpus: PairCorpus, pairs: LinkedPairs | None, measured: LinkedPairs) -> None:
    if not run.main or config.quiet:
        return
    print(f"{config.pair}: {corpus.counts.summary()}")
    if pairs is not None:
        print(f"{config.aligner}: {pairs.words:,} linked words in {len(pairs):,} sentence pairs", end="; ")
    print(f"{measured.words:,} held-out words for measuring")


def _measure(
    run: Run,
    config: RealignConfig,
    pairs: LinkedPairs,
    states: list[tuple[str, int | None, ModelSource]],
    prepared: Preparation,
    encoding: Encoding,
) -> dict[str, float]:
    """Write ``alignment.csv``; returns the mean over directions and seeds at the layer of realignment, by state."""
    names = [language.code for language in prepared.corpus.languages]
    rows: list[tuple[Value, ...]] = []
    at_layer: dict[str, list[float]] = {}
    for state, seed, source in states:
        for found in measure(load_encoder(source), pairs, encoding, max_length=config.max_length):
            direction = "-".join(names if found.forward else names[::-1])
            rows.append((state, seed, found.layer, direction, found.accuracy, found.strong))
            if found.layer == prepared.layer:
                at_layer.setdefault(state, []).append(found.accuracy)
    write_csv(run.directory / "alignment.csv", COLUMNS, rows)
    return {state: float(np.mean(values)) for state, values in at_layer.items()}
