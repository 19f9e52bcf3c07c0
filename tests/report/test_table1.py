from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from synthetic import random_outcomes, write_grid, write_transfer

from xalign.config import LOSSES
from xalign.errors import UsageError, XalignError
from xalign.report import Report, Table, write_report
from xalign.report.comparisons import compare, variance_parts
from xalign.report.estimates import make_blocks
from xalign.report.records import Cell, collect_transfers
from xalign.report.table1 import table1

ALIGNED = Cell("pos", "full", "de-en", "S1W0M0")


def titled(report: Report, *words: str) -> Table:
    """The first table whose title holds all the words."""
    return next(table for table in report.tables if all(word in table.title for word in words))


def row(table: Table, name: str) -> tuple[object, ...]:
    """The values of the row of that name."""
    return next(values[1:] for values in table.rows if values[0] == name)


def notes_of(report: Report) -> str:
    """The notes that concern all tables."""
    return "\n".join(report.tables[-1].notes)


def read_csv(path: Path) -> dict[tuple[str, ...], dict[str, str]]:
    """The lines of the main CSV by task, mode, pair and loss."""
    with path.open() as stream:
        lines = list(csv.DictReader(stream))
    found = {(line["task"], line["mode"], line["pair"], line["loss"]): line for line in lines}
    assert len(found) == len(lines)
    return found


def test_accuracy_and_change_are_macro_averages_over_languages_and_seeds(tmp_path: Path) -> None:
    base = {"deu": np.array([[1, 0, 0, 0], [1, 1, 0, 0]]), "eng": np.array([[1, 1], [1, 1]])}
    aligned = {"deu": np.array([[1, 1, 1, 0], [1, 1, 1, 1]]), "eng": np.array([[1, 0], [1, 1]])}
    write_transfer(tmp_path, "pos", "full", correct=base, seeds=(15, 33))
    write_transfer(tmp_path, "pos", "full", "de-en", "S1W0M0", correct=aligned, seeds=(15, 33))
    write_report("table1", tmp_path)
    lines = read_csv(tmp_path / "report" / "table1.csv")
    line = lines["pos", "full", "de-en", "S1W0M0"]
    assert float(line["accuracy"]) == pytest.approx((7 / 8 + 3 / 4) / 2)
    assert float(line["sd"]) == pytest.approx(np.std([5 / 8, 1], ddof=1), abs=1e-6)
    assert float(line["change"]) == pytest.approx((7 / 8 - 3 / 8 + 3 / 4 - 1) / 2)
    assert float(line["change_without_english"]) == pytest.approx(1 / 2)
    assert (line["languages"], line["seeds"], line["align_seeds"], line["align_step"]) == ("2", "2", "1", "6000")
    assert float(lines["pos", "full", "base", "S0W0M0"]["accuracy"]) == pytest.approx((3 / 8 + 1) / 2)
    assert lines["pos", "full", "base", "S0W0M0"]["change"] == ""


