"""Gaschi's claims from realignment runs and their tests, on records whose outcome is known."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

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


def changed(directory: Path, name: str, **fields: Any) -> None:
    """Change entries of a JSON file of a run."""
    record = json.loads((directory / name).read_text())
    for field, value in fields.items():
        record[field] = record[field] | value if isinstance(value, dict) else value
    (directory / name).write_text(json.dumps(record))


def test_a_unit_knows_the_options_and_the_encoder_that_it_began_with(runs: Path) -> None:
    before = runs / "realign" / "pos" / "full" / "de-en+realign-before-dictionary"
    options = {"freeze": "upper", "negatives": "weak", "layer": "1/2", "codeswitch": 0.5, "codeswitch_seed": 7}
    method = "codeswitch-0.5-deu+realign-before+during-dictionary-upper-weak"
    changed(before, "run.json", config=options, inputs={"weights": "w1"}, lineage={"loss": "S1W0M0", "method": method})
    units = {(unit.strategy, unit.aligner): unit for unit in realignment_units(runs)}
    unit, other = units["before", "dictionary"], units["before", "statistical"]
    assert (unit.variant, unit.weights, unit.layer) == ("upper-weak-layer2", "w1", "1/2")
    assert unit.start == "de-en/S1W0M0+codeswitch-0.5-deu-seed7"
    assert (other.variant, other.start, other.weights, other.layer) == ("", "", "w0", "1/1")


def test_other_options_and_other_encoders_are_never_one_row_nor_a_pair(runs: Path) -> None:
    units = realignment_units(runs)
    baseline, before = (next(unit for unit in units if unit.strategy == name) for name in ("baseline", "before"))
    frozen = replace(before, variant="upper", accuracy=0.7)
    aligned = [replace(unit, start="de-en/S1W0M0", accuracy=value) for unit, value in ((baseline, 0.6), (before, 0.9))]
    weights = [replace(unit, weights="w1", accuracy=value) for unit, value in ((baseline, 0.3), (before, 0.31))]
    alone = replace(before, weights="w2")  # without a baseline
    rows = realignment_rows([baseline, before, frozen, *aligned, *weights, alone])
    gains = {what: (value, count) for claim, _, _, what, value, count in rows if claim.startswith("gain")}
    assert gains == {
        "before deu mini w0": (pytest.approx(0.12), 1), "before-upper deu mini w0": (pytest.approx(0.20), 1),
        "before deu mini de-en/S1W0M0": (pytest.approx(0.30), 1), "before deu mini w1": (pytest.approx(0.01), 1),
    }  # fmt: skip
    statistical = replace(before, aligner="statistical", variant="upper", accuracy=0.5)
    rows = realignment_rows([before, frozen, statistical])
    assert [row[4:] for row in rows if row[0] == "dictionary > statistical"] == [(pytest.approx(0.2), 1)]
    elsewhere = [replace(unit, layer="1/2") for unit in units]
    found = {row[3]: row[5] for row in realignment_rows(units + elsewhere) if row[0].startswith("alignment")}
    assert found == {"spearman": 4, "spearman at layer 1/2": 4}


def test_where_english_is_never_right_nothing_can_drop(runs: Path) -> None:
    test = runs / "transfer" / "pos" / "full" / "de-en+realign-before-dictionary"
    changed(test, "result.json", accuracy={"eng": {"15": 0.0}})
    assert {(unit.strategy, unit.aligner) for unit in realignment_units(runs)} == {
        ("baseline", "dictionary"), ("before", "statistical"), ("during", "dictionary"),
    }  # fmt: skip


def test_several_encoders_stand_in_the_rows_and_one_in_the_title(runs: Path) -> None:
    title = write_report("realignment", runs).tables[0].title
    assert title == "Realignment · base encoder mini"
    write_realignment(runs / "other", "before", "dictionary", 0.4, 0.5, encoder="maxi")
    table = write_report("realignment", runs).tables[0]
    assert table.title == "Realignment"
    assert [row[table.columns.index("encoder")] for row in table.rows].count("maxi") == 1


def test_no_realignment_run_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no complete realign run"):
        write_report("realignment", tmp_path)
