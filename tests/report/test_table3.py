from __future__ import annotations

import csv
from pathlib import Path

import pytest
from synthetic_analyses import gradient_line, write_analysis, write_gradients

from xalign.config import LOSSES
from xalign.report import Report, Table, write_report
from xalign.report.analyses import collect_analyses
from xalign.report.gradients import gradients
from xalign.report.table3 import table3

S, SM = LOSSES.index("S1W0M0"), LOSSES.index("S1W0M1")
LANGUAGES = ("deu", "eng", "kaz")


def titled(report: Report, *words: str) -> Table:
    """The first table whose title holds all the words."""
    return next(table for table in report.tables if all(word in table.title for word in words))


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Cosines 0.4 and 0.02 of one pair and the topic task, over a ceiling of 0.8."""
    write_gradients(tmp_path, 0.4, "de-en", "S1W0M0", "topic", languages=LANGUAGES)
    write_gradients(tmp_path, 0.02, "de-en", "S1W0M1", "topic", languages=LANGUAGES)
    return tmp_path


def test_the_main_column_is_the_corrected_cosine_over_shared_parameters(runs: Path) -> None:
    table = table3(collect_analyses(runs, "gradients")).tables[0]
    assert table.columns == ("model", *LOSSES) and [r[0] for r in table.rows] == ["de-en", "  interval", "  ceiling"]
    assert table.rows[0][1 + S] == "+0.500" and table.rows[0][1] is None
    assert table.rows[1][1 + S] == "[+0.45, +0.55]" and table.rows[2][1 + S] == "0.80"


def test_each_model_stands_in_full_with_training_data_and_updates_beside_it(runs: Path) -> None:
    table = titled(table3(collect_analyses(runs, "gradients")), "in full")
    rows = {(r[0], r[1]): dict(zip(table.columns, r, strict=True)) for r in table.rows}
    main = rows["de-en S1W0M0", "topic × S1W0M0"]
    assert (main["corrected"], main["raw"]) == ("+0.500", 0.4)
    assert (main["all parameters"], main["updates"]) == ("+0.475", "+0.250")
    assert rows["de-en S1W0M0", "topic@train × S1W0M0@train"]["corrected"] == "+0.250"
    assert ("de-en S1W0M0", "topic × S") not in rows  # parts of the loss are in the CSV


def test_orthogonal_means_that_the_interval_lies_inside_the_band(runs: Path) -> None:
    write_report("table3", runs)
    with (runs / "report" / "table3.csv").open() as stream:
        lines = {(x["loss"], x["first"], x["second"], x["group"]): x for x in csv.DictReader(stream)}
    assert lines["S1W0M1", "topic", "S1W0M1", "shared"]["orthogonal"] == "yes"
    assert lines["S1W0M0", "topic", "S1W0M0", "shared"]["orthogonal"] == "no"
    assert lines["S1W0M0", "topic", "S1W0M0", "layer12"]["cosine"] == ""  # out of the loss's reach
    assert ("S1W0M0", "topic", "S", "shared") in lines


def test_what_is_not_detectable_is_a_dash_with_its_ceiling_kept(tmp_path: Path) -> None:
    line = gradient_line("task-alignment", "pos", "S1W0M0", "shared", None) | {"cosine": 0.01}
    write_analysis(tmp_path, "gradients", {"gradients": [line]}, pair="de-en", loss="S1W0M0", task="pos")
    report = write_report("table3", tmp_path)
    assert report.tables[0].rows[0][1 + S] is None and "– |" in report.text("markdown")


def test_tasks_stand_apart_in_the_paper_s_order_and_gaps_are_named(runs: Path) -> None:
    write_gradients(runs, -0.1, "kk-ko", "S1W0M0", "pos", languages=LANGUAGES)
    report = table3(collect_analyses(runs, "gradients"))
    assert "POS" in report.tables[0].title and "sentence classification" in report.tables[1].title
    assert [r[0] for r in report.tables[0].rows if not str(r[0]).startswith(" ")] == ["de-en", "kk-ko"]
    assert "pos/de-en/S1W0M0" in " ".join(report.tables[-1].notes)


def test_layers_end_where_a_loss_does_not_reach(runs: Path) -> None:
    table = titled(gradients(collect_analyses(runs, "gradients")), "by layer")
    rows = {r[0]: r[1:] for r in table.rows}
    assert rows["layer8"][S] is not None and rows["layer9"][S] is None and rows["layer9"][SM] is not None
    assert next(iter(rows)) == "embeddings"


def test_languages_meet_in_one_symmetric_matrix_without_stale_heads(runs: Path) -> None:
    report = gradients(collect_analyses(runs, "gradients"))
    table = titled(report, "task gradients")
    rows = {r[0]: dict(zip(table.columns, r, strict=True)) for r in table.rows}
    assert rows["deu"]["eng"] == rows["eng"]["deu"] == ".82" and rows["deu"]["deu"] is None
    masked = titled(report, "masked-LM gradients")
    assert masked.columns == ("language", *LANGUAGES)
    # Mean of 0.66 / 0.8 with its own head and 0.76 / 0.8 with a refitted one, without 0.16 / 0.8 with a stale one.
    assert masked.rows[0][2] == ".89"


def test_lookahead_shows_the_change_of_the_task_loss(runs: Path) -> None:
    table = titled(gradients(collect_analyses(runs, "gradients")), "Lookahead")
    assert table.columns == ("model", "deu", "eng")
    assert table.rows[0][:2] == ("de-en S1W0M0", "-4.00 [-4.10, -3.90]")


def test_figures_of_gradients_hold_the_labels_of_models_layers_and_languages(runs: Path) -> None:
    for name in ("table3", "gradients"):
        write_report(name, runs)
    folder = runs / "report"
    assert "de-en S1W0M1" in (folder / "table3.svg").read_text()
    layers = (folder / "gradients-layers-topic.svg").read_text()
    assert ">de-en<" in layers and ">emb<" in layers
    assert ">kaz<" in (folder / "gradients-task-language-topic.svg").read_text()
    assert (folder / "gradients-mlm-language-topic.png").is_file()
