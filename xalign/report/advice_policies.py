"""Ways to choose a configuration before any is run, and what each costs against the best one in hindsight.

Most policies fit nothing. Two do, on units other than the one that they choose for: other pairs of the same task and
mode (leave one pair out), or other tasks in the same mode (leave one task out).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from xalign.methods.advice import NOTHING, RULE
from xalign.report.advice_records import Unit

DEFAULT = "S1W0M1"
ADVICE, RULE_POLICY, PLAIN, NEVER_ALIGN = "advice", "the paper's rule", f"always {DEFAULT}", "do nothing"
HIGHEST, BEST_ELSEWHERE, FITTED = "highest score", "best on the others", "score, fitted on the others"
PAIR, TASK = "pair", "task"

Policy = Callable[[Unit, Sequence[Unit]], str]
POLICIES: dict[str, Policy] = {
    ADVICE: lambda unit, others: unit.record.advice,
    HIGHEST: lambda unit, others: unit.record.first,
    RULE_POLICY: lambda unit, others: RULE[unit.task],
    PLAIN: lambda unit, others: DEFAULT,
    NEVER_ALIGN: lambda unit, others: NOTHING,
    BEST_ELSEWHERE: lambda unit, others: best_on(others),
    FITTED: lambda unit, others: fitted(unit, others),
}
FITTING = (BEST_ELSEWHERE, FITTED)


@dataclass(frozen=True)
class Choice:
    """What a policy chose for a held-out unit; `regret` in accuracy, against the best configuration as observed."""

    unit: Unit
    policy: str
    held_out: str
    configuration: str
    best: str
    regret: float
    draws: np.ndarray

    @property
    def change(self) -> float:
        """Against not to align."""
        return self.unit.change[self.configuration]


def choices(units: Sequence[Unit], held_out: str) -> list[Choice]:
    """What every policy chooses for every unit; none where a policy has nothing to be fitted on.

    Args:
        held_out: `PAIR` or `TASK`.
    """
    found = []
    for unit in units:
        others = [other for other in units if other.mode == unit.mode and _apart(unit, other, held_out)]
        best = oracle(unit)
        for name, policy in POLICIES.items():
            if name in FITTING and not others:
                continue
            chosen = policy(unit, others)
            regret, draws = unit.change[best] - unit.change[chosen], unit.draws[best] - unit.draws[chosen]
            found.append(Choice(unit, name, held_out, chosen, best, regret, draws))
    return found


def oracle(unit: Unit) -> str:
    """The best configuration in hindsight, or `NOTHING`; as observed, so its accuracy is a little flattered."""
    return max(unit.change, key=lambda name: unit.change[name])


def best_on(others: Sequence[Unit]) -> str:
    """The configuration with the highest mean change on other units."""
    return max(others[0].change, key=lambda name: float(np.mean([other.change[name] for other in others])))


def fitted(unit: Unit, others: Sequence[Unit]) -> str:
    """The configuration whose change a line through other units' scores and changes predicts to be highest.

    A slope below zero turns the ranking round; a prediction below zero everywhere means not to align.
    """
    scores = [(other.record.scores[name], change) for other in others for name, change in other.change.items()
              if name != NOTHING and other.record.scores.get(name) is not None]  # fmt: skip
    own = {name: score for name, score in unit.record.scores.items() if name != NOTHING and score is not None}
    if len({score for score, _ in scores}) < 2 or not own:
        return unit.record.advice
    slope, level = np.polyfit([score for score, _ in scores], [change for _, change in scores], 1)  # type: ignore[arg-type]
    predicted = {NOTHING: 0.0} | {name: float(level + slope * score) for name, score in own.items()}
    return max(predicted, key=lambda name: predicted[name])


def _apart(unit: Unit, other: Unit, held_out: str) -> bool:
    if held_out == PAIR:
        return other.task == unit.task and other.pair != unit.pair
    return other.task != unit.task
