"""LangAlign as a phase: fine-tune on English, train the adapter on translations, train heads through it, test.

    xalign langalign --task topic --pair de-en --architecture fc --model xlm-roberta-base --output runs/langalign

Encoder features are computed once; adapter and heads train on them. Beside the network stand the shift of the mean and
ridge regression in its place, heads on plain English, and heads on the target language's own training data (where
there are some). Source: Kim et al. 2025, arXiv 2503.18603.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xalign.config import FinetuneConfig, LangalignConfig
from xalign.data.languages import Language, find, parse_pair
from xalign.data.layout import DataDirectory
from xalign.data.parallel import load_pairs
from xalign.encoder import load_encoder
from xalign.engine import launch
from xalign.errors import UsageError
from xalign.frozen_features import Encoding
from xalign.methods.langalign import Closeness, closeness
from xalign.methods.langalign_study import Study
from xalign.model_source import ModelSource, find_model
from xalign.naming import encoder_name, langalign_name, runs_directory
from xalign.phases.csv_files import write_csv
from xalign.phases.finetune import finetune
from xalign.phases.inputs import describe_inputs, open_data
from xalign.randomness import derive_seed
from xalign.runs import Run, RunResult, completed, open_run, run_key
from xalign.tasks import Task, make_task
from xalign.tasks.examples import capped
from xalign.tasks.finetuned import encoder_directory
from xalign.tracking import following

HELD_OUT = 500  # general translations on which maps are judged
JUDGED = 2000  # vectors of them, each compared with every other one
COLUMNS = ("method", "language", "seed", "accuracy", "macro_f1")


@dataclass(frozen=True)
class Material:
    """What a run reads.

    Attributes:
        english, target: the task's sentences by split; the target's training data only where there are some.
        translations: (English, target) texts that maps are fitted on.
        held_out: (English, target) texts that they are judged on.
    """

    english: dict[str, list[Any]]
    target: dict[str, list[Any]]
    translations: tuple[list[str], list[str]]
    held_out: tuple[list[str], list[str]]


def langalign(config: LangalignConfig) -> RunResult:
    """Train and test an adapter between English and a target language.

    Returns:
        the run: ``langalign.csv`` has accuracies by method and seed, ``closeness.csv`` what each map does to vectors.

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
    target = next(language for language in languages if language.code != "eng")
    task = make_task(config.task, label_on="first", pooling="mean")
    source = find_model(config.model)
    data = open_data(config.data)
    files, material = read(config, data, task, target)
    inputs = describe_inputs(data, files, source)
    if not config.overwrite and (done := completed(Path(config.output), run_key("langalign", config, inputs))):
        return done
    lineage = {**source.lineage, "encoder": source.name, "task": config.task}
    name = langalign_name(config.task, config.pair, encoder_name(lineage))
    with open_run(config, "langalign", name, lineage, inputs) as run:
        runs = runs_directory(run.directory, name)
        with following(run, runs=runs, tracking=config.tracking, log_checkpoints="none"):
            return _run(run, config, task, target, source, material)


def read(config: LangalignConfig, data: DataDirectory, task: Task, target: Language) -> tuple[list[Path], Material]:
    """The files and sentences of a run.

    Raises:
        UsageError: data that are not there, or too few translations.
    """
    english = {split: task.file(data, find("eng"), split) for split in ("train", "dev", "test")}
    foreign = {"test": task.file(data, target, "test")}
    if target in _trainable(task, data):
        foreign |= {split: task.file(data, target, split) for split in ("train", "dev")}
    files = [*english.values(), *foreign.values()]
    sentences: list[dict[str, list[Any]]] = [{}, {}]
    for side, part in zip(sentences, (english, foreign), strict=True):
        side |= {split: list(task.load(path)) for split, path in part.items()}
    sentences[0]["train"] = list(capped(sentences[0]["train"], config.max_sentences))
    if config.parallel == "in-domain":
        if "train" not in foreign:
            raise UsageError(f"{data.path}: no {task.name} training data in {target.code}: use --parallel general")
        translations, held_out = (_by_id(sentences[0][split], sentences[1][split]) for split in ("train", "dev"))
    else:
        corpus = load_pairs(data, config.pair, max_pairs=None, held_out=HELD_OUT)
        files += corpus.files
        turned = corpus.languages[0].code != "eng"
        sides = [(list(part.source), list(part.target)) for part in (corpus.train, corpus.held_out)]
        translations, held_out = (side[::-1] if turned else side for side in sides)
    draw = np.random.default_rng(derive_seed(config.seed, "translations") % 2**32)
    chosen = draw.permutation(len(translations[0]))[: config.sentences]
    if config.sentences is not None and len(chosen) < config.sentences:
        raise UsageError(f"sentences={config.sentences}: only {len(chosen)} translations are there")
    texts = [translations[0][i] for i in chosen], [translations[1][i] for i in chosen]
    return files, Material(sentences[0], sentences[1], (texts[0], exchanged(texts[1], config.noise, draw)), held_out)


