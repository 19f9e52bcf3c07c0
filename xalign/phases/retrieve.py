"""Sentence retrieval on FLORES-200: does a sentence find its translation, at every layer and both ways?

    xalign retrieve --model runs/align/de-en/S1W0M1 --data DATA --pairs deu-eng,kor-fra --output runs/retrieval

Each language is encoded once; all else are matrix products of two languages and one layer at a time. Sources: Veitsman,
Liu & Schütze 2026, §5.1, table 2 and appendix A; Hämmerl et al. 2024 on weak and strong alignment.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xalign.analysis.graded import grades, rho_weak
from xalign.analysis.retrieval import MEASURES, Neighbourhoods, layer_scores, nearest_of_own_language, unit_rows
from xalign.analysis.vectors import Vectorizer, open_vectors
from xalign.config import RetrieveConfig
from xalign.config.analyses import LAYERS, MAIN_LAYER
from xalign.config.fields import require_switched_on
from xalign.data.flores import load_flores, load_metadata
from xalign.data.languages import Language, find
from xalign.data.layout import DataDirectory
from xalign.encoder import load_encoder
from xalign.engine import launch
from xalign.errors import UsageError, XalignError
from xalign.frozen_features import Encoding
from xalign.hidden_states import resolve_layer
from xalign.methods.transformation_text import FittingTexts
from xalign.methods.transformations import method_name
from xalign.methods.transformed_vectors import PairMaps
from xalign.naming import encoder_name, retrieve_name, runs_directory, with_method
from xalign.phases.csv_files import Value, write_csv
from xalign.phases.flores_pairs import ENGLISH, SPLIT, ChosenPairs, Pair, choose_pairs, load_translations, pair_name
from xalign.phases.inputs import describe_inputs, open_data
from xalign.phases.measured_model import ENCODER, measured_encoder
from xalign.runs import Run, RunResult, completed, open_run, run_key
from xalign.tracking import following

COLUMNS = ("source", "target", "layer", *MEASURES)
GRADED_COLUMNS = ("source", "target", "layer", "rho_weak")
Row = tuple[Value, ...]


def retrieve(config: RetrieveConfig) -> RunResult:
    """Measure retrieval between translated sentences at every layer.

    Returns:
        the run: ``retrieval.csv``, ``retrieval-centred.csv`` (after taking away each language's mean vector) and, where
        FLORES's metadata are there, ``graded.csv``; all of them after ``transform``, if one is named. Its
        ``result.json`` has means over pairs and directions.

    Raises:
        UsageError: a launch with several processes, a fine-tuned or unknown model, or a language without sentences;
            before anything is encoded.
        XalignError: languages whose sentences do not match, or damaged weights.
    """
    if launch.world_size() > 1:
        raise UsageError("retrieve is a single process: run it without accelerate launch (grid does)")
    config = launch.with_precision(config)
    model = measured_encoder(config.model)
    source = model.encoders[ENCODER]
    data = open_data(config.data)
    chosen = choose_pairs(config, data)
    metadata = _metadata_file(data)
    texts = _fitting_texts(config, data, chosen)
    files = [*chosen.files.values(), *([metadata] if metadata else []), *(texts.files if texts else [])]
    inputs = describe_inputs(data, files, source)
    if not config.overwrite and (done := completed(Path(config.output), run_key("retrieve", config, inputs))):
        return done
    sentences = load_translations(chosen.files, config.max_sentences)
    graded = _grades(metadata, len(next(iter(sentences.values())))) if metadata else None
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoding = Encoding(config.batch_size, device, config.precision)
    vectorizer = Vectorizer(load_encoder(source), encoding, config.max_length, config.pooling)
    maps = PairMaps(vectorizer, texts, config.transform) if texts else None
    lineage = (
        with_method(model.lineage, method_name(config.transform, config.transform_text)) if maps else model.lineage
    )
    name = retrieve_name(encoder_name(lineage))
    with open_run(config, "retrieve", name, lineage, inputs) as run:
        runs = runs_directory(run.directory, name)
        with following(run, runs=runs, tracking=config.tracking, log_checkpoints=config.log_checkpoints):
            run.write("environment.json", launch.environment(None, config.precision))
            return _measure(run, config, vectorizer, chosen, sentences, graded, maps)


def _metadata_file(data: DataDirectory) -> Path | None:
    try:
        return data.flores_metadata(SPLIT)
    except UsageError:
        return None


def _fitting_texts(config: RetrieveConfig, data: DataDirectory, chosen: ChosenPairs) -> FittingTexts | None:
    """What a transformation is fitted on: nothing of devtest, in the measured languages or in English."""
    if config.transform == "none":
        require_switched_on(config, "transform=centring or procrustes", ("transform_text", "transform_sentences"))
        return None
    files = {find(ENGLISH): data.flores(find(ENGLISH), SPLIT)} | chosen.files
    tested = {language: load_flores(path) for language, path in files.items()}
    return FittingTexts(data, config.transform_text, config.transform, chosen.pairs, tested, config.transform_sentences)


def _grades(path: Path, count: int) -> np.ndarray:
    origins = load_metadata(path)[:count]
    if len(origins) < count:
        raise XalignError(f"{path}: {len(origins)} lines for {count} sentences; restore the file")
    return grades([origin.article for origin in origins], [origin.domain for origin in origins])


@dataclass(frozen=True)
class _Kept:
    """One language: its file of vectors, and (layers, n) nearest cosines within it, plain and centred."""

    file: Path
    nearest: dict[bool, Tensor]


def _measure(
    run: Run,
    config: RetrieveConfig,
    vectorizer: Vectorizer,
    chosen: ChosenPairs,
    sentences: dict[Language, list[str]],
    graded: np.ndarray | None,
    maps: PairMaps | None,
) -> RunResult:
    depth = vectorizer.encoder.depth
    main = resolve_layer(MAIN_LAYER, depth)
    sizes = Neighbourhoods(config.csls_neighbours, config.xsim_neighbours, config.epsilon)
    kept = {language: _keep(vectorizer, texts) for language, texts in sentences.items()}
    rows: dict[bool, list[Row]] = {False: [], True: []}
    graded_rows: list[Row] = []
    parameters = 0
    for pair in chosen.pairs:
        # Opened for each pair: pages of a closed file no longer count as this process's memory.
        first, second = (open_vectors(kept[language].file) for language in pair)
        near = [kept[language].nearest for language in pair]
        if maps is not None:
            first, second, added = maps.apply(pair, first, second)
            parameters += added
            near = [_nearest(first), _nearest(second)]
        for centred, found in rows.items():
            nearest = (near[0][centred], near[1][centred])
            for layer, there, back in layer_scores(first, second, nearest, sizes, centred=centred):
                for (a, b), scores in ((pair, there), (pair[::-1], back)):
                    found.append((a.code, b.code, layer, *(scores[measure] for measure in MEASURES)))
        if graded is not None:
            layers = sorted({resolve_layer(layer, depth) for layer in LAYERS})
            graded_rows += _graded_rows(pair, first, second, layers, graded)
        if not config.quiet:
            shown = _means(rows[False][-2 * (depth + 1) :], main)
            print(f"{pair_name(pair)}  recall@1 {shown['recall_at_1']:.3f}  separation {shown['separation']:.2f}")
    write_csv(run.directory / "retrieval.csv", COLUMNS, rows[False])
    write_csv(run.directory / "retrieval-centred.csv", COLUMNS, rows[True])
    if graded is not None:
        write_csv(run.directory / "graded.csv", GRADED_COLUMNS, graded_rows)
    cost = {"parameters": parameters, "translations": maps.texts.translations} if maps is not None else {}
    return run.finish(
        {
            "means": _means(rows[False], main),
            "means_centred": _means(rows[True], main),
            "main_layer": main,
            "pairs": [pair_name(pair) for pair in chosen.pairs],
            "missing_pairs": chosen.missing,
            "sentences": len(next(iter(sentences.values()))),
            "excluded_sentences": 0,
            "graded": graded is not None,
        }
        | cost
    )


def _keep(vectorizer: Vectorizer, texts: list[str]) -> _Kept:
    file = vectorizer.keep(texts)
    return _Kept(file, _nearest(open_vectors(file)))


def _nearest(vectors: np.ndarray) -> dict[bool, Tensor]:
    return {
        centred: torch.stack([nearest_of_own_language(unit_rows(layer, centred=centred)) for layer in vectors])
        for centred in (False, True)
    }


def _graded_rows(pair: Pair, first: np.ndarray, second: np.ndarray, layers: list[int], graded: np.ndarray) -> list[Row]:
    rows: list[Row] = []
    for layer in layers:
        rho = rho_weak((unit_rows(first[layer]) @ unit_rows(second[layer]).T).numpy(), graded)
        # Grades are symmetric, and so is the correlation: a line for each direction serves whoever joins the files.
        rows += [(a.code, b.code, layer, rho) for a, b in (pair, pair[::-1])]
    return rows


def _means(rows: list[Row], layer: int) -> dict[str, Any]:
    """The mean of each measure at a layer, over pairs and directions."""
    table = [row[3:] for row in rows if row[2] == layer]
    means: dict[str, Any] = {}
    for name, column in zip(MEASURES, zip(*table, strict=True), strict=True):
        values = [value for value in column if isinstance(value, float)]
        if values:
            means[name] = sum(values) / len(values)
    return means
