"""Which alignment should help a task, from the gradients of an encoder that was not aligned yet.

The score of a configuration is the noise-corrected cosine of the task's gradient with the configuration's, over all
parameters: to first order, by how much a step of given length along the alignment lowers the task's loss, as a share
of what a step along the task's own gradient would do. Not to align is an option, too, with the score zero.

How sure a ranking is comes from half-samples of the blocks: half of the task's and half of the alignment's are drawn
without replacement, and everything is computed anew. A mean over half of K blocks, drawn so, varies about the whole
as the whole varies about the truth (McCarthy 1969; Shao & Wu 1989, the delete-d jackknife); a bootstrap with
replacement would count a block's noise as signal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from xalign.analysis.gradient_statistics import Similarity, similarity
from xalign.randomness import generator

NOTHING = "S0W0M0"  # not to align
RULE = {"topic": "S1W0M1", "pos": "S1W1M1"}
RULE_TEXT = (
    "include S; take the loss of the task's level (sentences: S, words: W), with M; never W alone; "
    "train only a linear head if unsure"
)
CHOICE, ALLOWED, WITHOUT_S, NEVER = "the rule's choice", "allowed: with S", "against: no S", "never: W alone"
UNDETECTABLE = "the task's gradient cannot be told from noise"


@dataclass(frozen=True)
class BlockProducts:
    """Inner products of gradient blocks, over all parameters.

    Attributes:
        task: (K, K) of the task's blocks.
        cross: by configuration, (K, K) of the task's blocks (rows) with the alignment's.
        own: by configuration, (K, K) of the alignment's blocks.
    """

    task: np.ndarray
    cross: Mapping[str, np.ndarray]
    own: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Ranked:
    """A configuration in its place.

    Attributes:
        score: noise-corrected cosine; None where it is not detectable.
        low, high: its 95 % limits (jackknife over blocks).
        share_first: of the half-samples, in how many it comes first.
        tied: its interval meets that of the first, or one of the two is not known.
        rule: what the paper's own rule says of it.
    """

    configuration: str
    score: float | None
    low: float | None
    high: float | None
    share_first: float
    tied: bool
    rule: str


@dataclass(frozen=True)
class Advice:
    """What to do, and how sure that is.

    Attributes:
        configuration: the advice: the first where that is sure; else the paper's rule, unless the gradients put its
            choice below the first; then the first.
        sure: no other configuration's interval meets that of the first.
        ranking: all configurations and `NOTHING`, best first.
    """

    task: str
    configuration: str
    sure: bool
    ranking: tuple[Ranked, ...]

    @property
    def first(self) -> Ranked:
        """The configuration with the highest score."""
        return self.ranking[0]

    @property
    def detectable(self) -> bool:
        """Whether the task has a gradient above its noise."""
        return any(place.score is not None for place in self.ranking if place.configuration != NOTHING)


def advise_on(task: str, products: BlockProducts, *, draws: int, seed: int) -> Advice:
    """Score, rank and advise.

    Args:
        task: ``pos`` or ``topic``; the paper's rule depends on it.
        draws: half-samples.
    """
    found: dict[str, Similarity] = {
        name: similarity(products.task, products.own[name], cross, paired=False)
        for name, cross in products.cross.items()
    }
    found[NOTHING] = Similarity(cosine_corrected=0.0, low=0.0, high=0.0)
    shares = shares_first(products, draws=draws, seed=seed)
    order = sorted(found, key=lambda name: -_or_lowest(found[name].cosine_corrected))
    first = found[order[0]]
    ranking = tuple(
        Ranked(
            name, found[name].cosine_corrected, found[name].low, found[name].high, shares[name],
            name != order[0] and _meet(first, found[name]), rule_on(task, name),
        )
        for name in order
    )  # fmt: skip
    sure = not any(place.tied for place in ranking)
    return Advice(task, _choose(task, ranking, sure), sure, ranking)


def shares_first(products: BlockProducts, *, draws: int, seed: int) -> dict[str, float]:
    """How often each configuration, or `NOTHING`, comes first in half-samples of the blocks.

    The task's norm is the same for all and left out: the order is that of ⟨g_task, g_c⟩ / ‖g_c‖. Where the norm of a
    configuration does not rise above its noise, its score is zero; `NOTHING` wins ties.
    """
    blocks = len(products.task)
    half = blocks // 2
    random = generator(seed, "half-samples")
    task, pairs = (np.argsort(random.random((draws, blocks)), axis=1) < half for _ in range(2))  # (draws, K)
    names = [NOTHING, *products.cross]
    scores = np.zeros((draws, len(names)))
    for column, name in enumerate(names[1:], start=1):
        cross, own = products.cross[name], products.own[name]
        between = np.einsum("di,ij,dj->d", task, cross, pairs) / half**2
        whole = np.einsum("di,ij,dj->d", pairs, own, pairs) - pairs @ np.diag(own)
        square = whole / (half * (half - 1))  # ‖g_c‖² from products of different blocks
        np.divide(between, np.sqrt(np.maximum(square, 0.0)), out=scores[:, column], where=square > 0)
    winners = np.bincount(scores.argmax(axis=1), minlength=len(names)) / draws
    return dict(zip(names, winners.tolist(), strict=True))


def rule_on(task: str, configuration: str) -> str:
    """What the paper's own rule says of a configuration for a task. Source: Veitsman, Liu & Schütze 2026, §6."""
    if configuration == RULE[task]:
        return CHOICE
    if configuration == "S0W1M0":
        return NEVER
    return ALLOWED if configuration.startswith("S1") else WITHOUT_S


def _choose(task: str, ranking: tuple[Ranked, ...], sure: bool) -> str:
    rule = next(place for place in ranking if place.configuration == RULE[task])
    if not sure and (rule.tied or rule.score is None):
        return rule.configuration
    return ranking[0].configuration


def _meet(first: Similarity, other: Similarity) -> bool:
    if first.low is None or other.high is None:
        return True
    return other.high >= first.low


def _or_lowest(score: float | None) -> float:
    return float("-inf") if score is None else score