def test_a_gain_is_starred_and_no_change_is_exactly_zero(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    base = random_outcomes(random, 0.5, 300)
    better = {language: np.maximum(hits, random.random(hits.shape) < 0.2) for language, hits in base.items()}
    write_transfer(tmp_path, "topic", "full", correct=base)
    write_transfer(tmp_path, "topic", "full", "de-en", "S1W0M0", correct=better)
    write_transfer(tmp_path, "topic", "full", "de-en", "S0W1M0", correct=base)
    report = write_report("table1", tmp_path)
    lines = read_csv(tmp_path / "report" / "table1.csv")
    gain = lines["topic", "full", "de-en", "S1W0M0"]
    assert 0 < float(gain["low"]) < float(gain["change"]) < float(gain["high"]) and float(gain["adjusted_low"]) > 0
    same = lines["topic", "full", "de-en", "S0W1M0"]
    assert [float(same[name]) for name in ("change", "low", "high", "p_holm")] == [0, 0, 0, 1]
    changes = row(titled(report, "all languages"), "  change")
    assert str(changes[LOSSES.index("S1W0M0")]).endswith("*") and changes[LOSSES.index("S0W1M0")] == "+0.0"


def test_pairing_makes_intervals_of_similar_models_narrow(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    base = random_outcomes(random, 0.5, 200)
    close = {k: np.where(random.random(v.shape) < 0.02, 1 - v, v) for k, v in base.items()}
    write_transfer(tmp_path, "topic", "full", correct=base)
    write_transfer(tmp_path, "topic", "full", "de-en", "S1W0M0", correct=close)
    write_transfer(tmp_path, "topic", "full", "de-en", "S0W0M1", correct=random_outcomes(random, 0.5, 200))
    compared = compare(make_blocks(collect_transfers(tmp_path).complete), english=True)
    paired = compared[Cell("topic", "full", "de-en", "S1W0M0")].change
    unrelated = compared[Cell("topic", "full", "de-en", "S0W0M1")].change
    assert paired is not None and unrelated is not None
    assert paired.high - paired.low < 0.4 * (unrelated.high - unrelated.low)


def test_draws_agree_with_a_naive_bootstrap_of_seeds_and_sentences(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    base, aligned = (random_outcomes(random, p, 50, ("deu", "kaz")) for p in (0.4, 0.6))
    write_transfer(tmp_path, "topic", "linear", correct=base)
    write_transfer(tmp_path, "topic", "linear", "de-en", "S1W0M0", correct=aligned)
    compared = compare(make_blocks(collect_transfers(tmp_path).complete, draws=8000), english=True)
    change = compared[Cell("topic", "linear", "de-en", "S1W0M0")].change
    naive = []
    for _ in range(8000):
        seeds, ids = random.integers(0, 3, 3), random.integers(0, 50, 50)
        naive.append(np.mean([(aligned[k] - base[k])[np.ix_(seeds, ids)].mean() for k in base]))
    assert change is not None
    np.testing.assert_allclose([change.low, change.high], np.quantile(naive, [0.025, 0.975]), atol=0.008)


def test_rows_follow_the_paper_and_the_base_stands_in_every_column(tmp_path: Path) -> None:
    write_grid(tmp_path, pairs=("aa-bb", "kk-ko", "de-en"), sentences=6)
    report = write_report("table1", tmp_path)
    titles = [table.title for table in report.tables[:4]]
    assert ["POS" in t for t in titles] == [True, True, False, False] and "full" in titles[0] and "linear" in titles[1]
    table = report.tables[0]
    assert table.columns == ("model", *LOSSES)
    assert [r[0] for r in table.rows if not str(r[0]).startswith(" ")] == ["base", "de-en", "kk-ko", "aa-bb"]
    assert len(set(row(table, "base"))) == 1
    assert "without English" in report.tables[4].title


def test_cells_that_are_not_complete_show_their_state(tmp_path: Path) -> None:
    write_grid(tmp_path, tasks=("pos",), modes=("full",), sentences=6)
    shutil.rmtree(tmp_path / "transfer/pos/full/de-en/S0W0M1")
    (tmp_path / "transfer/pos/full/de-en/S0W1M0/result.json").unlink()
    (tmp_path / "transfer/pos/full/de-en/S0W1M1/result.json").unlink()
    write_transfer(tmp_path, "pos", "full", "de-en", "S0W1M1", state="failed")
    report = write_report("table1", tmp_path)
    table = report.tables[0]
    assert row(table, "de-en")[:3] == ("not run", "incomplete", "failed")
    assert row(table, "  change")[:3] == (None, None, None)
    assert "loss is not finite" in notes_of(report)
    lines = read_csv(tmp_path / "report" / "table1.csv")
    states = [lines["pos", "full", "de-en", loss]["state"] for loss in LOSSES[:4]]
    assert states == ["not run", "incomplete", "failed", "complete"]
    assert lines["pos", "full", "de-en", "S0W0M1"]["accuracy"] == ""
    assert set(row(titled(report, "2³"), "pos full de-en")) == {"not computable"}
    assert row(titled(report, "against S0W0M1"), "pos full de-en")[3] == "not computable"


def test_without_a_base_accuracies_stand_alone(tmp_path: Path) -> None:
    write_transfer(tmp_path, "pos", "full", "de-en", "S1W0M0")
    table = write_report("table1", tmp_path).tables[0]
    assert set(row(table, "base")) == {"not run"} and row(table, "de-en")[3] == "0.500 ±0.000"
    assert [r[0] for r in table.rows] == ["base", "de-en"] and "base is missing" in " ".join(table.notes)


def test_a_report_of_failures_only_is_still_a_report(tmp_path: Path) -> None:
    write_transfer(tmp_path, "pos", "full", state="failed", testbed=True)
    report = write_report("table1", tmp_path)
    assert set(row(report.tables[0], "base")) == {"failed"} and "testbed" in report.tables[0].title


def test_factorial_effects_of_the_table_are_those_of_its_accuracies(tmp_path: Path) -> None:
    write_grid(tmp_path, tasks=("topic",), modes=("full",))
    write_report("table1", tmp_path)
    lines = read_csv(tmp_path / "report" / "table1.csv")
    accuracy = {loss: float(line["accuracy"]) for (_, _, _, loss), line in lines.items()}
    with (tmp_path / "report" / "table1-effects.csv").open() as stream:
        effects = {(line["kind"], line["effect"]): line for line in csv.DictReader(stream)}
    main = np.mean([a for loss, a in accuracy.items() if "S1" in loss]) - np.mean(
        [a for loss, a in accuracy.items() if "S0" in loss]
    )
    found = effects["factorial", "S"]
    assert float(found["estimate"]) == pytest.approx(main, abs=2e-6)
    assert float(found["low"]) < main < float(found["high"])
    relative = effects["less S0W0M1", "S1W0M1"]
    assert float(relative["estimate"]) == pytest.approx(accuracy["S1W0M1"] - accuracy["S0W0M1"], abs=2e-6)


def test_the_probe_stands_beside_the_recipe(tmp_path: Path) -> None:
    write_transfer(tmp_path, "topic", "linear", probe=0.7)
    write_transfer(tmp_path, "topic", "linear", "de-en", "S1W0M0", probe=0.8)
    table = titled(write_report("table1", tmp_path), "probe")
    assert row(table, "base recipe")[3] == "0.500" and row(table, "base probe")[3] == "0.700"
    assert row(table, "de-en probe")[3] == "0.800 (+10.0)"


def test_alignment_seeds_are_averaged_counted_and_split_from_other_variance(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    write_transfer(tmp_path, "pos", "full", correct=random_outcomes(random, 0.5, 100))
    accuracies = []
    for align_seed, p in ((42, 0.5), (43, 0.7), (44, 0.9)):
        hits = random_outcomes(random, p, 100)
        accuracies.append(np.mean([h.mean() for h in hits.values()]))
        write_transfer(tmp_path, "pos", "full", "de-en", "S1W0M0", correct=hits, align_seed=align_seed)
    report = write_report("table1", tmp_path)
    line = read_csv(tmp_path / "report" / "table1.csv")["pos", "full", "de-en", "S1W0M0"]
    assert line["align_seeds"] == "3" and float(line["accuracy"]) == pytest.approx(np.mean(accuracies), abs=1e-6)
    # Seeds that differ by 20 points make an interval that one seed's sentences alone would not.
    assert float(line["high"]) - float(line["low"]) > 0.2
    (block,) = make_blocks(collect_transfers(tmp_path).complete)
    parts = variance_parts(block, block.cells[ALIGNED])
    assert parts is not None and parts.sd_align_seeds == pytest.approx(np.std(accuracies, ddof=1))
    assert parts.sd_finetune_seeds is not None and parts.sd_finetune_seeds < 0.05
    assert parts.standard_error_sentences < 0.05
    assert "3 alignment seeds" in " ".join(report.tables[0].notes) and titled(report, "parts of the variance").rows


def test_one_alignment_seed_speaks_about_checkpoints(tmp_path: Path) -> None:
    write_grid(tmp_path, sentences=4)
    assert any("not about the configurations" in note for note in write_report("table1", tmp_path).tables[0].notes)


def test_every_output_of_the_testbed_says_so(tmp_path: Path) -> None:
    write_grid(tmp_path, sentences=4, testbed=True)
    report = write_report("table1", tmp_path)
    assert all("testbed (constructed languages)" in table.title for table in report.tables[:-1])
    assert {line["data"] for line in read_csv(tmp_path / "report" / "table1.csv").values()} == {
        "testbed (constructed languages)"
    }
    shutil.rmtree(tmp_path)
    write_grid(tmp_path, sentences=4)
    assert not any("testbed" in table.title for table in write_report("table1", tmp_path).tables)


def test_departures_from_the_paper_and_other_steps_are_noted(tmp_path: Path) -> None:
    write_grid(tmp_path, sentences=4, finetune={"epochs": 3, "max_sentences": 100})
    write_transfer(tmp_path, "pos", "full", "de-en", "S1W0M0", align_step=3000, finetune={"epochs": 3})
    notes = notes_of(write_report("table1", tmp_path))
    assert "finetune.epochs 3 (not 15)" in notes and "finetune.max_sentences 100 (not None)" in notes
    assert "after 6000 alignment steps; runs at 3000 are left out" in notes


def test_files_of_all_formats_are_left_and_nothing_half_written(tmp_path: Path) -> None:
    write_grid(tmp_path, sentences=4)
    write_report("table1", tmp_path)
    names = {path.name for path in (tmp_path / "report").iterdir()}
    files = {"table1.csv", "table1.md", "table1.tex", "table1-languages.csv", "table1-effects.csv"}
    assert names == files | {".lock"}
    assert write_report("table1", tmp_path).text("csv") == (tmp_path / "report" / "table1.csv").read_text()


def test_unknown_reports_and_steps_are_usage_errors(tmp_path: Path) -> None:
    write_grid(tmp_path, sentences=4)
    with pytest.raises(UsageError, match="choose from table1"):
        write_report("table9", tmp_path)
    with pytest.raises(UsageError, match="there are: 6000"):
        write_report("table1", tmp_path, step=7)


def test_an_unwritable_folder_is_a_usage_error(tmp_path: Path) -> None:
    write_grid(tmp_path, sentences=4)
    (tmp_path / "report").write_text("in the way")
    with pytest.raises(UsageError, match="cannot be written"):
        write_report("table1", tmp_path)


@pytest.mark.parametrize(
    ("task", "other", "message"),
    [
        ("pos", {"total": {k: np.full(4, 2) for k in ("deu", "eng", "kaz")}}, "other sentences in deu"),
        ("topic", {"correct": {"deu": np.ones((3, 4), int), "eng": np.ones((3, 5), int)}}, "languages"),
    ],
)
def test_other_test_sentences_are_refused(tmp_path: Path, task: str, other: dict[str, object], message: str) -> None:
    write_transfer(tmp_path, task, "full")
    write_transfer(tmp_path, task, "full", "de-en", "S1W0M0", **other)  # type: ignore[arg-type]
    with pytest.raises(XalignError, match=message):
        table1(collect_transfers(tmp_path))


def test_topic_languages_with_other_sentences_are_refused(tmp_path: Path) -> None:
    write_transfer(tmp_path, "topic", "full", correct={"deu": np.ones((3, 4), int), "eng": np.ones((3, 5), int)})
    with pytest.raises(XalignError, match="not the same in all languages"):
        table1(collect_transfers(tmp_path))


def test_where_few_cells_have_several_alignment_seeds_they_are_named_also_if_one_run_is_older_than_an_option(
    tmp_path: Path,
) -> None:
    write_transfer(tmp_path, "pos", "linear")
    for loss in ("S1W0M0", "S0W1M0"):
        write_transfer(tmp_path, "pos", "linear", "de-en", loss)
    newer = {"grad_cache": False, "adapter_targets": []}  # their defaults, which older runs do not record
    write_transfer(tmp_path, "pos", "linear", "de-en", "S1W0M0", align_seed=15, align=newer)
    notes = " ".join(note for table in table1(collect_transfers(tmp_path)).tables for note in table.notes)
    assert "2 alignment seeds in de-en S1W0M0, fewer in the other cells" in notes
    write_transfer(tmp_path, "pos", "linear", "de-en", "S1W0M0", align_seed=33, align={"grad_cache": True})
    with pytest.raises(XalignError, match=r"align\.grad_cache \(False and True\)"):
        table1(collect_transfers(tmp_path))
