"""Cosine distances of translated sentences and of dictionary words, in an encoder and after fine-tuning it.

    xalign distances --model runs/finetune/pos/full/base --layers 4,8,12 --data DATA --output runs/distances

Sources: Veitsman, Liu & Schütze 2026, §5.1 and figure 1; words from MUSE (Conneau et al. 2018), out of context.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xalign.analysis.distances import Distances, translation_distances
from xalign.analysis.retrieval import unit_rows
from xalign.analysis.vectors import Vectorizer, open_vectors
from xalign.config import DistancesConfig
from xalign.data.dictionaries import WordPairs, dictionary_files, keep_encodable, load_word_pairs
from xalign.data.languages import Language
from xalign.data.layout import DataDirectory
from xalign.encoder import Encoder, load_encoder
from xalign.engine import launch
from xalign.errors import UsageError, XalignError
from xalign.frozen_features import Encoding
from xalign.hidden_states import resolve_layer
from xalign.naming import distances_name, runs_directory
from xalign.phases.distance_files import (
    BY_SEED,
    CENTRED,
    PLAIN,
    UNSEEN,
    Cell,
    means,
    write_cells,
    write_seeds,
)
from xalign.phases.flores_pairs import (
    ChosenPairs,
    Pair,
    choose_pairs,
    load_translations,
    pair_name,
    seen_by_topic_models,
    topic_files,
)
from xalign.phases.inputs import describe_inputs, open_data
from xalign.phases.measured_model import ENCODER, MeasuredModel, measured_model
from xalign.runs import RunResult, completed, open_run, run_key
from xalign.tracking import following

Found = dict[str, dict[Cell, list[Distances]]]  # file → cell → distances by seed


def distances(config: DistancesConfig) -> RunResult:
    """Measure how far translations lie from each other, beside how far others do.

    Returns:
        the run: ``distances.csv`` and ``distances-centred.csv``; with several seeds ``distances-seeds.csv``; for an
        encoder that was not fine-tuned ``distances-unseen.csv``, without the sentences that topic models have seen, so
        that these may be compared with it.

    Raises:
        UsageError: a launch with several processes, a model that is neither an encoder nor fully fine-tuned, or an
            option or language that does not fit; before anything is encoded.
        XalignError: an unfinished or damaged model, languages whose sentences do not match, or, of a pair that was
            asked for, a dictionary without words that the tokenizer can encode.
    """
    if launch.world_size() > 1:
        raise UsageError("distances is a single process: run it without accelerate launch (grid does)")
    if len(config.word_ranks) != 2 or config.word_ranks[0] >= config.word_ranks[1]:
        raise UsageError(
            f"word_ranks={','.join(map(str, config.word_ranks))}: give the first rank and one past the last"
        )
    config = launch.with_precision(config)
    model = measured_model(config.model)
    data = open_data(config.data)
    chosen = choose_pairs(config, data)
    topics = _topic_files(data, model)
    dictionaries = [path for pair in chosen.pairs for path in dictionary_files(data, *pair)]
    inputs = dataclasses.replace(
        describe_inputs(data, [*chosen.files.values(), *dictionaries, *topics], None),
        weights=model.weights,
        upstream=model.upstream,
    )
    if not config.overwrite and (done := completed(Path(config.output), run_key("distances", config, inputs))):
        return done
    first, *others = model.encoders.values()
    encoder = load_encoder(first)
    plan = _plan(config, data, chosen, topics, encoder)
    name = distances_name(model.task or ENCODER, model.encoder)
    with open_run(config, "distances", name, model.lineage, inputs) as run:
        runs = runs_directory(run.directory, name)
        with following(run, runs=runs, tracking=config.tracking, log_checkpoints=config.log_checkpoints):
            run.write("environment.json", launch.environment(None, config.precision))
            found: Found = defaultdict(lambda: defaultdict(list))
            _measure(found, config, model, plan, encoder)
            for source in others:
                _measure(found, config, model, plan, load_encoder(source))
            for file, cells in found.items():
                write_cells(run.directory / file, cells, model.state)
            if others:
                write_seeds(run.directory / BY_SEED, found[PLAIN], list(model.encoders))
            return run.finish(means(found[PLAIN]) | _labels(model, plan, data) | {"missing_pairs": chosen.missing})


def _topic_files(data: DataDirectory, model: MeasuredModel) -> list[Path]:
    """What topic models have seen: a must for them; for an encoder that they are compared with, if it is there."""
    if model.task not in ("topic", None):
        return []
    try:
        return topic_files(data)
    except UsageError:
        if model.task is not None:
            raise
        return []


@dataclass(frozen=True)
class _Plan:
    """What is measured: texts, layers, how many sentences there are, and which of them topic models have not seen."""

    pairs: list[Pair]
    layers: list[int]
    sentences: dict[Language, list[str]]
    count: int
    unseen: np.ndarray
    words: dict[Pair, tuple[WordPairs, int]]  # and how many of them the tokenizer cannot encode


def _plan(
    config: DistancesConfig, data: DataDirectory, chosen: ChosenPairs, topics: list[Path], encoder: Encoder
) -> _Plan:
    sentences = load_translations(chosen.files, config.max_sentences)
    count = len(next(iter(sentences.values())))
    seen = seen_by_topic_models(topics, config.max_sentences) if topics else []
    unseen = np.setdiff1d(np.arange(count), seen)
    if len(unseen) < 2:
        raise XalignError(f"{topics[1].parent}: holds {len(seen)} of {count} FLORES-200 sentences; raise max_sentences")
    return _Plan(
        pairs=chosen.pairs,
        layers=list(dict.fromkeys(resolve_layer(layer, encoder.depth) for layer in config.layers)),
        sentences=sentences,
        count=count,
        unseen=unseen,
        words=dict(_words(config, data, chosen, encoder)),
    )


def _words(
    config: DistancesConfig, data: DataDirectory, chosen: ChosenPairs, encoder: Encoder
) -> Iterator[tuple[Pair, tuple[WordPairs, int]]]:
    for pair in chosen.pairs:
        found = load_word_pairs(data, *pair, config.word_ranks)
        if found is None:
            continue
        try:
            yield pair, keep_encodable(found, encoder.tokenizer)
        except XalignError:
            if chosen.asked_for:
                raise


def _measure(found: Found, config: DistancesConfig, model: MeasuredModel, plan: _Plan, encoder: Encoder) -> None:
    """Add the distances of one encoder."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoding = Encoding(config.batch_size, device, config.precision)
    vectorizer = Vectorizer(encoder, encoding, config.max_length, config.pooling)
    kept = {language: vectorizer.keep(sentences) for language, sentences in plan.sentences.items()}
    rows = plan.unseen if model.task == "topic" else np.arange(plan.count)

    def add(level: str, pair: Pair, source: np.ndarray, target: np.ndarray, *files: str) -> None:
        for file in files:
            for layer, a, b in zip(plan.layers, source, target, strict=True):
                units = (unit_rows(side, centred=file == CENTRED) for side in (a, b))
                found[file][level, pair, layer].append(translation_distances(*units))

    for pair in plan.pairs:
        first, second = (open_vectors(kept[language])[plan.layers] for language in pair)  # (layers, n, d)
        add("sentence", pair, first[:, rows], second[:, rows], PLAIN, CENTRED)
        if model.task is None and len(plan.unseen) < plan.count:
            add("sentence", pair, first[:, plan.unseen], second[:, plan.unseen], UNSEEN)
        if pair in plan.words:
            words, _ = plan.words[pair]
            first, second = (vectorizer.compute(side, plan.layers) for side in (words.source, words.target))
            add("word", pair, first, second, PLAIN, CENTRED)
        if not config.quiet:
            print(f"{encoder.source.directory.name}  {pair_name(pair)}")
    if model.task is not None:
        vectorizer.forget()  # nothing else reads them, and those of all fine-tuned models would fill a disk


def _labels(model: MeasuredModel, plan: _Plan, data: DataDirectory) -> dict[str, Any]:
    """What was measured and what was left out."""
    sentences = len(plan.unseen) if model.task == "topic" else plan.count
    return {
        "model_state": model.state,
        "layers": plan.layers,
        "seeds": [int(seed) for seed in model.encoders if seed != ENCODER],
        "pairs": [pair_name(pair) for pair in plan.pairs],
        "pairs_without_words": [pair_name(pair) for pair in plan.pairs if pair not in plan.words],
        "dictionaries": [_describe(pair, words, dropped, data.path) for pair, (words, dropped) in plan.words.items()],
        "sentences": sentences,
        "excluded_sentences": plan.count - sentences,
    }


def _describe(pair: Pair, words: WordPairs, dropped: int, data: Path) -> dict[str, Any]:
    return {
        "pair": pair_name(pair),
        "files": [path.relative_to(data).as_posix() for path in words.files],
        "word_ranks_used": list(words.word_ranks_used),
        "words": len(words),
        "not_encodable": dropped,
        "pivoted_through_english": words.pivoted,
        "extension": words.extension,
    }
