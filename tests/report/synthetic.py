"""Run directories made by hand, whose accuracies are known: material for the tests of reports."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xalign.config import LOSSES
from xalign.naming import encoder_name
from xalign.storage import digest_json

LANGUAGES = ("deu", "eng", "kaz")
SEEDS = (15, 33, 42)
FINETUNE = {"epochs": 15, "batch_size": 16, "max_length": 256, "language": "eng"}
ALIGN = {"steps": 6000, "batch_size": 32}


def write_run(
    directory: Path,
    phase: str,
    name: str,
    config: Mapping[str, Any],
    lineage: Mapping[str, Any],
    upstream: Sequence[Mapping[str, str]] = (),
    *,
    testbed: bool = False,
    inputs: Mapping[str, Any] | None = None,
) -> str:
    """Write a ``run.json`` and return the run's key."""
    inputs = inputs or {"weights": "w0", "data": {}}
    key = digest_json([phase, config, inputs, [source["key"] for source in upstream]])
    directory.mkdir(parents=True, exist_ok=True)
    run = {
        **{"phase": phase, "name": name, "config": dict(config), "key": key, "method_version": 1},
        **{"lineage": dict(lineage), "upstream": list(upstream), "inputs": dict(inputs), "testbed": testbed},
        **{"versions": {}, "git": {}, "created": "2026-01-01T00:00:00"},
    }
    (directory / "run.json").write_text(json.dumps(run))
    return key


def write_transfer(
    runs: Path,
    task: str,
    mode: str,
    pair: str | None = None,
    loss: str | None = None,
    *,
    correct: Mapping[str, np.ndarray] | None = None,
    total: Mapping[str, np.ndarray] | None = None,
    seeds: Sequence[int] = SEEDS,
    align_seed: int = 42,
    align_step: int = 6000,
    encoder: str = "mini",
    testbed: bool = False,
    weights: str = "w0",
    finetune: Mapping[str, Any] | None = None,
    align: Mapping[str, Any] | None = None,
    data: Mapping[str, str] | None = None,
    probe: float | None = None,
    state: str = "complete",
    method: str | None = None,
    everywhere: bool = False,
) -> Path:
    """Write an alignment, a fine-tuning and a transfer run, and return the directory of the last.

    Args:
        correct: correct words (or sentences) by language, (seeds, sentences); by default half of four sentences.
        total: words by language and sentence; by default one.
        state: 'complete', 'failed' or 'incomplete'.
        method: what was done beyond the paper's alignment.
        everywhere: as a test in all languages of the data.
    """
    place = {"encoder": encoder, "pair": pair, "loss": loss, "task": task, "mode": mode}
    place |= {"align_seed": align_seed if pair else None, "align_step": align_step if pair else None}
    place |= {"method": method} if method else {}
    model, upstream = encoder_name({"method": method}), []
    if pair:
        suffix = "" if align_seed == 42 else f"-seed{align_seed}"
        name = f"align/{pair}/{loss}{suffix}"
        config = {**ALIGN, "pair": pair, "loss": loss, "seed": align_seed, **(align or {})}
        inputs = {"weights": weights, "data": {}}
        key = write_run(runs / name, "align", name, config, place, testbed=testbed, inputs=inputs)
        upstream = [{"path": str(runs / name), "key": key}]
        model = f"{pair}/{loss}{suffix}" + ("" if align_step == 6000 else f"-step{align_step}")
        model += f"+{method}" if method else ""
    name = f"finetune/{task}/{mode}/{model}"
    config = {**FINETUNE, "task": task, "mode": mode, "seeds": list(seeds), **(finetune or {})}
    inputs = {"weights": f"aligned-{model}" if pair else weights, "data": {}}
    key = write_run(runs / name, "finetune", name, config, place, upstream, testbed=testbed, inputs=inputs)
    name = f"{'languages' if everywhere else 'transfer'}/{task}/{mode}/{model}"
    directory = runs / name
    inputs = {"weights": "head", "data": dict(data or {})}
    source = [{"path": str(runs / "finetune" / task / mode / model), "key": key}]
    config = {"max_length": 256, "data": "gone"} | ({"languages": ["all"]} if everywhere else {})
    write_run(directory, "transfer", name, config, place, source, testbed=testbed, inputs=inputs)
    if state == "failed":
        (directory / "failed.json").write_text(json.dumps({"error": "loss is not finite", "step": 7}))
    if state == "complete":
        correct = correct or {language: np.tile([1, 0, 1, 0], (len(seeds), 1)) for language in LANGUAGES}
        total = total or {language: np.ones(hits.shape[1], int) for language, hits in correct.items()}
        write_outcomes(directory, seeds, correct, total, probe)
    return directory


def write_outcomes(
    directory: Path,
    seeds: Sequence[int],
    correct: Mapping[str, np.ndarray],
    total: Mapping[str, np.ndarray],
    probe: float | None,
) -> None:
    """Write ``outcomes.jsonl`` and the ``result.json`` that agrees with it."""
    lines, accuracy = [], {}
    for language, hits in correct.items():
        accuracy[language] = {
            str(s): float(row.sum() / total[language].sum()) for s, row in zip(seeds, hits, strict=True)
        }
        for (seed, row), index in itertools.product(zip(seeds, hits, strict=True), range(hits.shape[1])):
            counts = {"correct": int(row[index]), "total": int(total[language][index])}
            lines.append(json.dumps({"language": language, "seed": seed, "sentence_id": str(index), **counts}))
    (directory / "outcomes.jsonl").write_text("\n".join(lines) + "\n")
    result: dict[str, Any] = {"accuracy": accuracy, "macro_f1": accuracy, "seconds": 1.0, "resumed_from": []}
    if probe is not None:
        result["probe_accuracy"] = {language: probe for language in correct}
    (directory / "result.json").write_text(json.dumps(result))


def random_outcomes(
    random: np.random.Generator, accuracy: float, sentences: int, languages: Sequence[str] = LANGUAGES, seeds: int = 3
) -> dict[str, np.ndarray]:
    """One-word outcomes with the given expected accuracy: (seeds, sentences) for each language."""
    return {language: (random.random((seeds, sentences)) < accuracy).astype(int) for language in languages}


def write_grid(
    runs: Path,
    pairs: Sequence[str] = ("de-en",),
    tasks: Sequence[str] = ("pos", "topic"),
    modes: Sequence[str] = ("full", "linear"),
    sentences: int = 40,
    **options: Any,
) -> None:
    """A complete grid: the base at 0.5, each loss 0.05 higher than the one before."""
    random = np.random.default_rng(0)
    for task, mode in itertools.product(tasks, modes):
        write_transfer(runs, task, mode, correct=random_outcomes(random, 0.5, sentences), **options)
        for pair, (rank, loss) in itertools.product(pairs, enumerate(LOSSES, start=1)):
            hits = random_outcomes(random, 0.5 + 0.05 * rank, sentences)
            write_transfer(runs, task, mode, pair, loss, correct=hits, **options)
