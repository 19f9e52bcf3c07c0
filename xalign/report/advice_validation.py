"""Whether advice from gradients would have been right: its regret in finished runs, beside that of plain policies.

A unit is a task in one mode and a pair of which all seven configurations were run. Intervals resample test sentences
and fine-tuning seeds, so they hold for these pairs and encoders, not for new ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xalign.errors import UsageError
from xalign.methods.advice import NOTHING
from xalign.report.advice_policies import (
    ADVICE,
    FITTING,
    NEVER_ALIGN,
    PAIR,
    PLAIN,
    POLICIES,
    RULE_POLICY,
    TASK,
    Choice,
    choices,
)
from xalign.report.advice_records import collect_advice, make_units
from xalign.report.consistency import require_comparable, select_step
from xalign.report.estimates import make_blocks
from xalign.report.layout import block_name, signed, titled
from xalign.report.records import collect_transfers
from xalign.report.render import Report, Table, Value
from xalign.report.statistics import DRAWS, percentile_interval

POLICY_COLUMNS = ("policy", "held_out", "units", "change", "regret", "low", "high", "chose_the_best")
UNIT_COLUMNS = (
    "task",
    "mode",
    "pair",
    "held_out",
    "policy",
    "configuration",
    "change",
    "best",
    "regret",
    "low",
    "high",
)
HELD_OUT = {PAIR: "other pairs", TASK: "other tasks"}


@dataclass(frozen=True)
class Gain:
    """How much more accurate the advice is than another policy: mean over units with a 95 % interval."""

    over: str
    estimate: float
    low: float
    high: float
    units: int


@dataclass(frozen=True)
class Validation:
    """The report, the advice against each plain policy, and a sentence about it."""

    report: Report
    gains: tuple[Gain, ...]
    verdict: str

    @property
    def summary(self) -> dict[str, Any]:
        """For JSON, in percentage points."""
        points = {
            gain.over: {"points": 100 * gain.estimate, "low": 100 * gain.low, "high": 100 * gain.high}
            for gain in self.gains
        }
        return {"verdict": self.verdict, "units": self.gains[0].units, "gain_over": points}


def validate(runs: Path, *, step: int | None = None, draws: int = DRAWS) -> Validation:
    """Hold the advice below `runs` against the transfer runs below `runs`.

    Raises:
        UsageError: no advise run, no transfer run, or no unit that has both.
        XalignError: runs that are broken, stale or not comparable.
    """
    advice = collect_advice(runs)
    transfers, _ = select_step(collect_transfers(runs), step)
    require_comparable(transfers.complete)
    units, left_out = make_units(make_blocks(transfers.complete, draws=draws), advice)
    if not units:
        raise UsageError(
            f"{runs}: no pair with all seven configurations, the base and an advise run: {'; '.join(left_out)}"
        )
    found = [*choices(units, PAIR), *choices(units, TASK)]
    policies, details = policy_table(found), unit_table(found)
    gains = tuple(gain(found, over) for over in (PLAIN, RULE_POLICY, NEVER_ALIGN))
    first = transfers.complete[0]
    sentence = verdict(gains)
    notes = (
        sentence,
        *(f"Left out: {text}." for text in left_out),
        "Change: accuracy in percentage points against not to align, averaged over target languages without English. "
        "Regret: how far below the best configuration in hindsight; it is chosen on the same test data, which flatters "
        "it, to the cost of all policies alike.",
        "95 % intervals resample test sentences and fine-tuning seeds; the pairs are taken as they are.",
    )
    tables = (
        Table(titled("Advice against plain policies", first.encoder, first.testbed), *_shown(policies), ()),
        *_shown_units(found),
        Table("Notes", (), (), notes),
    )
    report = Report("advice", tables, {"advice": policies, "advice-units": details})
    return Validation(report, gains, sentence)


def gain(found: Sequence[Choice], over: str) -> Gain:
    """The advice's mean change less that of another policy that fits nothing."""
    own, other = ([choice for choice in found if choice.policy == name and choice.held_out == PAIR]
                  for name in (ADVICE, over))  # fmt: skip
    low, high = percentile_interval(np.mean([b.draws - a.draws for a, b in zip(own, other, strict=True)], axis=0))
    estimate = float(np.mean([b.regret - a.regret for a, b in zip(own, other, strict=True)]))
    return Gain(over, estimate, float(low), float(high), len(own))


