"""From the lines of analyses to averages: over both directions, over language pairs, over aligned models.

A *model* is an (alignment pair, loss configuration); with several alignment seeds, their mean. Its values are keyed by
language pair, and averages over models carry the range.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from xalign.config.analyses import RETRIEVAL_PAIRS
from xalign.data.languages import parse_pair
from xalign.naming import BASE
from xalign.report.analyses import Line
from xalign.report.records import UNALIGNED

Model = tuple[str, str]
Values = dict[str, float]
BASE_MODEL: Model = (BASE, UNALIGNED)
OWN, ONE, OTHER = "own pair", "shares one language", "other"
RELATIONS = (OWN, ONE, OTHER)


@dataclass(frozen=True)
class Spread:
    """The mean over models, and the lowest and highest of them."""

    mean: float
    low: float
    high: float
    models: int


def spread(values: Iterable[float | None]) -> Spread | None:
    """Mean and range of the values that exist; None where there is none."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return Spread(float(np.mean(known)), min(known), max(known), len(known))


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of the values that exist; None where there is none."""
    found = spread(values)
    return None if found is None else found.mean


@cache
def language_pair(source: str, target: str) -> str:
    """The name of an unordered pair: the paper's where it has one (deu-eng, never eng-deu), else alphabetical."""
    names = (f"{source}-{target}", f"{target}-{source}")
    return next((name for name in names if name in RETRIEVAL_PAIRS), min(names))


def by_language_pair(lines: Iterable[Line], column: str) -> Values:
    """The mean of a column over both directions of each language pair; pairs without a value are left out."""
    found: dict[str, list[float]] = defaultdict(list)
    for line in lines:
        if line[column] is not None:
            found[language_pair(line["source"], line["target"])].append(line[column])
    return {pair: float(np.mean(values)) for pair, values in found.items()}


def by_model(runs: Iterable[tuple[Model, Iterable[Line]]], column: str) -> dict[Model, Values]:
    """For each model, its values by language pair, averaged over directions and over its runs (alignment seeds)."""
    seeds: dict[Model, list[Values]] = defaultdict(list)
    for model, lines in runs:
        seeds[model].append(by_language_pair(lines, column))
    return {
        model: {pair: float(np.mean([run[pair] for run in found])) for pair in set.intersection(*map(set, found))}
        for model, found in seeds.items()
    }


def changes(models: Mapping[Model, Values]) -> dict[Model, Values]:
    """Each aligned model less the base, by language pair; empty without a base."""
    base = models.get(BASE_MODEL)
    if base is None:
        return {}
    return {
        model: {pair: value - base[pair] for pair, value in values.items() if pair in base}
        for model, values in models.items()
        if model != BASE_MODEL
    }


def across_models(models: Mapping[Model, Values], loss: str, language_pairs: Iterable[str]) -> Spread | None:
    """One cell: the mean over these language pairs within each model of that loss, then mean and range over models."""
    wanted = list(language_pairs)
    return spread(
        mean(values[pair] for pair in wanted if pair in values) for (_, of), values in models.items() if of == loss
    )


@cache
def relation(alignment_pair: str, pair: str) -> str:
    """What a language pair has to do with the pair that a model was aligned on: one of `RELATIONS`."""
    aligned = {language.code for language in parse_pair(alignment_pair)}
    shared = len(aligned & {language.code for language in parse_pair(pair)})
    return (OTHER, ONE, OWN)[shared]
