"""Gaschi's claims from realignment runs and their tests, on records whose outcome is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import spearmanr

from xalign.report.realignment import realignment_rows, realignment_units

# strategy, aligner, alignment at the layer after fine-tuning, accuracy in German (English is 0.8 throughout)
RUNS = [
    ("baseline", "dictionary", 0.2, 0.50),
    ("before", "dictionary", 0.6, 0.62),
    ("before", "statistical", 0.5, 0.58),
    ("during", "dictionary", 0.7, 0.57),
]


def write(path: Path, record: dict[str, Any], result: dict[str, Any]) -> None:
    path.mkdir(parents=True)
    (path / "run.json").write_text(json.dumps(record))
    (path / "result.json").write_text(json.dumps(result))


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for number, (strategy, aligner, alignment, accuracy) in enumerate(RUNS):
        config = {"task": "pos", "mode": "full", "pair": "de-en", "strategy": strategy, "aligner": aligner}
        record = {"phase": "realign", "key": f"k{number}", "config": config, "lineage": {"encoder": "mini"}}
        made = tmp_path / f"realign{number}"
        write(made, record | {"upstream": []}, {"layer": 2})
        lines = ["state,seed,layer,direction,accuracy,accuracy_strong", "base,,2,deu-eng,0.1,0.1"]
        for direction, off in (("deu-eng", 0.05), ("eng-deu", -0.05)):  # the mean of both counts
            lines += [f"finetuned,15,1,{direction},0.99,0.9", f"finetuned,15,2,{direction},{alignment + off},0.1"]
        (made / "alignment.csv").write_text("\n".join(lines) + "\n")
        test = {"phase": "transfer", "key": "t", "config": {}, "lineage": {}, "upstream": [{"key": f"k{number}"}]}
        scores = {"eng": {"15": 0.8}, "deu": {"15": accuracy}, "kaz": {"15": 0.1}}
        write(tmp_path / f"transfer{number}", test, {"accuracy": scores})
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
    (runs / "transfer0" / "result.json").unlink()
    assert len(realignment_units(runs)) == 3
    assert realignment_rows([]) == []
