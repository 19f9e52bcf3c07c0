"""LangAlign as a phase: fine-tune on English, train the adapter on translations, train heads through it, test.

    xalign langalign --task topic --pair de-en --architecture fc --model xlm-roberta-base --output runs/langalign

A series repeats it with other numbers of translations and one encoder for all (``--sentences 100 --step1 runs/step1
--output runs/langalign/fc-n100``, then 300, …); ``xalign report langalign`` shows the series as one table.

Encoder features are computed once; adapter and heads train on them. Beside the network stand the shift of the mean and
ridge regression in its place, heads on plain English, heads on the translations with their English labels, and heads
on the target language's own training data (where there are some). Forward, the network's heads read plain vectors of
the target language, so ``xalign transfer`` tests them everywhere. Source: Kim et al. 2025, arXiv 2503.18603.
"""

from __future__ import annotations

import json
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xalign.config import FinetuneConfig, LangalignConfig
from xalign.data.languages import find, parse_pair
from xalign.encoder import load_encoder
from xalign.engine import launch
from xalign.errors import UsageError
from xalign.frozen_features import Encoding
from xalign.methods import langalign_study as s
from xalign.methods.langalign import Closeness, closeness
from xalign.methods.langalign_study import Row, Study
from xalign.methods.task_vectors import TaskVectors
from xalign.model_source import ModelSource, find_model
from xalign.naming import encoder_name, langalign_name, runs_directory, with_method
from xalign.phases.csv_files import write_csv
from xalign.phases.finetune import NO_LINEAGE, finetune
from xalign.phases.inputs import describe_inputs, open_data
from xalign.phases.langalign_material import Material, read
from xalign.runs import Run, RunResult, completed, open_run, run_key
from xalign.storage import read_json, write_text
from xalign.tasks import Task, make_task
from xalign.tasks.finetuned import HEADS, encoder_directory, head_file, write_description, write_head
from xalign.tracking import following

JUDGED = 2000  # vectors of held-out translations, each compared with every other one
COLUMNS = ("method", "language", "seed", "accuracy", "macro_f1")


def langalign(config: LangalignConfig) -> RunResult:
    """Train and test an adapter between English and a target language.

    Returns:
        the run: ``langalign.csv`` has accuracies by method and seed, ``closeness.csv`` what each map does to vectors,
        ``result.json`` also what each method costs.

    Raises:
        UsageError: a pair without English, translations that the task does not have, an option that does not fit.
        XalignError: a training failed.
    """
    if launch.world_size() > 1:
        raise UsageError("langalign is a single process: run it without accelerate launch")
    config = launch.with_precision(config)
    languages = parse_pair(config.pair)
    if find("eng") not in languages:
        raise UsageError(f"pair={config.pair}: LangAlign maps from English; choose a pair with en")
    if config.architecture == "ae" and config.adapter_layers % 2:
        raise UsageError(f"adapter_layers={config.adapter_layers}: an autoencoder needs an even number")
    if config.task == "pos" and config.parallel == "in-domain":
        raise UsageError("no treebank's training sentences are translated: use --parallel general with task pos")
    if config.skip_step1 and config.step1:
        raise UsageError("step1 names the encoder that skip_step1 does without: give one of them")
    target = next(language for language in languages if language.code != "eng")
    task = make_task(config.task, label_on="first", pooling="mean")
    source = find_model(config.model)
    data = open_data(config.data)
    files, material = read(config, data, task, target)
    inputs = describe_inputs(data, files, source)
    if not config.overwrite and (done := completed(Path(config.output), run_key("langalign", config, inputs))):
        return done
    before = {**NO_LINEAGE, **source.lineage, "encoder": source.name, "task": config.task, "mode": "linear"}
    lineage = with_method(before, f"langalign-{config.pair}-{config.variant}")
    name = langalign_name(config.task, config.pair, encoder_name(before), config.variant)
    if config.step1:  # a run of its own, which refuses what does not fit before this one writes anything
        source = _step_1(config, source, Path(config.step1))
    with open_run(config, "langalign", name, lineage, inputs) as run:
        runs = runs_directory(run.directory, name)
        with following(run, runs=runs, tracking=config.tracking, log_checkpoints="none"):
            return _run(run, config, task, target.code, source, material)


