"""Which alignment should help a task: minutes of gradients on the unaligned encoder, before hours are spent.

    xalign advise --task topic --pair de-en --model xlm-roberta-base --data DATA

Heads are trained on the frozen encoder; then the task's gradient is compared with those of S, W and M on the pair, and
every sum of them. Source: gradient analysis of Veitsman, Liu & Schütze 2026, §5, and their rule, which is printed, too.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

from xalign.analysis.data_blocks import require_blocks
from xalign.analysis.gradient_analysis import GradientAnalysis
from xalign.analysis.gradient_inputs import ENGLISH, GradientInputs, read_inputs
from xalign.config import AdviseConfig, AlignConfig, FinetuneConfig, GradientsConfig
from xalign.data.languages import find, parse_pair
from xalign.data.layout import DataDirectory
from xalign.encoder import load_encoder
from xalign.engine import launch
from xalign.errors import UsageError
from xalign.methods.advice import NOTHING, RULE, RULE_TEXT, Advice, advise_on
from xalign.methods.advice_gradients import AdviceGradients, take_gradients
from xalign.methods.advice_words import in_words
from xalign.model_source import find_model
from xalign.naming import advise_name, encoder_name, runs_directory
from xalign.phases.csv_files import write_csv
from xalign.phases.finetune import NO_LINEAGE, finetune
from xalign.phases.inputs import describe_inputs, open_data
from xalign.runs import Run, RunResult, completed, open_run, run_key
from xalign.tasks import make_task
from xalign.tasks.finetuned import Head, read_finetuned
from xalign.tracking import following

ALL_LOSSES = "S1W1M1"
COLUMNS = (
    "configuration",
    "rank",
    "score",
    "low",
    "high",
    "share_first",
    "tied",
    "cosine_shared",
    "cosine_target",
    "rule",
)


def advise(config: AdviseConfig) -> RunResult:
    """Rank the seven configurations, and not to align at all, for a task and a pair.

    Returns:
        the run: ``advice.json`` and ``advice.csv``, one line a configuration.

    Raises:
        UsageError: a launch with several processes, an encoder that is aligned already, data that are not there;
            before anything is written.
        XalignError: a model or file that is broken.
    """
    if launch.under_deepspeed() or launch.world_size() > 1:
        raise UsageError("advise compares whole gradients in one process: run it without accelerate launch")
    source = find_model(config.model)
    if source.lineage.get("pair"):
        raise UsageError(
            f"{config.model}: aligned already ({encoder_name(source.lineage)}); advice is for an encoder before its "
            f"alignment: give the base encoder"
        )
    parse_pair(config.pair)
    data = open_data(config.data)
    english = _english(config, data)
    options = _gradient_options(config, len(english))
    found = read_inputs(options, source, data, _recipe(config))
    seen = {sentence.id for sentence in found.train}
    unseen = [sentence for sentence in english if sentence.id not in seen]
    targets, files = _targets(config, found, data)
    inputs = describe_inputs(data, [*found.files, *files], source)
    if not config.overwrite and (done := completed(Path(config.output), run_key("advise", config, inputs))):
        return done
    encoder = load_encoder(source, dropout=0.0)
    encoder.model.to(torch.device("cuda" if torch.cuda.is_available() else "cpu"))  # type: ignore[arg-type]
    analysis = GradientAnalysis(options, found, encoder, [], Path(config.output) / "checkpoints")
    analysis.check()
    for code, part in {ENGLISH: unseen, **targets}.items():
        require_blocks(len(part), config.blocks, 1, f"sentences ({config.task}, {code})")
    lineage = {**NO_LINEAGE, **source.lineage, "encoder": source.name, "task": config.task}
    name = advise_name(config.task, config.pair, encoder_name(lineage))
    with open_run(config, "advise", name, lineage, inputs) as run:
        runs = runs_directory(run.directory, name)
        with following(run, runs=runs, tracking=config.tracking, log_checkpoints=config.log_checkpoints):
            run.write("environment.json", launch.environment(None, "fp32"))
            _say(config, f"heads for {config.task} on the frozen encoder")
            analysis.heads = _train_heads(config, options.max_sentences, run.directory / "heads")
            _say(config, f"gradients of {config.task} and of S, W and M on {config.pair}")
            gradients = take_gradients(analysis, unseen, targets, config.task_batches)
            return _finish(run, config, analysis, gradients)


def _english(config: AdviseConfig, data: DataDirectory) -> list[Any]:
    """All English training sentences: the heads see at most half, gradients are taken on others."""
    options = FinetuneConfig(task=config.task, mode="linear", output=config.output)
    task = make_task(config.task, label_on=options.label_on, pooling=options.pooling)
    return list(task.load(task.file(data, find(options.language), "train", options.treebank)))


def _gradient_options(config: AdviseConfig, sentences: int) -> GradientsConfig:
    most = sentences // 2 if config.max_sentences is None else min(config.max_sentences, sentences // 2)
    return GradientsConfig(
        task=config.task, pair=config.pair, loss=ALL_LOSSES, model=config.model, data=config.data,
        output=config.output, max_length=config.max_length, seeds=config.seeds, blocks=config.blocks,
        batches=config.batches, pairs_per_batch=config.pairs_per_batch,
        sentences_per_batch=config.sentences_per_batch, epochs=config.epochs, max_sentences=most,
        sketch=config.sketch, seed=config.seed,
        protocol="along-finetuning",  # it reads no per-language data
    )  # fmt: skip


def _recipe(config: AdviseConfig) -> AlignConfig:
    return AlignConfig(
        pair=config.pair, loss=ALL_LOSSES, output=config.output, max_length=config.max_length, layer=config.layer,
        held_out=config.held_out, word_negatives=config.word_negatives,
    )  # fmt: skip


def _targets(
    config: AdviseConfig, found: GradientInputs, data: DataDirectory
) -> tuple[dict[str, list[Any]], list[Path]]:
    """Labelled dev sentences in the pair's other languages; test data would be the answer itself.

    Raises:
        UsageError: they were asked for, and no language has any.
    """
    if not config.targets:
        return {}, []
    sentences: dict[str, list[Any]] = {}
    files: list[Path] = []
    for language in parse_pair(config.pair):
        if language.code == ENGLISH:
            continue
        try:
            path = found.task.file(data, language, "dev")
        except UsageError:
            continue
        sentences[language.code] = sorted(found.task.load(path), key=lambda sentence: str(sentence.id))
        files.append(path)
    if not sentences:
        raise UsageError(f"{data.path}: no {config.task} dev data in the languages of {config.pair}: leave targets out")
    return sentences, files


def _train_heads(config: AdviseConfig, most: int | None, output: Path) -> list[Head]:
    options = FinetuneConfig(
        task=config.task, mode="linear", model=config.model, data=config.data, output=str(output), seeds=config.seeds,
        epochs=config.epochs, max_sentences=most, head_learning_rate=config.head_learning_rate,
        probe=False, resume=True, tracking="none", quiet=True,
    )  # fmt: skip
    return list(read_finetuned(finetune(options).directory).heads.values())


def _finish(run: Run, config: AdviseConfig, analysis: GradientAnalysis, gradients: AdviceGradients) -> RunResult:
    advice = advise_on(config.task, gradients.products, draws=config.draws, seed=config.seed)
    rows = _rows(advice, gradients)
    write_csv(run.directory / "advice.csv", COLUMNS, [[row[column] for column in COLUMNS] for row in rows])
    rule = RULE[config.task]
    summary: dict[str, Any] = {
        "task": config.task,
        "pair": config.pair,
        "model": analysis.inputs.source.name,
        "advice": advice.configuration,
        "sure": advice.sure,
        "first": advice.first.configuration,
        "share_first": advice.first.share_first,
        "detectable": advice.detectable,
        "rule": {"configuration": rule, "text": RULE_TEXT, "agrees": rule == advice.configuration},
        "words": in_words(advice, config.pair),
    }
    run.write("advice.json", summary | {"ranking": rows})
    scores = {row["configuration"]: row["score"] for row in rows if row["score"] is not None}
    return run.finish(
        {key: value for key, value in summary.items() if key not in ("words", "rule")}
        | {
            "rule": rule,
            "score": scores,
            "share_of_draws_first": {place.configuration: place.share_first for place in advice.ranking},
            "heads": len(analysis.heads),
            "examples_per_block": analysis.examples,
            "parameters": 0,
            "translations": analysis.examples[ALL_LOSSES] * config.blocks,
        }
    )


def _rows(advice: Advice, gradients: AdviceGradients) -> list[dict[str, Any]]:
    """One row a configuration, in the order of the ranking."""
    rows = []
    for rank, place in enumerate(advice.ranking, start=1):
        row: dict[str, Any] = dataclasses.asdict(place) | {"rank": rank}
        if place.configuration == NOTHING:
            row |= {"cosine_shared": 0.0, "cosine_target": None}
        else:
            row |= {"cosine_shared": gradients.shared[place.configuration]}
            row |= {"cosine_target": gradients.targets[place.configuration]}
        rows.append({column: row[column] for column in COLUMNS})
    return rows


def _say(config: AdviseConfig, text: str) -> None:
    if not config.quiet:
        print(text, flush=True)
