"""The comparison of methods: changes against each method's own reference, costs summed over the runs behind it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from synthetic import random_outcomes, write_transfer
from synthetic_analyses import write_langalign, write_realignment

from xalign.errors import UsageError, XalignError
from xalign.report import write_report
from xalign.report.methods import collect_methods

SENTENCES = 60


def right(count: int) -> dict[str, np.ndarray]:
    """The first `count` of `SENTENCES` sentences correct, for three seeds and three languages."""
    return {code: np.tile(np.arange(SENTENCES) < count, (3, 1)).astype(int) for code in ("deu", "eng", "kaz")}


def add_cost(directory: Path, **cost: float) -> None:
    """Give a run the result that says what it took."""
    path = directory / "result.json"
    path.write_text(json.dumps((json.loads(path.read_text()) if path.is_file() else {}) | cost))


def lines(runs: Path) -> dict[tuple[str, str], dict[str, str]]:
    """(method, language) → line of ``compare.csv``."""
    with (runs / "report" / "compare.csv").open() as stream:
        return {(line["method"], line["language"]): line for line in csv.DictReader(stream)}


def test_each_method_is_compared_with_the_base_of_its_task_and_mode(tmp_path: Path) -> None:
    for mode, count in (("full", 24), ("linear", 30)):
        write_transfer(tmp_path, "topic", mode, correct=right(count))
        write_transfer(tmp_path, "topic", mode, correct=right(count + 6), method="codeswitch")
    write_report("compare", tmp_path)
    found = lines(tmp_path)
    with (tmp_path / "report" / "compare.csv").open() as stream:
        changes = [
            (x["mode"], float(x["change"]))
            for x in csv.DictReader(stream)
            if x["method"] == "base+codeswitch" and x["language"] == "mean"
        ]
    assert changes == [("full", pytest.approx(0.1)), ("linear", pytest.approx(0.1))]
    assert found["base", "mean"]["change"] == "" and found["base", "mean"]["reference"] == "base"


def test_intervals_are_those_of_table_1_where_the_methods_are_its_cells(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    for loss, share in ((None, 0.5), ("S1W0M0", 0.6)):
        pair = "de-en" if loss else None
        write_transfer(tmp_path, "pos", "full", pair, loss, correct=random_outcomes(draw, share, SENTENCES))
    for name in ("table1", "compare"):
        write_report(name, tmp_path)
    with (tmp_path / "report" / "table1.csv").open() as stream:
        cell = next(x for x in csv.DictReader(stream) if x["pair"] == "de-en" and x["loss"] == "S1W0M0")
    here = lines(tmp_path)["de-en/S1W0M0", "mean"]
    assert [here[name] for name in ("accuracy", "change", "low", "high")] == [
        cell[name] for name in ("accuracy", "change", "low", "high")
    ]


def test_the_target_is_the_pair_s_language_that_is_not_english(tmp_path: Path) -> None:
    better = right(30) | {"deu": right(48)["deu"]}
    write_transfer(tmp_path, "pos", "full", correct=right(30))
    write_transfer(tmp_path, "pos", "full", "de-en", "S1W0M0", correct=better)
    write_transfer(tmp_path, "pos", "full", "de-en", "S1W0M0", correct=better, align_seed=15)
    report = write_report("compare", tmp_path)
    found = lines(tmp_path)["de-en/S1W0M0", "target"]
    assert float(found["change"]) == pytest.approx(0.3)
    assert float(lines(tmp_path)["de-en/S1W0M0", "mean"]["change"]) == pytest.approx(0.1)
    assert str(report.tables[0].rows[1][5]).startswith("+30.0* [")


def test_costs_are_summed_over_the_runs_behind_a_test_but_not_its_time(tmp_path: Path) -> None:
    write_transfer(tmp_path, "pos", "full", correct=right(30))
    write_transfer(tmp_path, "pos", "full", "de-en", "S1W0M0", correct=right(33), align={"steps": 10, "batch_size": 8})
    add_cost(tmp_path / "align" / "de-en" / "S1W0M0", seconds=100.0, pairs={"kept": 900}, parameters=7)  # type: ignore[arg-type]
    add_cost(tmp_path / "finetune" / "pos" / "full" / "de-en" / "S1W0M0", seconds=11.0)
    # Maps of states are fitted in the test itself.
    add_cost(tmp_path / "transfer" / "pos" / "full" / "de-en" / "S1W0M0", seconds=999.0, parameters=5, translations=20)
    (method,) = (m for m in collect_methods(tmp_path) if m.name != "base")
    assert (method.cost.seconds, method.cost.parameters, method.cost.translations) == (111.0, 12, 100)


def test_a_run_that_is_gone_leaves_the_cost_unknown(tmp_path: Path) -> None:
    directory = write_transfer(tmp_path, "pos", "full", correct=right(30))
    finetuned = tmp_path / "finetune" / "pos" / "full" / "base"
    (finetuned / "run.json").rename(finetuned / "gone.json")
    (method,) = collect_methods(tmp_path)
    assert method.cost.seconds is None and directory.is_dir()


def test_langalign_is_compared_with_its_own_head_on_english(tmp_path: Path) -> None:
    write_langalign(tmp_path, {"english-only": 0.5, "mean-shift": 0.5, "ridge": 0.5, "fc": 0.75, "translate-test": 0.6})
    report = write_report("compare", tmp_path)
    found = {method.rpartition(" ")[2]: line for (method, what), line in lines(tmp_path).items() if what == "target"}
    assert set(found) == {"english-only", "mean-shift", "ridge", "fc", "translate-test"}
    assert float(found["fc"]["change"]) == pytest.approx(0.25) and float(found["fc"]["low"]) > 0.15
    assert float(found["translate-test"]["change"]) == pytest.approx(0.1)
    assert found["english-only"]["change"] == "" and found["fc"]["translations"] == "7"
    assert "langalign" in (tmp_path / "report" / "compare.svg").read_text()
    assert report.tables[0].title.startswith("Methods: sentence classification, linear only")


def test_checkpoints_on_the_way_are_no_methods(tmp_path: Path) -> None:
    directory = write_transfer(tmp_path, "pos", "full", "de-en", "S1W0M0", align_step=3000, correct=right(30))
    write_transfer(tmp_path, "pos", "full", correct=right(30))
    record = json.loads((directory / "run.json").read_text())
    record["lineage"]["partial"] = True
    (directory / "run.json").write_text(json.dumps(record))
    assert [method.name for method in collect_methods(tmp_path)] == ["base"]


def test_two_runs_of_one_method_are_refused(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        write_transfer(tmp_path / folder, "pos", "full", correct=right(30))
    with pytest.raises(XalignError, match="are two runs of base on pos, full"):
        collect_methods(tmp_path)


def test_the_testbed_does_not_stand_beside_real_data(tmp_path: Path) -> None:
    write_transfer(tmp_path, "topic", "linear", correct=right(30))
    write_langalign(tmp_path, {"english-only": 0.5, "mean-shift": 0.5, "ridge": 0.5, "fc": 0.7}, testbed=True)
    with pytest.raises(XalignError, match="testbed is mixed with real data"):
        collect_methods(tmp_path)


def test_nothing_tested_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing was tested here"):
        write_report("compare", tmp_path)


def test_runs_that_were_fine_tuned_in_other_ways_are_refused_but_a_method_s_own_options_are_not(tmp_path: Path) -> None:
    write_transfer(tmp_path, "pos", "full", correct=right(30))
    switched = {"codeswitch": 0.5, "codeswitch_languages": ["deu"]}
    write_transfer(tmp_path, "pos", "full", correct=right(30), method="codeswitch-0.5-deu", finetune=switched)
    assert len(collect_methods(tmp_path)) == 2
    write_transfer(tmp_path, "pos", "full", "de-en", "S1W0M0", correct=right(30), finetune={"epochs": 3})
    with pytest.raises(XalignError, match=r"finetune\.epochs"):
        collect_methods(tmp_path)


@pytest.mark.parametrize(("epochs", "reference"), [(15, "base"), (3, "base+realign-baseline")])
def test_realignment_by_another_recipe_is_compared_with_its_own_baseline(
    tmp_path: Path, epochs: int, reference: str
) -> None:
    write_transfer(tmp_path, "pos", "full", correct=right(30))
    made = write_realignment(tmp_path, "before", "dictionary", 0.5, 0.6)
    record = json.loads((made / "run.json").read_text())
    record["config"] |= {"epochs": epochs, "batch_size": 16, "max_length": 256, "language": "eng"}
    (made / "run.json").write_text(json.dumps(record))
    found = {method.name: method.reference for method in collect_methods(tmp_path)}
    assert found == {"base": "base", "de-en+realign-before-dictionary": reference}


@pytest.mark.parametrize(("epochs", "reference"), [(15, "base"), (3, "base by the same recipe")])
def test_joint_training_is_compared_with_a_base_of_the_same_recipe_or_with_nothing(
    tmp_path: Path, epochs: int, reference: str
) -> None:
    write_transfer(tmp_path, "pos", "full", correct=right(30), finetune={"probe": True})
    directory = write_transfer(tmp_path, "pos", "full", "de-en", "S1W0M0", correct=right(33), method="joint-sum")
    made = tmp_path / "finetune" / "pos" / "full" / "de-en" / "S1W0M0+joint-sum" / "run.json"
    record = json.loads(made.read_text())
    record |= {"phase": "joint", "config": record["config"] | {"epochs": epochs, "probe": False}}
    made.write_text(json.dumps(record))
    found = {method.name: method.reference for method in collect_methods(tmp_path)}
    assert found["de-en/S1W0M0+joint-sum"] == reference and directory.is_dir()
    notes = " ".join(write_report("compare", tmp_path).tables[-1].notes)
    assert ("Without their reference" in notes) == (epochs != 15)


def test_seconds_of_a_run_that_was_resumed_are_not_known(tmp_path: Path) -> None:
    write_transfer(tmp_path, "pos", "full", correct=right(30))
    add_cost(tmp_path / "finetune" / "pos" / "full" / "base", seconds=9.0, resumed_from=[5])  # type: ignore[arg-type]
    assert [method.cost.seconds for method in collect_methods(tmp_path)] == [None]


def test_two_encoders_of_langalign_do_not_share_a_line(tmp_path: Path) -> None:
    scores = {"english-only": 0.5, "mean-shift": 0.5, "ridge": 0.5, "fc": 0.7}
    made = write_langalign(tmp_path / "one", scores)
    other = write_langalign(tmp_path / "two", scores | {"fc": 0.9})
    record = json.loads((other / "run.json").read_text())
    record["lineage"] |= {"pair": "de-en", "loss": "S1W0M0"}
    (other / "run.json").write_text(json.dumps(record))
    names = [method.name for method in collect_methods(tmp_path)]
    assert len(set(names)) == len(names) == 8 and made != other
