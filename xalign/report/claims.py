"""Claims of the papers, and the rules by which evidence decides them: written down before the runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import yaml

EXPECTATIONS = ("above", "below", "inside")
REPRODUCED, CONTRADICTED, UNDECIDED = "reproduced", "contradicted", "undecided at this n"
NO_EVIDENCE = "no runs"


@dataclass(frozen=True)
class Claim:
    """A claim, where it stands, how its effect is estimated, and what value would bear it out."""

    id: str
    claim: str
    source: str
    estimator: str
    arguments: Mapping[str, Any]
    expected: str
    threshold: float


@dataclass(frozen=True)
class Effect:
    """An estimated effect with its 95 % interval, and what it is over: for example "4 pairs × 13 languages"."""

    estimate: float
    low: float
    high: float
    over: str


def read_claims() -> list[Claim]:
    """The rules that ship with the package, in their order."""
    text = (resources.files("xalign") / "report" / "claims.yaml").read_text(encoding="utf-8")
    claims = []
    for entry in yaml.safe_load(text):
        ((estimator, arguments),) = entry.pop("evidence").items()
        claims.append(Claim(**entry, estimator=estimator, arguments=arguments))
    return claims


def decide(claim: Claim, effect: Effect | None) -> str:
    """Hold an effect's interval against the claim's threshold: one of the four verdicts of this module."""
    if effect is None:
        return NO_EVIDENCE
    limit = claim.threshold
    if claim.expected == "inside":
        if -limit <= effect.low and effect.high <= limit:
            return REPRODUCED
        return CONTRADICTED if effect.low > limit or effect.high < -limit else UNDECIDED
    above, below = effect.low > limit, effect.high < limit
    if claim.expected == "below":
        above, below = below, above
    return REPRODUCED if above else CONTRADICTED if below else UNDECIDED