def verdict(gains: Sequence[Gain]) -> str:
    """Whether the advice beats the plain default, in a sentence."""
    plain = gains[0]
    numbers = f"{signed(plain.estimate)} points [{signed(plain.low)}, {signed(plain.high)}] on {plain.units} units"
    others = "; ".join(
        f"{signed(g.estimate)} [{signed(g.low)}, {signed(g.high)}] against {_quoted(g.over)}" for g in gains[1:]
    )
    if plain.low > 0:
        head = f"In finished runs, this advice beats the plain default {_quoted(PLAIN)}: {numbers}"
    elif plain.high < 0:
        head = f"In finished runs, this advice is worse than the plain default {_quoted(PLAIN)}, so use that: {numbers}"
    else:
        head = f"In finished runs, this advice is not shown to beat the plain default {_quoted(PLAIN)}: {numbers}"
    rule = next((g for g in gains if g.over == RULE_POLICY), None)
    alone = " The paper's rule alone did as well or better." if rule is not None and rule.estimate <= 0 else ""
    return f"{head} ({others}).{alone}"


def policy_table(found: Sequence[Choice]) -> Table:
    """One line a policy; those that are fitted have one for each way of holding out."""
    rows: list[tuple[Value, ...]] = []
    for held_out in (PAIR, TASK):
        for name in POLICIES:
            mine = [choice for choice in found if (choice.policy, choice.held_out) == (name, held_out)]
            if not mine or (held_out == TASK and name not in FITTING):
                continue
            low, high = percentile_interval(np.mean([choice.draws for choice in mine], axis=0))
            rows.append(
                (name, held_out if name in FITTING else None, len(mine),
                 float(np.mean([choice.change for choice in mine])), float(np.mean([choice.regret for choice in mine])),
                 float(low), float(high), sum(choice.configuration == choice.best for choice in mine))
            )  # fmt: skip
    return Table("Advice against plain policies", POLICY_COLUMNS, tuple(rows))


def unit_table(found: Sequence[Choice]) -> Table:
    """One line for each held-out unit and policy."""
    rows = []
    for choice in found:
        low, high = percentile_interval(choice.draws)
        unit = choice.unit
        rows.append(
            (unit.task, unit.mode, unit.pair, choice.held_out, choice.policy, choice.configuration, choice.change,
             choice.best, choice.regret, float(low), float(high))
        )  # fmt: skip
    return Table("What each policy chose", UNIT_COLUMNS, tuple(rows))


def _shown(policies: Table) -> tuple[tuple[str, ...], tuple[tuple[Value, ...], ...]]:
    rows = [
        (name if held_out is None else f"{name} ({HELD_OUT[str(held_out)]})", signed(float(change or 0)),
         signed(float(regret or 0)), f"[{signed(float(low or 0))}, {signed(float(high or 0))}]", f"{best} of {units}")
        for name, held_out, units, change, regret, low, high, best in policies.rows
    ]  # fmt: skip
    return ("policy", "change", "regret", "interval", "chose the best"), tuple(rows)


def _shown_units(found: Sequence[Choice]) -> list[Table]:
    """For each task and mode, what the policies that fit nothing chose on each pair."""
    plain = [choice for choice in found if choice.held_out == PAIR and choice.policy not in FITTING]
    tables = []
    for task, mode in dict.fromkeys((choice.unit.task, choice.unit.mode) for choice in plain):
        rows = []
        for unit in dict.fromkeys(str(c.unit) for c in plain if (c.unit.task, c.unit.mode) == (task, mode)):
            mine = [choice for choice in plain if str(choice.unit) == unit]
            best = mine[0].unit.change[mine[0].best]
            cells = [f"{_named(choice.configuration)} {signed(choice.change)}" for choice in mine]
            rows.append((mine[0].unit.pair, f"{_named(mine[0].best)} {signed(best)}", *cells))
        columns = ("pair", "best", *(name for name in POLICIES if name not in FITTING))
        tables.append(Table(f"What each policy chose: {block_name(task, mode)}", columns, tuple(rows)))
    return tables


def _named(configuration: str) -> str:
    return "nothing" if configuration == NOTHING else configuration


def _quoted(policy: str) -> str:
    return f"'{policy}'"