def _trainable(task: Task, data: DataDirectory) -> list[Language]:
    found = []
    for language in task.languages(data):
        try:
            task.file(data, language, "train")
            task.file(data, language, "dev")
        except UsageError:
            continue
        found.append(language)
    return found


def _by_id(first: list[Any], second: list[Any]) -> tuple[list[str], list[str]]:
    there = {sentence.id: sentence.text for sentence in second}
    both = [sentence for sentence in first if sentence.id in there]
    return [sentence.text for sentence in both], [there[sentence.id] for sentence in both]


def exchanged(texts: list[str], share: float, draw: np.random.Generator) -> list[str]:
    """`texts` with a share of them moved round among themselves, so that each of those stands where it is wrong."""
    places = draw.permutation(len(texts))[: round(share * len(texts))]
    found = list(texts)
    for place, other in zip(places, np.roll(places, 1), strict=True):
        found[place] = texts[other]
    return found


def _run(
    run: Run, config: LangalignConfig, task: Task, target: Language, source: ModelSource, material: Material
) -> RunResult:
    if run.resuming:  # step 1 resumes by itself; all that follows is quick, and begins anew
        run.note_resume(0)
        run.resuming = False
    if not config.skip_step1:
        source = _step_1(run, config, source)
    encoder = load_encoder(source, dropout=0.0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoding = Encoding(config.batch_size, device, config.precision)
    run.write("environment.json", launch.environment(None, config.precision))
    study = Study(run, config, task, source, encoder, encoding)
    try:
        pairs, held_out = (study.vectors(texts) for texts in (material.translations, material.held_out))
        if config.reverse:
            pairs, held_out = pairs[::-1], held_out[::-1]
        maps = study.maps(*pairs)
        near = {name: closeness(apply(held_out[0][:JUDGED]), held_out[1][:JUDGED]) for name, apply in maps.items()}
        scores = study.test(material.english, material.target, maps, target.code)
    finally:
        study.close()
    write_csv(
        run.directory / "closeness.csv",
        ("map", *(field.name for field in fields(Closeness))),
        [(name, *astuple(found)) for name, found in near.items()],
    )
    write_csv(run.directory / "langalign.csv", COLUMNS, scores)
    methods = dict.fromkeys(row[0] for row in scores)
    return run.finish(
        {
            "accuracy": {name: float(np.mean([row[3] for row in scores if row[0] == name])) for name in methods},
            "closeness": {name: found.cosine for name, found in near.items()},
            "wrong": {name: found.wrong for name, found in near.items()},
            "nearest": {name: found.nearest for name, found in near.items()},
            "parameters": study.parameters,
            "translations": len(material.translations[0]),
            "vectors": len(pairs[0]),
            "language": target.code,
        }
    )


def _step_1(run: Run, config: LangalignConfig, source: ModelSource) -> ModelSource:
    """The encoder, fine-tuned on the English task."""
    directory = run.directory / "step1"
    finetune(
        FinetuneConfig(
            task=config.task, mode="full", model=config.model, data=config.data, output=str(directory),
            seeds=(config.seed,), epochs=config.epochs, max_sentences=config.max_sentences,
            learning_rate=config.learning_rate, precision=config.precision, tracking="none", quiet=config.quiet,
            resume=(directory / "run.json").is_file(),
        )
    )  # fmt: skip
    return ModelSource(source.name, encoder_directory(directory, config.seed))