def _run(
    run: Run, config: LangalignConfig, task: Task, language: str, source: ModelSource, material: Material
) -> RunResult:
    if run.resuming:  # step 1 resumes by itself; all that follows is quick, and begins anew
        run.note_resume(0)
        run.resuming = False
    if not config.skip_step1 and not config.step1:
        source = _step_1(config, source, run.directory / "step1")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoding = Encoding(config.batch_size, device, config.precision)
    vectors = TaskVectors(task, load_encoder(source, dropout=0.0), encoding, config.max_length)
    run.write("environment.json", launch.environment(None, config.precision))
    accelerator = launch.start("fp32", accumulation=1, clip=1.0, micro_batch=config.adapter_batch_size)
    study = Study(run, config, source, vectors, accelerator)
    try:
        rows, near, pairs = _compare(study, material)
    finally:
        launch.stop(accelerator)
    other = {s.TRANSLATED_TEST: "eng", s.ENGLISH_TEST: "eng"}
    scores = [(name, other.get(name, language), *row[:3]) for name, found in rows.items() for row in found]
    write_csv(
        run.directory / "closeness.csv",
        ("map", *(field.name for field in fields(Closeness))),
        [("identity" if name == s.ENGLISH_ONLY else name, *astuple(found)) for name, found in near.items()],
    )
    write_csv(run.directory / "langalign.csv", COLUMNS, scores)
    _write_outcomes(run, rows, other, language)
    if not config.reverse:
        _write_heads(run, config, study)
    measured = {"identity" if name == s.ENGLISH_ONLY else name: found for name, found in near.items()}
    return run.finish(
        {
            "accuracy": {name: float(np.mean([row[1] for row in found])) for name, found in rows.items()},
            "closeness": {name: found.cosine for name, found in measured.items()},
            "wrong": {name: found.wrong for name, found in measured.items()},
            "nearest": {name: found.nearest for name, found in measured.items()},
            "parameters": study.parameters[study.network],
            "translations": len(material.translations[0]),
            "vectors": pairs,
            "language": language,
            "step1_seconds": _seconds_of(source),
        }
        | _costs(study, material, rows)
    )


def _seconds_of(source: ModelSource) -> float:
    """What the fine-tuning of step 1 took; 0 without one."""
    if source.upstream is None or not (Path(source.upstream["path"]) / HEADS).is_dir():
        return 0.0
    return float(read_json(Path(source.upstream["path"]) / "result.json")["seconds"])


def _compare(study: Study, material: Material) -> tuple[dict[str, list[Row]], dict[str, Closeness], int]:
    """Scores of every method, what each map does to held-out vectors, and the number of pairs of vectors."""
    vectors = study.vectors
    train, dev, test = (vectors.examples(material.english[split]) for split in ("train", "dev", "test"))
    foreign = vectors.examples(material.target["test"])
    pairs = study.translations(material.translations)
    maps = study.maps(*pairs)
    near = {name: _judged(study, vectors, material, apply) for name, apply in maps.items()}
    rows = study.test_maps((train, dev), foreign, vectors, maps)
    if study.config.unfrozen:
        moved, apply = study.train_unfrozen(material.translations)
        near[study.unfrozen] = _judged(study, moved, material, apply)
        rows |= study.test_maps((train, dev), foreign, moved, {study.unfrozen: apply})
    # Only where the sentences are the same are the English ones translations of the test.
    reference = s.TRANSLATED_TEST if sorted(test.ids) == sorted(foreign.ids) else s.ENGLISH_TEST
    study.seconds[reference] = study.seconds[s.ENGLISH_ONLY]
    rows[reference] = study.score(study.heads[s.ENGLISH_ONLY], test, vectors.features(test))
    if material.translated is not None:
        held_out = vectors.examples(material.target["dev"])
        rows[s.TRANSLATED] = study.test_own(
            s.TRANSLATED, (vectors.examples(material.translated), held_out), foreign
        )  # fmt: skip
    if "train" in material.target:
        own = vectors.examples(material.target["train"]), vectors.examples(material.target["dev"])
        rows[s.NATIVE] = study.test_own(s.NATIVE, own, foreign)
    return rows, near, len(pairs[0])


