"""A search for learning rates of fine-tuning, decided by English development data alone.

    xalign calibrate --task topic --mode full --model xlm-roberta-base --data DATA --output runs/calibrate/topic/full

Every candidate is fine-tuned with every seed; the best mean accuracy on English dev wins. What wins is written as a
preset, and is tested in all languages only after it has won. The paper's averages on sentence classification survived
without the set of languages that they average, so the distance to them is reported for each set that they may mean.
"""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from xalign.config import CalibrateConfig, FinetuneConfig, TransferConfig
from xalign.data.languages import find
from xalign.engine import launch
from xalign.errors import UsageError
from xalign.model_source import find_model
from xalign.naming import calibrate_name, runs_directory
from xalign.phases.csv_files import write_csv
from xalign.phases.finetune import finetune
from xalign.phases.inputs import describe_inputs, open_data
from xalign.phases.transfer import transfer
from xalign.runs import Run, RunResult, completed, open_run, run_key
from xalign.storage import write_text
from xalign.tasks import make_task
from xalign.tracking import following

PUBLISHED = {("topic", "full"): 0.880, ("topic", "linear"): 0.718}
"""XLM-R's averages on sentence classification, the only accuracies that survive in the paper's text."""
WITHOUT = {"all languages": (), "without kas": ("kas",), "without eng": ("eng",)}
COLUMNS = ("learning_rate", "head_learning_rate", "dev_accuracy", "sd", "chosen")

Candidate = tuple[float, float]


def calibrate(config: CalibrateConfig) -> RunResult:
    """Fine-tune with every candidate pair of rates, and keep the one with the best accuracy on English dev.

    Returns:
        the run: ``calibration.csv`` (a line a candidate), ``preset.yaml`` (the choice with its provenance), and in
        ``result.json`` the accuracies and, for topics, the distance to the paper's average.

    Raises:
        UsageError: a launch with several processes, a candidate named twice, or missing data.
    """
    if launch.world_size() > 1:
        raise UsageError("calibrate starts its own fine-tuning runs: run it without accelerate launch")
    candidates = list(itertools.product(config.learning_rates or (), config.head_learning_rates or ()))
    if len(set(candidates)) < len(candidates) or not candidates:
        raise UsageError("learning_rates and head_learning_rates: give each rate once, and at least one of both")
    source, data = find_model(config.model), open_data(config.data)
    task = make_task(config.task, label_on="first", pooling="mean")
    files = [task.file(data, find("eng"), split) for split in ("train", "dev")]
    inputs = describe_inputs(data, files, source)
    if not config.overwrite and (done := completed(Path(config.output), run_key("calibrate", config, inputs))):
        return done
    lineage = {**source.lineage, "encoder": source.name, "task": config.task, "mode": config.mode}
    name = calibrate_name(config.task, config.mode)
    with open_run(config, "calibrate", name, lineage, inputs) as run:
        runs = runs_directory(run.directory, name)
        with following(run, runs=runs, tracking=config.tracking, log_checkpoints="none"):
            return _search(run, config, candidates)


def _search(run: Run, config: CalibrateConfig, candidates: list[Candidate]) -> RunResult:
    found: dict[Candidate, list[float]] = {}
    for number, candidate in enumerate(candidates, start=1):
        outcome = finetune(_candidate_config(run, config, candidate))
        found[candidate] = list(outcome.result["dev_accuracy"].values())
        if not run.resuming or number > _last_step(run):
            run.log({"step": number, "dev_accuracy": float(np.mean(found[candidate]))})
        best = choose(found)
        if not config.quiet:
            print(f"{_label(candidate)}  dev accuracy {np.mean(found[candidate]):.4f}", flush=True)
        for loser in found:
            if loser != best:  # an encoder for each seed and candidate would fill the disk
                for folder in _directory(run, loser).glob("encoder-seed*"):
                    shutil.rmtree(folder)
    rows = [
        (*rates, float(np.mean(scores)), float(np.std(scores, ddof=len(scores) > 1)), str(rates == best))
        for rates, scores in found.items()
    ]
    write_csv(run.directory / "calibration.csv", COLUMNS, rows)
    write_text(run.directory / "preset.yaml", preset_text(run, config, best, len(found[best])))
    result: dict[str, Any] = {
        "dev_accuracy": {_label(candidate): float(np.mean(scores)) for candidate, scores in found.items()},
        "chosen": _label(best),
    }
    result["at_edge"] = edges(candidates, best)
    if not config.quiet:
        print(f"chosen: {_label(best)}; written to {run.directory / 'preset.yaml'}")
        for name in result["at_edge"]:
            print(f"the best {name} is the last of its candidates: better ones may lie beyond it", flush=True)
    if (published := PUBLISHED.get((config.task, config.mode))) is not None:
        result["difference_to_paper"] = _difference(run, config, best, published)
    return run.finish(result)


