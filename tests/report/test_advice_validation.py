"""Advice against plain policies in finished runs: regret equals a loop, fits leave the unit out, verdicts."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from synthetic import LANGUAGES, random_outcomes, write_run, write_transfer

from xalign.__main__ import run as command
from xalign.config import LOSSES
from xalign.errors import UsageError, XalignError
from xalign.methods.advice import NOTHING
from xalign.report.advice_policies import ADVICE, BEST_ELSEWHERE, FITTED, PAIR, PLAIN, TASK, best_on, choices, fitted
from xalign.report.advice_records import AdviceRecord, Unit
from xalign.report.advice_validation import Gain, gain, validate, verdict

SENTENCES = 120
ACCURACY = dict(zip(LOSSES, (0.50, 0.35, 0.45, 0.70, 0.60, 0.55, 0.50), strict=True))  # S1W0M0 is best


def write_advice(
    runs: Path, task: str, pair: str, advice: str, scores: Mapping[str, float] | None = None, weights: str = "w0"
) -> None:
    """A complete advise run; by default the score of each configuration is its accuracy."""
    directory = runs / "advise" / task / pair / "base"
    lineage = {"encoder": "mini", "pair": None, "loss": None, "task": task}
    inputs = {"weights": weights, "data": {}}
    write_run(directory, "advise", f"advise/{task}/{pair}/base", {"task": task, "pair": pair}, lineage, inputs=inputs)
    found = {**(scores or ACCURACY), NOTHING: 0.0}
    first = max(found, key=lambda name: found[name])
    (directory / "result.json").write_text(json.dumps({"advice": advice, "first": first, "sure": True}))
    with (directory / "advice.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["configuration", "rank", "score", "low", "high", "share_first", "rule"])
        writer.writerows([name, 1, score, "", "", 0.1, "x"] for name, score in found.items())


def write_factorial(runs: Path, task: str, pair: str, accuracy: Mapping[str, float] = ACCURACY) -> None:
    random = np.random.default_rng(len(task + pair))
    if not (runs / "transfer" / task / "linear" / "base").exists():
        write_transfer(runs, task, "linear", correct=random_outcomes(random, 0.5, SENTENCES))
    for loss, share in accuracy.items():
        write_transfer(runs, task, "linear", pair, loss, correct=random_outcomes(random, share, SENTENCES))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tasks, two pairs; the advice is right but for one."""
    root = tmp_path_factory.mktemp("runs")
    for task in ("pos", "topic"):
        for pair in ("de-en", "en-kk"):
            write_factorial(root, task, pair)
            write_advice(root, task, pair, "S0W1M0" if (task, pair) == ("pos", "de-en") else "S1W0M0")
    return root


@cache
def accuracy(runs: Path, task: str, encoder: str) -> float:
    """Mean over languages without English and over seeds, line by line from ``outcomes.jsonl``."""
    path = runs / "transfer" / task / "linear" / encoder / "outcomes.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return float(np.mean([
        np.mean([line["correct"] for line in lines if line["language"] == language])
        for language in LANGUAGES if language != "eng"
    ]))  # fmt: skip


def test_regret_equals_a_loop_over_outcomes(runs: Path) -> None:
    table = validate(runs, draws=50).report.data["advice-units"]
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert len(rows) == 4 * 7 * 2
    for row in rows:
        reached = {NOTHING: accuracy(runs, str(row["task"]), "base")}
        reached |= {loss: accuracy(runs, str(row["task"]), f"{row['pair']}/{loss}") for loss in LOSSES}
        best = max(reached, key=lambda name: reached[name])
        assert row["best"] == best == "S1W0M0"
        assert row["regret"] == pytest.approx(reached[best] - reached[str(row["configuration"])])
        assert row["change"] == pytest.approx(reached[str(row["configuration"])] - reached[NOTHING])
        assert row["low"] <= row["regret"] + 1e-9 and row["regret"] <= row["high"] + 1e-9


def test_policies_choose_what_they_say(runs: Path) -> None:
    table = validate(runs, draws=20).report.data["advice-units"]
    chosen = {(row[0], row[2], row[3], row[4]): row[5] for row in table.rows}
    assert chosen["pos", "de-en", PAIR, ADVICE] == "S0W1M0" and chosen["pos", "en-kk", PAIR, ADVICE] == "S1W0M0"
    assert chosen["pos", "de-en", PAIR, "the paper's rule"] == "S1W1M1"
    assert chosen["topic", "de-en", PAIR, "the paper's rule"] == "S1W0M1" == chosen["topic", "de-en", PAIR, PLAIN]
    assert chosen["topic", "de-en", PAIR, "do nothing"] == NOTHING
    assert chosen["topic", "de-en", TASK, BEST_ELSEWHERE] == "S1W0M0"


