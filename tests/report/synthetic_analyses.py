"""Runs of retrieve, distances and gradients made by hand, whose numbers are known: the sibling of `synthetic`."""

from __future__ import annotations

import csv
import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from synthetic import ALIGN, write_run

from xalign.config import LOSSES, LangalignConfig, as_dict
from xalign.config.analyses import LANGUAGES, RETRIEVAL_PAIRS
from xalign.naming import langalign_name
from xalign.report.analyses import FILES

DEPTH = 12
PAIRS = ("de-en", "en-kk", "ja-kk", "kk-ko")
Lines = Iterable[Mapping[str, Any]]
Cosine = Callable[[str, str, int], float]


def write_csv(path: Path, columns: Sequence[str], lines: Lines) -> None:
    """Lines with the columns in order; what is missing or None is an empty field."""
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows(lines)


def write_analysis(
    runs: Path,
    phase: str,
    files: Mapping[str, Lines],
    *,
    pair: str | None = None,
    loss: str | None = None,
    task: str | None = None,
    align_seed: int = 42,
    align_step: int = 6000,
    encoder: str = "mini",
    weights: str = "w0",
    testbed: bool = False,
    options: Mapping[str, Any] | None = None,
    data: Mapping[str, str] | None = None,
    state: str = "complete",
) -> Path:
    """Write an analysis and the alignment before it, and return the directory of the analysis."""
    place = {"encoder": encoder, "pair": pair, "loss": loss}
    place |= {"align_seed": align_seed if pair else None, "align_step": align_step if pair else None}
    upstream, model = [], "base"
    if pair:
        suffix = "" if align_seed == 42 else f"-seed{align_seed}"
        name = f"align/{pair}/{loss}{suffix}"
        config = {**ALIGN, "pair": pair, "loss": loss, "seed": align_seed}
        inputs = {"weights": weights, "data": {}}
        key = write_run(runs / name, "align", name, config, place, testbed=testbed, inputs=inputs)
        upstream = [{"path": str(runs / name), "key": key}]
        model = f"{pair}/{loss}{suffix}" + ("" if align_step == 6000 else f"-step{align_step}")
    folder = {"retrieve": "", "distances": f"{task or 'encoder'}/", "gradients": f"{task}/"}[phase]
    directory = runs / phase / f"{folder}{model}"
    config = {"model": "mini", "data": "gone", "max_length": 128, **(options or {})}
    inputs = {"weights": f"aligned-{model}" if pair else weights, "data": dict(data or {})}
    lineage = place | ({"task": task} if task else {})
    write_run(directory, phase, f"{phase}/{folder}{model}", config, lineage, upstream, testbed=testbed, inputs=inputs)
    if state == "failed":
        (directory / "failed.json").write_text(json.dumps({"error": "NaN in the checkpoint", "step": None}))
    if state == "complete":
        for file, lines in files.items():
            write_csv(directory / f"{file}.csv", FILES[phase][file], lines)
        (directory / "result.json").write_text(json.dumps({"seconds": 1.0, "resumed_from": []}))
    return directory


def retrieval_lines(
    value: Callable[[str, str, int], float], pairs: Sequence[str] = RETRIEVAL_PAIRS, depth: int = DEPTH
) -> list[dict[str, Any]]:
    """A line for each direction and layer: `value(source, target, layer)` is the mean cosine, the rest follow it."""
    lines = []
    for pair in pairs:
        for source, target in (pair.split("-"), pair.split("-")[::-1]):
            for layer in range(depth + 1):
                cosine = value(source, target, layer)
                line = {"source": source, "target": target, "layer": layer, "mean_cosine": cosine}
                line |= {"mean_cosine_nontranslation": cosine / 2, "separation": 5 * cosine}
                line |= {f"recall_at_{k}": min(1.0, cosine + k / 100) for k in (1, 5, 10)}
                line |= {name: cosine for name in ("nn_weak", "nn_strong", "nn_weak_csls", "margin", "auc")}
                lines.append(line | {"xsim": 1 - cosine})
    return lines


