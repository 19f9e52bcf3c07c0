"""Cosine distances of translated sentences and of dictionary words, in an encoder and after fine-tuning it.

    xalign distances --model runs/finetune/pos/full/base --layers 4,8,12 --data DATA --output runs/distances

Sources: Veitsman, Liu & Schütze 2026, §5.1 and figure 1; words from MUSE (Conneau et al. 2018), out of context.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xalign.analysis.distances import Distances, average, mean_interval, translation_distances
from xalign.analysis.retrieval import unit_rows
from xalign.analysis.vectors import Vectorizer, open_vectors
from xalign.config import DistancesConfig
from xalign.data.dictionaries import WordPairs, dictionary_files, keep_encodable, load_word_pairs
from xalign.data.languages import Language
from xalign.data.layout import DataDirectory
from xalign.encoder import load_encoder
from xalign.engine import launch
from xalign.errors import UsageError, XalignError
from xalign.frozen_features import Encoding
from xalign.hidden_states import resolve_layer
from xalign.naming import distances_name, runs_directory
from xalign.phases.csv_files import Value, write_csv
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
from xalign.runs import Run, RunResult, completed, open_run, run_key
from xalign.tracking import following

COLUMNS = (
    "level", "source", "target", "layer", "model_state", "distance", "nontranslation", "normalised", "low", "high",
)  # fmt: skip
SEED_COLUMNS = ("level", "source", "target", "layer", "seed", "distance", "nontranslation", "normalised")
PLAIN, CENTRED, UNSEEN = "distances.csv", "distances-centred.csv", "distances-unseen.csv"
Row = tuple[Value, ...]
Cell = tuple[str, Pair, int]  # level, pair, layer


def distances(config: DistancesConfig) -> RunResult:
    """Measure how far translations lie from each other, beside how far others do.

    Returns:
        the run: ``distances.csv`` and ``distances-centred.csv``; with several seeds ``distances-seeds.csv``; for an
        encoder that was not fine-tuned ``distances-unseen.csv``, without the sentences that topic models have seen, so
        that these may be compared with it.

    Raises:
        UsageError: a launch with several processes, a model that is neither an encoder nor fully fine-tuned, or an
            option or language that does not fit; before anything is encoded.
        XalignError: an unfinished or damaged model, languages whose sentences do not match, or a dictionary without
            words that the tokenizer can encode.
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
    texts = _load(config, data, chosen, topics)
    name = distances_name(model.task or ENCODER, model.encoder)
    with open_run(config, "distances", name, model.lineage, inputs) as run:
        runs = runs_directory(run.directory, name)
        with following(run, runs=runs, tracking=config.tracking, log_checkpoints=config.log_checkpoints):
            run.write("environment.json", launch.environment(None, config.precision))
            found = _Measurements()
            for seed, source in model.encoders.items():
                vectorizer = Vectorizer(load_encoder(source), _encoding(config), config.max_length, config.pooling)
                _measure(found, config, model, texts, vectorizer)
                if not config.quiet:
                    print(f"{model.state}  {seed}  {len(chosen.pairs)} pairs at layers {found.layers}")
            return run.finish(_write(run, model, texts, found) | {"missing_pairs": chosen.missing})


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
class _Texts:
    """What is encoded, and which sentences topic models have seen: `unseen` are the others."""

    data: Path
    pairs: list[Pair]
    sentences: dict[Language, list[str]]
    words: dict[Pair, WordPairs | None]
    unseen: np.ndarray
    count: int


def _load(config: DistancesConfig, data: DataDirectory, chosen: ChosenPairs, topics: list[Path]) -> _Texts:
    sentences = load_translations(chosen.files, config.max_sentences)
    count = len(next(iter(sentences.values())))
    seen = seen_by_topic_models(topics, config.max_sentences) if topics else []
    unseen = np.setdiff1d(np.arange(count), seen)
    if len(unseen) < 2:
        raise XalignError(f"{topics[1].parent}: holds {len(seen)} of {count} FLORES-200 sentences; raise max_sentences")
    words = {pair: load_word_pairs(data, *pair, config.word_ranks) for pair in chosen.pairs}
    return _Texts(data.path, chosen.pairs, sentences, words, unseen, count)


def _encoding(config: DistancesConfig) -> Encoding:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return Encoding(config.batch_size, device, config.precision)