def _judged(study: Study, vectors: TaskVectors, material: Material, apply: Any) -> Closeness:
    first, second = vectors.translations(material.held_out)
    if study.config.reverse:
        first, second = second, first
    return closeness(apply(first[:JUDGED]), second[:JUDGED])


def _costs(study: Study, material: Material, rows: dict[str, list[Row]]) -> dict[str, dict[str, Any]]:
    """What each method takes: parameters of its map (used at inference in reverse alone), translations, seconds."""
    used = dict.fromkeys((s.MEAN_SHIFT, s.RIDGE, study.network, study.unfrozen), len(material.translations[0]))
    used |= {s.TRANSLATED: len(material.translated or ()), s.TRANSLATED_TEST: len(material.english["test"])}
    parameters = {name: study.parameters.get(name, 0) for name in rows}
    return {
        "parameters_by_method": parameters,
        "inference_parameters_by_method": {
            name: count if study.config.reverse else 0 for name, count in parameters.items()
        },
        "translations_by_method": {name: used.get(name, 0) for name in rows},
        "seconds_by_method": {name: round(study.seconds[name], 3) for name in rows},
    }


def _write_outcomes(run: Run, rows: dict[str, list[Row]], other: dict[str, str], language: str) -> None:
    """Write the outcome of every sentence, for paired comparisons."""
    lines = [
        {"method": name, "language": other.get(name, language), "seed": seed, "sentence_id": id_} | counted
        for name, found in rows.items()
        for seed, _, _, outcomes in found
        for id_, counted in ((id_, {"correct": right, "total": total}) for id_, right, total in outcomes)
    ]
    write_text(run.directory / "outcomes.jsonl", "".join(f"{json.dumps(line)}\n" for line in lines))


def _write_heads(run: Run, config: LangalignConfig, study: Study) -> None:
    """Leave the network's heads as fine-tuning leaves its own: at inference they read the encoder directly."""
    description = {
        "task": config.task, "mode": "linear", "labels": list(study.task.labels),
        "label_on": "first" if config.task == "pos" else None, "pooling": "mean" if config.task == "topic" else None,
        "layer": study.vectors.encoder.depth, "width": study.vectors.encoder.width, "max_length": config.max_length,
    }  # fmt: skip
    write_description(run.directory, description, study.source, study.source.digest)
    for seed, head in study.heads[study.network].items():
        write_head(head_file(run.directory, seed), head)


def _step_1(config: LangalignConfig, source: ModelSource, directory: Path) -> ModelSource:
    """The encoder, fine-tuned on the English task: made in `directory`, or there already."""
    found = finetune(
        FinetuneConfig(
            task=config.task, mode="full", model=config.model, data=config.data, output=str(directory),
            seeds=(config.seed,), epochs=config.epochs, max_sentences=config.max_sentences,
            learning_rate=config.learning_rate, precision=config.precision, tracking="none", quiet=config.quiet,
            resume=(directory / "run.json").is_file(),
        )
    )  # fmt: skip
    # With the run that made it the encoder is named relative to this one, so that both may move together.
    made_by = {"path": str(directory), "key": str(read_json(found.directory / "run.json")["key"])}
    return ModelSource(source.name, encoder_directory(directory, config.seed), upstream=made_by)