def write_retrieval(
    runs: Path,
    value: Callable[[str, str, int], float],
    pair: str | None = None,
    loss: str | None = None,
    **options: Any,
) -> Path:
    """A retrieve run with known cosines, the same halved after centring, and graded equivalence."""
    languages = {key: options.pop(key) for key in ("pairs", "depth") if key in options}
    lines = retrieval_lines(value, **languages)
    centred = [{**line, "mean_cosine": line["mean_cosine"] / 2} for line in lines]
    graded = [{k: line[k] for k in ("source", "target", "layer")} | {"rho_weak": line["auc"]} for line in lines]
    files = {"retrieval": lines, "retrieval-centred": centred, "graded": graded}
    return write_analysis(runs, "retrieve", files, pair=pair, loss=loss, **options)


def distance_lines(
    state: str, value: Callable[[str, str, int], float], pairs: Sequence[str], layers: Sequence[int] = (4, 8, 12)
) -> list[dict[str, Any]]:
    """A line for each level, direction and layer: `value(level, language pair, layer)` is the distance."""
    lines = []
    for level in ("sentence", "word"):
        for pair in pairs:
            for source, target in (pair.split("-"), pair.split("-")[::-1]):
                for layer in layers:
                    distance = value(level, pair, layer)
                    line = {"level": level, "source": source, "target": target, "layer": layer, "model_state": state}
                    line |= {"distance": distance, "nontranslation": 2 * distance, "normalised": 3 * distance}
                    lines.append(line | {"low": distance - 0.01, "high": distance + 0.01})
    return lines


def write_distances(
    runs: Path,
    value: Callable[[str, str, int], float],
    pair: str | None = None,
    loss: str | None = None,
    task: str | None = None,
    *,
    pairs: Sequence[str] = RETRIEVAL_PAIRS,
    **options: Any,
) -> Path:
    """A distances run of an encoder, or of what was fine-tuned from it."""
    state = ("aligned" if pair else "base") + (f"+{task}" if task else "")
    lines = distance_lines(state, value, pairs)
    files = {"distances": lines, "distances-centred": [{**line, "distance": line["distance"] / 2} for line in lines]}
    if task is None:
        unseen = [{**line, "distance": line["distance"] + 0.1} for line in lines if line["level"] == "sentence"]
        files["distances-unseen"] = unseen
    return write_analysis(runs, "distances", files, pair=pair, loss=loss, task=task, **options)


def gradient_line(view: str, first: str, second: str, group: str, cosine: float | None, **more: Any) -> dict[str, Any]:
    """A line whose noise ceiling is 0.8, so that the corrected cosine is the cosine over 0.8."""
    line: dict[str, Any] = {"view": view, "first": first, "second": second, "group": group, "reach": 1.0}
    line |= {"r_first": 0.8, "r_second": 0.8, "noise_ceiling": 0.8, "norm_first": 2.0, "norm_second": 1.0}
    if cosine is not None:
        line |= {"cosine": cosine, "cosine_corrected": cosine / 0.8, "magnitude_similarity": 0.8}
        line |= {"low": cosine / 0.8 - 0.05, "high": cosine / 0.8 + 0.05}
    return line | more


def gradient_lines(
    task: str, loss: str, cosine: float, languages: Sequence[str] = LANGUAGES, depth: int = DEPTH
) -> list[dict[str, Any]]:
    """All views of one model; layers beyond two thirds are out of reach of a loss without M."""
    groups = ["shared", "all", "embeddings", *(f"layer{k}" for k in range(1, depth + 1))]
    lines = []
    for rank, group in enumerate(groups):
        out_of_reach = group.startswith("layer") and int(group[5:]) > 2 * depth / 3 and loss.endswith("M0")
        own = None if out_of_reach else cosine * (1 - 0.05 * rank)
        lines.append(gradient_line("task-alignment", task, loss, group, own))
        lines.append(gradient_line("task-alignment", task, "S", group, own))
        lines.append(gradient_line("task-alignment", f"{task}@train", f"{loss}@train", group, own and own / 2))
    heads = ("@stale", "@refitted") if loss.endswith("M0") else ("",)
    for view, mark in (("task-language", ""), *(("mlm-language", head) for head in heads)):
        for i, first in enumerate(languages):
            for j, second in enumerate(languages[i + 1 :], start=i + 1):
                value = 0.7 - 0.04 * (j - i) + {"": 0.0, "@refitted": 0.1, "@stale": -0.5}[mark]
                names = (first + mark, second + mark)
                lines += [gradient_line(view, *names, group, value) for group in ("shared", "all")]
    return lines


