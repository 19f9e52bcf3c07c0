"""Gaschi's claims from realignment runs and their tests, on records whose outcome is known."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from scipy.stats import spearmanr
from synthetic_analyses import write_realignment

from xalign.errors import UsageError
from xalign.report import write_report
from xalign.report.realignment_units import realignment_rows, realignment_units

# strategy, aligner, alignment at the layer after fine-tuning, accuracy in German (English is 0.8 throughout)
RUNS = [
    ("baseline", "dictionary", 0.2, 0.50),
    ("before", "dictionary", 0.6, 0.62),
    ("before", "statistical", 0.5, 0.58),
    ("during", "dictionary", 0.7, 0.57),
]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A run of each line of `RUNS`."""
    for strategy, aligner, alignment, accuracy in RUNS:
        write_realignment(tmp_path, strategy, aligner, alignment, accuracy)
    return tmp_path


def test_units_join_alignment_and_transfer_of_the_same_run(runs: Path) -> None:
    units = {(unit.strategy, unit.aligner): unit for unit in realignment_units(runs)}
    assert len(units) == 4
    unit = units["before", "dictionary"]
    assert (unit.language, unit.seed, unit.encoder) == ("deu", "15", "mini")
    assert unit.alignment == pytest.approx(0.6) and unit.drop == pytest.approx((0.62 - 0.8) / 0.8)


def test_rows_say_what_each_claim_says(runs: Path) -> None:
    rows = {
        (claim, what): (value, units) for claim, _, _, what, value, units in realignment_rows(realignment_units(runs))
    }
    alignments, accuracies = zip(*((run[2], run[3]) for run in RUNS), strict=True)
    expected = spearmanr(alignments, accuracies).statistic
    assert rows["alignment correlates with transfer", "spearman"] == (pytest.approx(expected), 4)
    assert rows["dictionary > statistical", "accuracy"] == (pytest.approx(0.04), 1)  # before alone has both
    assert rows["gain over the baseline", "before deu mini"] == (pytest.approx(0.10), 2)
    assert rows["gain over the baseline", "during deu mini"] == (pytest.approx(0.07), 1)


def test_an_untested_or_unfinished_run_is_no_unit_and_gives_no_row(runs: Path) -> None:
    (runs / "transfer" / "pos" / "full" / "de-en+realign-baseline-dictionary" / "result.json").unlink()
    assert len(realignment_units(runs)) == 3
    assert realignment_rows([]) == []


def test_the_report_shows_each_stage_of_each_run_and_the_claims(runs: Path) -> None:
    report = write_report("realignment", runs)
    with (runs / "report" / "realignment.csv").open() as stream:
        found = {line["run"]: line for line in csv.DictReader(stream)}
    line = found["pos/full/de-en+realign-before-dictionary"]
    assert (line["base"], line["realigned"], line["finetuned"]) == ("0.100000", "", "0.600000")
    assert any("dictionary > statistical" in row for row in report.tables[1].rows)


def test_no_realignment_run_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no complete realign run"):
        write_report("realignment", tmp_path)