def choose(found: dict[Candidate, list[float]]) -> Candidate:
    """The candidate with the best mean; of equals the first, so that a tie never depends on the order of a dict."""
    return max(sorted(found, reverse=True), key=lambda candidate: (np.mean(found[candidate]), -candidate[0]))


def edges(candidates: list[Candidate], best: Candidate) -> list[str]:
    """Names of the rates whose best value is the smallest or the largest that was tried."""
    names = ("learning_rate", "head_learning_rate")
    tried = [sorted(set(rates)) for rates in zip(*candidates, strict=True)]
    return [
        name
        for name, rates, rate in zip(names, tried, best, strict=True)
        if len(rates) > 1 and rate in (rates[0], rates[-1])
    ]


def preset_text(run: Run, config: CalibrateConfig, best: Candidate, seeds: int) -> str:
    """A preset whose ``finetune`` section has the chosen rates, marked *measured*."""
    where = f"{config.task}-{config.mode}"
    source = (
        f"best English dev accuracy of {run.record['lineage']['encoder']} on {where}, {seeds} seeds, "
        f"{config.epochs} epochs" + (f", {config.max_sentences} sentences" if config.max_sentences else "")
    )
    values = dict(zip(("learning_rate", "head_learning_rate"), best, strict=True))
    section = {name: {"value": {where: value}, "mark": "measured", "source": source} for name, value in values.items()}
    return yaml.safe_dump({"finetune": section}, sort_keys=False, width=1000, allow_unicode=True)


def _difference(run: Run, config: CalibrateConfig, best: Candidate, published: float) -> dict[str, float]:
    """Average accuracy less the paper's, for each set of languages that its average may mean."""
    output = run.directory / "transfer"
    outcome = transfer(
        TransferConfig(
            model=str(_directory(run, best)), data=config.data, output=str(output),
            resume=(output / "run.json").is_file(), tracking="none", quiet=config.quiet,
        )
    )  # fmt: skip
    means = {code: float(np.mean(list(seeds.values()))) for code, seeds in outcome.result["accuracy"].items()}
    return {
        name: float(np.mean([value for code, value in means.items() if code not in without])) - published
        for name, without in WITHOUT.items()
    }


def _candidate_config(run: Run, config: CalibrateConfig, candidate: Candidate) -> FinetuneConfig:
    directory = _directory(run, candidate)
    return FinetuneConfig(
        task=config.task, mode=config.mode, model=config.model, data=config.data, output=str(directory),
        seeds=config.seeds, epochs=config.epochs, max_sentences=config.max_sentences, learning_rate=candidate[0],
        head_learning_rate=candidate[1], probe=False, tracking="none", quiet=True,
        resume=(directory / "run.json").is_file(),
    )  # fmt: skip


def _directory(run: Run, candidate: Candidate) -> Path:
    return run.directory / "candidates" / "-".join(f"{rate:g}" for rate in candidate)


def _label(candidate: Candidate) -> str:
    return f"encoder {candidate[0]:g}, head {candidate[1]:g}"


def _last_step(run: Run) -> int:
    lines = run.metrics.read_text(encoding="utf-8").splitlines() if run.metrics.is_file() else []
    return max((int(json.loads(line)["step"]) for line in lines), default=0)