@dataclass
class _Measurements:
    """File → cell → distances by seed; the layers, and the words that were used."""

    cells: dict[str, dict[Cell, list[Distances]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    layers: list[int] = field(default_factory=list)
    words: dict[Pair, tuple[WordPairs, int]] = field(default_factory=dict)

    def add(self, level: str, pair: Pair, source: np.ndarray, target: np.ndarray, *files: str) -> None:
        """Measure two (layers, n, d) arrays for each of the files."""
        for name in files:
            for layer, a, b in zip(self.layers, source, target, strict=True):
                units = (unit_rows(side, centred=name == CENTRED) for side in (a, b))
                self.cells[name][level, pair, layer].append(translation_distances(*units))


def _measure(
    found: _Measurements, config: DistancesConfig, model: MeasuredModel, texts: _Texts, vectorizer: Vectorizer
) -> None:
    """Add the distances of one encoder."""
    encoder = vectorizer.encoder
    found.layers = list(dict.fromkeys(resolve_layer(layer, encoder.depth) for layer in config.layers))
    found.words = {
        pair: keep_encodable(words, encoder.tokenizer) for pair, words in texts.words.items() if words is not None
    }
    kept = {language: vectorizer.keep(sentences) for language, sentences in texts.sentences.items()}
    rows = texts.unseen if model.task == "topic" else np.arange(texts.count)
    for pair in texts.pairs:
        first, second = (open_vectors(kept[language])[found.layers] for language in pair)
        found.add("sentence", pair, first[:, rows], second[:, rows], PLAIN, CENTRED)
        if model.task is None and len(texts.unseen) < texts.count:
            found.add("sentence", pair, first[:, texts.unseen], second[:, texts.unseen], UNSEEN)
        if pair in found.words:
            words = found.words[pair][0]
            first, second = (vectorizer.compute(side, found.layers) for side in (words.source, words.target))
            found.add("word", pair, first, second, PLAIN, CENTRED)
    if model.task is not None:
        vectorizer.forget()  # nothing else reads them, and those of all fine-tuned models would fill a disk


def _write(run: Run, model: MeasuredModel, texts: _Texts, found: _Measurements) -> dict[str, Any]:
    for name, cells in found.cells.items():
        rows = [_row(cell, model.state, by_seed) for cell, by_seed in sorted(cells.items(), key=_level)]
        write_csv(run.directory / name, COLUMNS, rows)
    plain = found.cells[PLAIN]
    if len(model.encoders) > 1:
        by_seed = [
            (*_names(cell), int(seed), *_values(distance))
            for cell, seeds in sorted(plain.items(), key=_level)
            for seed, distance in zip(model.encoders, seeds, strict=True)
        ]
        write_csv(run.directory / "distances-seeds.csv", SEED_COLUMNS, by_seed)
    result: dict[str, Any] = {"distance": {}, "nontranslation": {}, "normalised": {}, "sd_over_seeds": {}}
    for level, layer in dict.fromkeys((level, layer) for level, _, layer in sorted(plain, key=lambda cell: cell[0])):
        label = f"{level} hidden_states[{layer}]"
        chosen = [by_seed for cell, by_seed in plain.items() if (cell[0], cell[2]) == (level, layer)]
        for name, column in zip(("distance", "nontranslation", "normalised"), range(3), strict=True):
            values = [value for by_seed in chosen if (value := _values(average(by_seed))[column]) is not None]
            if values:
                result[name][label] = sum(values) / len(values)
        if len(model.encoders) > 1:
            # Seeds move all pairs together, so the spread is that of the mean over pairs.
            means = np.mean([[one.translations.mean() for one in by_seed] for by_seed in chosen], axis=0)
            result["sd_over_seeds"][label] = float(means.std(ddof=1))
    return result | {
        "model_state": model.state,
        "layers": found.layers,
        "seeds": [int(seed) for seed in model.encoders if seed != ENCODER],
        "pairs": [pair_name(pair) for pair in texts.pairs],
        "pairs_without_dictionary": [pair_name(pair) for pair, words in texts.words.items() if words is None],
        "dictionaries": [_describe(pair, *words, texts.data) for pair, words in found.words.items()],
        "sentences": len(texts.unseen) if model.task == "topic" else texts.count,
        "excluded_sentences": texts.count - len(texts.unseen) if model.task == "topic" else 0,
    }


def _level(item: tuple[Cell, Any]) -> str:
    return item[0][0]


def _names(cell: Cell) -> Row:
    level, pair, layer = cell
    return (level, pair[0].code, pair[1].code, layer)


def _values(distance: Distances) -> tuple[float, float, float | None]:
    return float(distance.translations.mean()), distance.nontranslation, distance.normalised


def _row(cell: Cell, state: str, by_seed: list[Distances]) -> Row:
    mean = average(by_seed)
    return (*_names(cell), state, *_values(mean), *(mean_interval(mean.translations) or (None, None)))


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
