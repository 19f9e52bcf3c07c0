"""Effects between languages: predictors of a target's gain, its kinship and its script; languages are resampled."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from xalign.analysis.correlations import correlate, difference_of_correlations, mean_correlation, resampled_languages
from xalign.analysis.proximity import known_relatedness, nearest, proximity
from xalign.data.languages import find, parse_pair
from xalign.report.averages import Model
from xalign.report.claims import Effect
from xalign.report.estimates import ENGLISH
from xalign.report.evidence.sources import DRAWS, SEED, Evidence
from xalign.report.predictors import Unit
from xalign.report.statistics import percentile_interval

FEWEST_LANGUAGES = 4


def predictor_correlation(evidence: Evidence, *, task: str, predictor: str) -> Effect | None:
    """Spearman's ρ of a predictor with the change in accuracy, averaged over the modes of a task."""
    return _over_modes(
        evidence, task, (predictor,), lambda units, languages: correlate(
            [unit.predictors[predictor] for unit in units], [unit.change for unit in units],
            pairs=[unit.model[0] for unit in units], languages=languages, draws=DRAWS // 4,
        ),
    )  # fmt: skip


def predictor_difference(evidence: Evidence, *, task: str, first: str, second: str) -> Effect | None:
    """|ρ| of one predictor less |ρ| of another, averaged over the modes of a task."""
    return _over_modes(
        evidence, task, (first, second), lambda units, languages: difference_of_correlations(
            [unit.predictors[first] for unit in units], [unit.predictors[second] for unit in units],
            [unit.change for unit in units], languages=languages, draws=DRAWS // 4,
        ),
    )  # fmt: skip


def proximity_correlation(evidence: Evidence, *, to: str, measure: str | None = None) -> Effect | None:
    """Mean ρ over models of the targets' changes with their proximity to the alignment languages, or to English.

    The measure is the known relatedness on the testbed, kinship elsewhere. Intervals resample languages.
    """
    measure = measure or ("relatedness" if evidence.testbed else "kinship")
    found = proximities(evidence, changes_by_language(evidence.units), to, measure)
    if found is None:
        return None
    x, y = found
    rows = np.stack(resampled_languages([str(i) for i in range(x.shape[1])], draws=DRAWS // 4, seed=SEED))
    sampled = mean_correlation(x[:, rows].swapaxes(0, 1), y[:, rows].swapaxes(0, 1))
    low, high = percentile_interval(sampled)
    over = f"{len(y)} models × {x.shape[1]} languages, {measure}"
    return Effect(float(mean_correlation(x, y)), float(low), float(high), over)


Changes = dict[tuple[str, str, Model], dict[str, float]]


def changes_by_language(units: Iterable[Unit]) -> Changes:
    """(task, mode, model) → language → change in accuracy."""
    found: Changes = {}
    for unit in units:
        found.setdefault((unit.task, unit.mode, unit.model), {})[unit.language] = unit.change
    return found


def proximities(evidence: Evidence, models: Changes, to: str, measure: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Proximity of each target to English or to the nearer alignment language, and the target's change.

    Returns:
        two arrays (models, languages) over the languages that all models have and the measure knows; None where these
        are fewer than `FEWEST_LANGUAGES`.
    """
    if not models:
        return None
    known = known_relatedness(evidence.testbed) if evidence.testbed else None
    languages = sorted(set.intersection(*(set(changes) for changes in models.values())))
    near: list[list[float]] = []
    for _, _, (pair, _) in models:
        anchors = [ENGLISH] if to == "english" else [language.code for language in parse_pair(pair)]
        values = [
            nearest([proximity(measure, t, a, known=known, subwords=evidence.subwords) for a in anchors])
            for t in languages
        ]
        near.append([np.nan if value is None else value for value in values])
    x, y = np.array(near), np.array([[changes[t] for t in languages] for changes in models.values()])
    usable = ~np.isnan(x).any(axis=0)
    if usable.sum() < FEWEST_LANGUAGES:
        return None
    return x[:, usable], y[:, usable]


def script_by_task(evidence: Evidence) -> Effect | None:
    """How much more the base gains from English's script in POS tagging than in classification, full fine-tuning.

    Each side is the mean accuracy in targets of Latin script less that in the others, in units of the accuracy in
    English, so that a harder task does not look less dependent. Intervals resample languages.
    """
    gaps = {}
    for task in ("pos", "topic"):
        blocks = [block for block in evidence.of_task(task, "full") if block.base is not None]
        if not blocks or ENGLISH not in blocks[0].languages or blocks[0].base is None:
            return None
        accuracy = dict(zip(blocks[0].languages, blocks[0].base.observed.mean(axis=(0, 1)), strict=True))
        top = accuracy.pop(ENGLISH)
        gaps[task] = {code: float(value / top) for code, value in accuracy.items()}
    languages = sorted(gaps["pos"].keys() & gaps["topic"].keys())
    latin = np.array([find(code).script == find(ENGLISH).script for code in languages])
    difference = np.array([gaps["pos"][code] - gaps["topic"][code] for code in languages])
    if latin.sum() < 2 or (~latin).sum() < 2:
        return None
    random = np.random.default_rng(SEED)
    inside, outside = difference[latin], difference[~latin]
    draws = [random.choice(inside, len(inside)).mean() - random.choice(outside, len(outside)).mean()
             for _ in range(DRAWS)]  # fmt: skip
    low, high = percentile_interval(np.array(draws))
    return Effect(float(inside.mean() - outside.mean()), float(low), float(high), f"{len(languages)} languages")


def _over_modes(
    evidence: Evidence, task: str, names: tuple[str, ...], measure: Callable[[list[Unit], list[str]], object]
) -> Effect | None:
    """A measure on the units of each mode, which are never pooled; then the mean of estimates and of their limits."""
    found: list[tuple[float, float, float]] = []
    count = 0
    for mode in dict.fromkeys(unit.mode for unit in evidence.units if unit.task == task):
        units = [
            unit for unit in evidence.units
            if (unit.task, unit.mode) == (task, mode) and all(name in unit.predictors for name in names)
        ]  # fmt: skip
        result = measure(units, [unit.language for unit in units]) if units else None
        if isinstance(result, tuple):
            found.append(result)
        elif result is not None:
            found.append((result.rho, result.low, result.high))  # type: ignore[attr-defined]
        count += len(units) if result is not None else 0
    if not found:
        return None
    point, low, high = np.mean(found, axis=0)
    return Effect(float(point), float(low), float(high), f"{count} units, {len(found)} modes")
