"""Effects on the encoder itself: cosines and distances resample language pairs, gradients keep their blocks' errors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from xalign.config.analyses import MAIN_LAYER, RETRIEVAL_GROUPS
from xalign.data.languages import parse_pair
from xalign.hidden_states import resolve_layer
from xalign.report.analyses import Analysis
from xalign.report.averages import Model, Values, by_model, changes
from xalign.report.claims import Effect
from xalign.report.estimates import ENGLISH
from xalign.report.evidence.sources import DRAWS, SEED, Evidence
from xalign.report.predictors import MAIN_GROUP, lines_at
from xalign.report.statistics import percentile_interval

Z = 1.959963984540054  # the 97.5 % quantile of the normal distribution


def cosine_change(evidence: Evidence, *, loss: str, measure: str = "mean_cosine") -> Effect | None:
    """Mean change of a retrieval measure at two thirds of the depth, over models and language pairs."""
    return _over_language_pairs(_of_loss(_retrieval_changes(evidence, measure), loss))


def group_difference(evidence: Evidence, *, group: str, measure: str = "mean_cosine") -> Effect | None:
    """Change of a retrieval measure in one group of Table 2 less that in the other groups."""
    members = set(RETRIEVAL_GROUPS[group])
    others = {pair for pairs in RETRIEVAL_GROUPS.values() for pair in pairs} - members
    models = list(_retrieval_changes(evidence, measure).values())
    inside = _over_language_pairs([{p: v for p, v in model.items() if p in members} for model in models])
    outside = _over_language_pairs([{p: v for p, v in model.items() if p in others} for model in models])
    if inside is None or outside is None:
        return None
    return _difference(inside, outside, f"{len(members)} and {len(others)} language pairs")


def distance_change(evidence: Evidence, *, level: str, layer: str) -> Effect | None:
    """Change of the mean distance of translations by alignment, at one layer, over models and language pairs."""
    return _over_language_pairs(list(_distance_changes(evidence, level, (layer,)).values()))


def distance_difference(evidence: Evidence, *, first: str, second: str) -> Effect | None:
    """Change of sentence distances by one configuration less that by another, over layers and language pairs."""
    models = _distance_changes(evidence, "sentence", ("1/3", "2/3", "1/1"))
    differences = []
    for (pair, loss), values in models.items():
        other = models.get((pair, second))
        if loss == first and other is not None:
            differences.append({name: value - other[name] for name, value in values.items() if name in other})
    return _over_language_pairs(differences)


def gradient_cosine(evidence: Evidence, *, task: str) -> Effect | None:
    """Mean noise-corrected cosine of task and alignment gradients over the parameters that both reach."""
    return _mean_with_errors([line for _, line in _main_gradients(evidence) if line["task"] == task])


def gradient_by_english(evidence: Evidence) -> Effect | None:
    """Mean corrected cosine of models whose alignment pair lacks English less that of models whose pair has it."""
    found = _main_gradients(evidence)
    with_english = [line for record, line in found if _has_english(record.pair)]
    without = [line for record, line in found if not _has_english(record.pair)]
    first, second = _mean_with_errors(without), _mean_with_errors(with_english)
    if first is None or second is None:
        return None
    return _difference(first, second, f"{len(without)} and {len(with_english)} models")


def _retrieval_changes(evidence: Evidence, measure: str) -> dict[Model, Values]:
    if not evidence.retrieval:
        return {}
    layer = resolve_layer(MAIN_LAYER, evidence.retrieval[0].depth)
    return changes(by_model(lines_at(evidence.retrieval, "retrieval", layer), measure))


def _distance_changes(evidence: Evidence, level: str, layers: tuple[str, ...]) -> dict[Model, Values]:
    """Changes by model, keyed by language pair and layer."""
    own = [record for record in evidence.distances if record.task is None]
    merged: dict[Model, Values] = {}
    for share in layers if own else ():
        layer = resolve_layer(share, own[0].depth)
        found = changes(by_model(lines_at(own, "distances", layer, level=level), "distance"))
        for model, values in found.items():
            merged.setdefault(model, {}).update({f"{pair} {layer}": value for pair, value in values.items()})
    return merged


def _of_loss(models: Mapping[Model, Values], loss: str) -> list[Values]:
    return [values for (_, of), values in models.items() if of == loss]


def _over_language_pairs(models: list[Values]) -> Effect | None:
    """The mean over models and language pairs; language pairs are resampled, with all models at once."""
    names = sorted({name.split()[0] for values in models for name in values})
    if not names:
        return None
    sums = {name: [v for values in models for key, v in values.items() if key.split()[0] == name] for name in names}
    totals, counts = np.array([sum(sums[n]) for n in names]), np.array([len(sums[n]) for n in names])
    picks = np.random.default_rng(SEED).integers(0, len(names), (DRAWS, len(names)))
    low, high = percentile_interval(totals[picks].sum(axis=1) / counts[picks].sum(axis=1))
    over = f"{len(models)} models × {len(names)} language pairs"
    return Effect(float(totals.sum() / counts.sum()), float(low), float(high), over)


def _main_gradients(evidence: Evidence) -> list[tuple[Analysis, dict[str, float | str | None]]]:
    """The main line of each gradients run: its own objective, the parameters that both losses reach."""
    return [
        (record, {**line, "task": record.task})
        for record in evidence.gradients
        for line in record.lines["gradients"]
        if (line["view"], line["group"], line["second"]) == ("task-alignment", MAIN_GROUP, record.loss)
    ]


def _mean_with_errors(lines: list[dict[str, float | str | None]]) -> Effect | None:
    """Mean of corrected cosines whose errors are independent: they come from the blocks of each model's own data."""
    known = [line for line in lines if None not in (line["cosine_corrected"], line["low"], line["high"])]
    if not known:
        return None
    values = np.array([[float(line[name] or 0.0) for name in ("cosine_corrected", "low", "high")] for line in known])
    errors = (values[:, 2] - values[:, 1]) / (2 * Z)
    error = float(np.sqrt((errors**2).sum()) / len(known))
    mean = float(values[:, 0].mean())
    return Effect(mean, mean - Z * error, mean + Z * error, f"{len(known)} models")


def _difference(first: Effect, second: Effect, over: str) -> Effect:
    """The difference of two effects of independent units; half-widths add in squares."""
    error = float(np.hypot(first.high - first.low, second.high - second.low)) / 2
    point = first.estimate - second.estimate
    return Effect(point, point - error, point + error, over)


def _has_english(pair: str) -> bool:
    return ENGLISH in {language.code for language in parse_pair(pair)}
