"""Gaschi's claims as rows: what alignment of words has to do with transfer, over all realignment runs and their tests.

A unit is one fine-tuned seed of a realignment run, tested in the language of its pair that is not English. Source:
Gaschi et al. 2023, arXiv 2306.02790: alignment correlates with transfer; a dictionary links better than a statistical
aligner; distant languages and small models gain most.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xalign.analysis.correlations import spearman
from xalign.data.languages import parse_pair
from xalign.methods.realignment_variants import DEFAULTS, methods_before, variant
from xalign.naming import encoder_name
from xalign.report.records import tested_everywhere
from xalign.runs import find_runs, state_of
from xalign.storage import read_json

ENGLISH = "eng"
GAIN = "gain over the baseline"
COLUMNS = ("claim", "task", "mode", "what", "value", "units")
Row = tuple[str, str, str, str, float, int]


@dataclass(frozen=True)
class RealignmentUnit:
    """One fine-tuned seed in one target language.

    Attributes:
        encoder: the name of the encoder that everything began with.
        start: what had been done before realignment, to the encoder and to the task's data; empty for nothing.
        weights: digest of the encoder that was realigned.
        variant: the options that are not the default, as `xalign.methods.realignment_variants.variant` says.
        layer: the option: where alignment was measured.
        alignment: 1-NN accuracy of linked words after fine-tuning, at the layer of realignment, both directions.
        accuracy: in the target language.
        drop: (accuracy in the target − accuracy in English) / accuracy in English.
    """

    task: str
    mode: str
    encoder: str
    start: str
    weights: str
    strategy: str
    aligner: str
    variant: str
    layer: str
    language: str
    seed: str
    alignment: float
    accuracy: float
    drop: float


def realignment_units(runs: Path) -> list[RealignmentUnit]:
    """The units of all complete realignment runs below `runs` that a complete transfer run tested."""
    found = [(path, read_json(path / "run.json")) for path in find_runs(runs) if state_of(path) == "complete"]
    made = {record["key"]: (path, record) for path, record in found if record["phase"] == "realign"}
    units: list[RealignmentUnit] = []
    for path, record in found:
        keys = [each["key"] for each in record["upstream"]]
        if record["phase"] == "transfer" and not tested_everywhere(record) and keys and keys[0] in made:
            units += _units(*made[keys[0]], read_json(path / "result.json")["accuracy"])
    return units


def _units(directory: Path, record: dict[str, Any], accuracy: dict[str, dict[str, float]]) -> Iterable[RealignmentUnit]:
    config, lineage = record["config"], record["lineage"]
    targets = [language.code for language in parse_pair(config["pair"]) if language.code != ENGLISH]
    layer = int(read_json(directory / "result.json")["layer"])
    with (directory / "alignment.csv").open(encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if int(row["layer"]) == layer]
    for seed, english in accuracy.get(ENGLISH, {}).items():
        if not english:  # nothing can drop from there
            continue
        # With a frozen encoder what was fine-tuned is the encoder as it was before.
        own = [row for row in rows if row["seed"] == seed] or [row for row in rows if row["state"] == rows[-1]["state"]]
        alignment = float(np.mean([float(row["accuracy"]) for row in own]))
        for target in (code for code in targets if seed in accuracy.get(code, {})):
            value = accuracy[target][seed]
            yield RealignmentUnit(
                config["task"], config["mode"], lineage["encoder"], _start(config, lineage),
                record["inputs"]["weights"], config["strategy"], config["aligner"], variant(config, layer),
                config.get("layer", DEFAULTS["layer"]), target, seed, alignment, value, (value - english) / english,
            )  # fmt: skip


def _start(config: Mapping[str, Any], lineage: Mapping[str, Any]) -> str:
    """The alignment and methods before realignment; a pair without a loss comes from a realignment."""
    aligned = encoder_name({**lineage, "method": None}) if lineage.get("loss") else ""
    found = "+".join(part for part in (aligned, methods_before(lineage.get("method"))) if part)
    seed = config.get("codeswitch_seed", DEFAULTS["codeswitch_seed"])
    return f"{found}-seed{seed}" if config.get("codeswitch") and seed != DEFAULTS["codeswitch_seed"] else found


def realignment_rows(units: Iterable[RealignmentUnit]) -> list[Row]:
    """Rows of `COLUMNS`, task by task and never pooled over tasks; a claim without units has no row.

    Correlations take three units at least, all measured at the same layer. Differences are paired by encoder, what had
    been done to it, language and seed: dictionary against statistical within one strategy and variant of it, and each
    of these against the baseline.
    """
    blocks: dict[tuple[str, str], list[RealignmentUnit]] = defaultdict(list)
    for unit in units:
        blocks[unit.task, unit.mode].append(unit)
    rows: list[Row] = []
    for (task, mode), block in sorted(blocks.items()):
        for layer in sorted({unit.layer for unit in block}):
            measured = [unit for unit in block if unit.layer == layer]
            alignments, drops = ([getattr(unit, name) for unit in measured] for name in ("alignment", "drop"))
            if len(measured) >= 3 and len(set(alignments)) > 1 and len(set(drops)) > 1:
                rho = float(spearman(np.array(alignments), np.array(drops)))
                what = "spearman" if layer == DEFAULTS["layer"] else f"spearman at layer {layer}"
                rows.append(("alignment correlates with transfer", task, mode, what, rho, len(measured)))
        realigned = [unit for unit in block if unit.strategy != "baseline"]
        better = _paired(
            realigned, lambda u: u.aligner, "dictionary", "statistical", lambda u: (*_place(u), u.strategy, u.variant)
        )
        if better:
            values = [value for _, value in better]
            rows.append(("dictionary > statistical", task, mode, "accuracy", float(np.mean(values)), len(values)))
        names = _encoder_names(block)
        for strategy, options in sorted({(unit.strategy, unit.variant) for unit in realigned}):
            gains: dict[tuple[str, str], list[float]] = defaultdict(list)
            # The baseline has no variants: whatever aligner and options a run has, they changed nothing of it.
            compared = [unit for unit in block if unit.strategy == "baseline" or unit.variant == options]
            for unit, gain in _paired(compared, lambda u: u.strategy, strategy, "baseline", _place):
                gains[unit.language, names[unit.encoder, unit.start, unit.weights]].append(gain)
            called = f"{strategy}-{options}" if options else strategy
            rows += [
                (GAIN, task, mode, f"{called} {language} {encoder}", float(np.mean(found)), len(found))
                for (language, encoder), found in sorted(gains.items())
            ]
    return rows


def _encoder_names(units: Iterable[RealignmentUnit]) -> dict[tuple[str, str, str], str]:
    """How rows call each (encoder, start, weights): with the beginning of the digest where names alone are the same."""
    places = {(unit.encoder, unit.start, unit.weights) for unit in units}
    counts = Counter(place[:2] for place in places)
    return {
        (encoder, start, weights): " ".join(
            part for part in (encoder, start, weights[:8] if counts[encoder, start] > 1 else "") if part
        )
        for encoder, start, weights in places
    }


def _place(unit: RealignmentUnit) -> tuple[str, ...]:
    return unit.encoder, unit.start, unit.weights, unit.language, unit.seed


def _paired(
    units: Iterable[RealignmentUnit],
    side: Callable[[RealignmentUnit], str],
    first: str,
    second: str,
    place: Callable[[RealignmentUnit], tuple[str, ...]],
) -> list[tuple[RealignmentUnit, float]]:
    """Units of the side `first`, each with its accuracy minus the mean of the side `second` in the same place."""
    against: dict[tuple[str, ...], list[float]] = defaultdict(list)
    units = list(units)
    for unit in units:
        if side(unit) == second:
            against[place(unit)].append(unit.accuracy)
    return [
        (unit, unit.accuracy - float(np.mean(against[place(unit)])))
        for unit in units
        if side(unit) == first and place(unit) in against
    ]