def lookahead_lines(task: str, loss: str, change: float, languages: Sequence[str]) -> list[dict[str, Any]]:
    """The change of the task loss after one alignment step, in each language."""
    return [
        {"task": task, "loss": loss, "language": language, "step_size": 2e-5, "loss_before": 1.5}
        | {"loss_after": 1.5 + change, "change": change, "low": change - 1e-4, "high": change + 1e-4}
        for language in languages
    ]


def write_gradients(
    runs: Path, cosine: float, pair: str, loss: str, task: str, *, languages: Sequence[str] = LANGUAGES, **options: Any
) -> Path:
    """A gradients run with a known cosine between task and alignment."""
    files = {
        "gradients": gradient_lines(task, loss, cosine, languages),
        "updates": [gradient_line("task-alignment", task, loss, group, cosine / 2) for group in ("shared", "all")],
        "lookahead": lookahead_lines(task, loss, -cosine / 100, languages[:2]),
    }
    return write_analysis(runs, "gradients", files, pair=pair, loss=loss, task=task, **options)


def plausible(loss: str, pair: str | None, noise: float = 0.01) -> Callable[[str, str, int], float]:
    """Cosines that look like those of real encoders: for pages and figures that people look at."""

    def value(source: str, target: str, layer: int) -> float:
        random = np.random.default_rng(zlib.crc32(f"{loss}{pair}{sorted((source, target))}{layer}".encode()))
        level = 0.45 + 0.25 * np.sin(np.pi * layer / DEPTH)
        gain = 0.09 * (loss[1] == "1") - 0.05 * (loss == "S0W1M0") + 0.02 * (loss[3] == "1") + 0.015 * (loss[5] == "1")
        return float(level + gain * layer / 8 + noise * random.standard_normal())

    return value


def write_everything(
    runs: Path,
    *,
    pairs: Sequence[str] = PAIRS,
    losses: Sequence[str] = LOSSES,
    steps: Sequence[int] = (6000,),
    language_pairs: Sequence[str] = RETRIEVAL_PAIRS,
    languages: Sequence[str] = LANGUAGES,
    **options: Any,
) -> None:
    """All analyses of a whole grid, with plausible numbers."""
    few = {"pairs": language_pairs, **options}
    write_langalign(runs, {"english-only": 0.5, "mean-shift": 0.5, "ridge": 0.6, "fc": 0.55}, sentences=20, **options)
    write_retrieval(runs, plausible("S0W0M0", None), **few)
    for task in (None, "pos", "topic"):
        write_distances(runs, distance_of("S0W0M0", None, task), task=task, **few)
    for pair, loss, step in ((p, loss, s) for p in pairs for loss in losses for s in steps):
        share = step / max(steps)
        where = {"pair": pair, "loss": loss, "align_step": step, **options}
        write_retrieval(
            runs, mixed(plausible("S0W0M0", None), plausible(loss, pair), share), pairs=language_pairs, **where
        )
        for task in (None, "pos", "topic"):
            write_distances(runs, distance_of(loss, pair, task, share), task=task, pairs=language_pairs, **where)
        for task in ("pos", "topic"):
            random = np.random.default_rng(zlib.crc32(f"{task}{pair}{loss}".encode()))
            cosine = (-0.04 if task == "pos" else 0.12 + 0.1 * (loss[1] == "1")) + 0.05 * random.standard_normal()
            write_gradients(runs, float(cosine), task=task, languages=languages, **where)


def mixed(base: Cosine, aligned: Cosine, share: float) -> Cosine:
    """Cosines on the way from one encoder to another."""
    return lambda source, target, layer: (
        (1 - share) * base(source, target, layer) + share * aligned(source, target, layer)
    )