def test_right_advice_beats_the_default_and_wrong_advice_says_that_it_does_not(runs: Path, tmp_path: Path) -> None:
    good = validate(runs, draws=200)
    assert good.gains[0].over == PLAIN
    for pair in ("de-en", "en-kk"):
        write_factorial(tmp_path, "topic", pair)
        write_advice(tmp_path, "topic", pair, "S0W1M0")
    bad = validate(tmp_path, draws=200)
    assert bad.gains[0].high < 0 and "worse than the plain default 'always S1W0M1', so use that" in bad.verdict
    assert bad.gains[0].estimate == pytest.approx(-0.25, abs=0.06)
    assert bad.summary["gain_over"][PLAIN]["points"] == pytest.approx(100 * bad.gains[0].estimate)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.01, 0.03, "beats the plain"), (-0.01, 0.05, "is not shown to beat the plain"), (-0.05, -0.01, "is worse than")],
)
def test_the_verdict_follows_the_interval(low: float, high: float, words: str) -> None:
    assert words in verdict([Gain(PLAIN, (low + high) / 2, low, high, 4)])


def unit(task: str, pair: str, change: Mapping[str, float], scores: Mapping[str, float | None]) -> Unit:
    record = AdviceRecord(Path(), task, pair, "S1W0M1", "S1W0M0", True, scores, "w")
    whole = {NOTHING: 0.0, **change}
    return Unit(task, "linear", pair, whole, {name: np.full(3, value) for name, value in whole.items()}, record)


def test_what_is_fitted_never_sees_the_unit_it_chooses_for() -> None:
    """On the held-out pair all is the other way round: a policy that had seen it would choose otherwise."""
    scores = dict(zip(LOSSES, np.linspace(-0.3, 0.3, 7).tolist(), strict=True))
    down, up = ({name: sign * score for name, score in scores.items()} for sign in (-1.0, 1.0))
    units = [unit("pos", "de-en", up, scores), unit("pos", "en-kk", down, scores), unit("pos", "ja-kk", down, scores)]
    chosen = {(c.unit.pair, c.policy): c.configuration for c in choices(units, PAIR)}
    assert chosen["de-en", FITTED] == LOSSES[0] == chosen["de-en", BEST_ELSEWHERE]
    regret = next(c.regret for c in choices(units, PAIR) if (c.unit.pair, c.policy) == ("de-en", FITTED))
    assert regret == pytest.approx(0.6)
    assert not [c for c in choices(units, TASK) if c.policy in (FITTED, BEST_ELSEWHERE)]  # no other task to fit on


def test_a_fit_may_advise_to_do_nothing_and_needs_scores() -> None:
    scores = dict(zip(LOSSES, np.linspace(-0.3, 0.3, 7).tolist(), strict=True))
    harm = {name: -0.1 + 0.01 * score for name, score in scores.items()}
    assert fitted(unit("pos", "a", harm, scores), [unit("pos", "b", harm, scores)]) == NOTHING
    assert best_on([unit("pos", "b", harm, scores)]) == NOTHING
    assert fitted(unit("pos", "a", harm, dict.fromkeys(LOSSES)), [unit("pos", "b", harm, scores)]) == "S1W0M1"


def test_gains_are_differences_on_the_same_units() -> None:
    scores = dict.fromkeys(LOSSES, 0.1)
    units = [unit("pos", pair, {"S1W0M1": 0.1, "S1W0M0": 0.3}, scores) for pair in ("a", "b")]
    units = [Unit(**{**vars(u), "change": {**dict.fromkeys(LOSSES, 0.0), **u.change},
                     "draws": {**{loss: np.zeros(3) for loss in LOSSES}, **u.draws}}) for u in units]  # fmt: skip
    found = gain(choices(units, PAIR), "do nothing")
    assert (found.estimate, found.units) == (pytest.approx(0.1), 2)


def test_incomplete_factorials_and_other_encoders_are_not_judged(tmp_path: Path) -> None:
    write_factorial(tmp_path, "topic", "de-en", {"S1W0M0": 0.6})
    with pytest.raises(UsageError, match="no complete advise run"):
        validate(tmp_path)
    write_advice(tmp_path, "topic", "de-en", "S1W0M0")
    with pytest.raises(UsageError, match="6 of 7 configurations not run"):
        validate(tmp_path)
    write_factorial(tmp_path, "topic", "en-kk")
    write_advice(tmp_path, "topic", "en-kk", "S1W0M0", weights="other")
    with pytest.raises(XalignError, match="advice on another encoder"):
        validate(tmp_path)


def test_the_command_prints_the_report_and_leaves_its_files(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["advise", "--validate", "--runs", str(runs), "--tracking", "none"]) == 0
    assert "plain default" in capsys.readouterr().out
    assert {"advice.csv", "advice-units.csv", "advice.md"} <= {path.name for path in (runs / "report").iterdir()}
    assert command(["advise", "--validate", "--runs", str(runs), "--tracking", "none", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["units"] == 4
