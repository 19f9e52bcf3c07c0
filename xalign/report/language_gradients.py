"""The language-by-language views of gradients: which languages, and their matrix averaged over models."""

from __future__ import annotations

from collections import defaultdict

from xalign.config.analyses import LANGUAGES
from xalign.report.averages import Model, mean
from xalign.report.gradient_study import SHARED, GradientStudy, unmarked
from xalign.report.layout import rank

STALE = "@stale"  # the masked-LM head of a checkpoint that was trained without M
Matrix = dict[tuple[str, str], float | None]


def languages_of(study: GradientStudy, task: str, view: str, model: Model | None = None) -> list[str]:
    """Languages that a view of a task compares, in the paper's order."""
    models = study.models(task) if model is None else [model]
    lines = [line for each in models for line in study.lines(task, each, view)]
    found = {unmarked(line[side]) for line in lines for side in ("first", "second")}
    return sorted(found, key=lambda code: rank(code, LANGUAGES))


def average_matrix(study: GradientStudy, task: str, view: str) -> Matrix:
    """The corrected cosine of two languages over shared parameters, mean over models, both ways round.

    Masked-LM gradients behind a stale head are left out: the same models have them behind a refitted one.
    """
    found: dict[tuple[str, str], list[float | None]] = defaultdict(list)
    for model in study.models(task):
        for line in study.lines(task, model, view):
            if line["group"] == SHARED and not line["first"].endswith(STALE):
                found[unmarked(line["first"]), unmarked(line["second"])].append(line["cosine_corrected"])
    matrix = {place: mean(values) for place, values in found.items()}
    return {(second, first): value for (first, second), value in matrix.items()} | matrix


def short(cosine: float) -> str:
    """A cosine in as little room as possible: .37, -.05, 1.00."""
    return f"{cosine:.2f}".replace("0.", ".", 1) if abs(cosine) < 0.995 else f"{cosine:.2f}"