def distance_of(loss: str, pair: str | None, task: str | None, share: float = 1.0) -> Callable[[str, str, int], float]:
    """Distances that fall with alignment in the middle and rise at the end, and move with fine-tuning."""
    own = np.random.default_rng(zlib.crc32(f"{loss}{pair}".encode())).standard_normal(3) * 0.02 * bool(pair)

    def value(level: str, pair_of_languages: str, layer: int) -> float:
        random = np.random.default_rng(zlib.crc32(f"{loss}{pair}{task}{level}{pair_of_languages}{layer}".encode()))
        start = {4: 0.42, 8: 0.33, 12: 0.38}[layer] + 0.15 * (level == "word")
        strength = 0.1 * (loss[1] == "1") + 0.03 * (loss[3] == "1") + 0.02 * (loss[5] == "1")
        moved = start + share * strength * {4: -0.1, 8: -1.0, 12: 0.8}[layer] + own[layer // 4 - 1]
        moved += {None: 0.0, "pos": 0.05, "topic": -0.04}[task] * {4: 0.6, 8: -0.8, 12: 1.5}[layer]
        return float(moved + 0.01 * random.standard_normal())

    return value


def write_langalign(
    runs: Path,
    accuracies: Mapping[str, float],
    *,
    variant: Mapping[str, Any] | None = None,
    task: str = "topic",
    pair: str = "de-en",
    sentences: int = 400,
    seeds: Sequence[int] = (15, 33),
    encoder: str = "mini",
    testbed: bool = False,
) -> Path:
    """A LangAlign run whose methods are right in the first share of the sentences; returns its directory."""
    config = LangalignConfig(task=task, pair=pair, output="here", **(variant or {}))
    n = config.sentences or 56
    name = langalign_name(task, pair, "base", config.variant)
    lineage = {"encoder": encoder, "task": task, "mode": "linear", "method": f"langalign-{pair}-{config.variant}"}
    write_run(runs / name, "langalign", name, as_dict(config), lineage, testbed=testbed)
    lines = [
        {"method": method, "language": "eng" if method == "translate-test" else "deu", "seed": seed}
        | {"sentence_id": f"{index:03}", "correct": int(index < share * sentences), "total": 1}
        for method, share in accuracies.items()
        for seed in seeds
        for index in range(sentences)
    ]
    (runs / name / "outcomes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    maps = {"identity": 0.2, "mean-shift": 0.5, "ridge": 0.8, config.architecture: 0.7}
    result = {"accuracy": dict(accuracies), "closeness": maps, "wrong": maps, "nearest": maps, "parameters": 99}
    for key in ("parameters", "inference_parameters", "translations", "seconds"):
        result[f"{key}_by_method"] = dict.fromkeys(accuracies, 7)
    (runs / name / "result.json").write_text(json.dumps(result | {"translations": n, "seconds": 1.0}))
    return runs / name


def write_realignment(
    runs: Path,
    strategy: str,
    aligner: str,
    alignment: float,
    accuracy: float,
    *,
    encoder: str = "mini",
    testbed: bool = False,
    tested: bool = True,
) -> Path:
    """A realignment run on de-en with so well aligned words, and its test if there is one; returns its directory.

    English is at 0.8 and Kazakh at 0.1 throughout; directions are 0.05 above and below `alignment`.
    """
    config = {"task": "pos", "mode": "full", "pair": "de-en", "strategy": strategy, "aligner": aligner}
    method = "-".join(dict.fromkeys(("realign", strategy, aligner)))
    lineage = {"encoder": encoder, "pair": "de-en", "task": "pos", "mode": "full", "method": method}
    name = f"realign/pos/full/de-en+{method}"
    key = write_run(runs / name, "realign", name, config, lineage, testbed=testbed)
    lines = ["state,seed,layer,direction,accuracy,accuracy_strong", "base,,2,deu-eng,0.1,0.1"]
    for direction, off in (("deu-eng", 0.05), ("eng-deu", -0.05)):
        lines += [f"finetuned,15,1,{direction},0.99,0.9", f"finetuned,15,2,{direction},{alignment + off},0.1"]
    (runs / name / "alignment.csv").write_text("\n".join(lines) + "\n")
    result = {
        "layer": 2, "alignment": {"base": 0.1, "finetuned": alignment}, "links": 90, "measured_words": 40,
        "dev_accuracy": {"15": 0.8}, "seconds": 3.0, "parameters": 0, "translations": 20,
    }  # fmt: skip
    (runs / name / "result.json").write_text(json.dumps(result))
    if not tested:
        return runs / name
    test = name.replace("realign/", "transfer/", 1)
    upstream = [{"path": str(runs / name), "key": key}]
    write_run(runs / test, "transfer", test, {"max_length": 256}, lineage, upstream, testbed=testbed)
    correct = {"eng": 8, "deu": round(100 * accuracy), "kaz": 1}
    total = {"eng": 10, "deu": 100, "kaz": 10}
    outcomes = [
        {"language": code, "seed": 15, "sentence_id": "0", "correct": correct[code], "total": total[code]}
        for code in correct
    ]
    (runs / test / "outcomes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in outcomes))
    accuracies = {code: {"15": correct[code] / total[code]} for code in correct}
    (runs / test / "result.json").write_text(json.dumps({"accuracy": accuracies, "seconds": 1.0}))
    return runs / name
