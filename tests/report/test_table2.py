from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from synthetic_analyses import write_retrieval

from xalign.config import LOSSES
from xalign.config.analyses import RETRIEVAL_GROUPS
from xalign.report import Report, Table, write_report
from xalign.report.analyses import collect_analyses
from xalign.report.table2 import table2

S = LOSSES.index("S1W0M0")


def titled(report: Report, *words: str) -> Table:
    """The first table whose title holds all the words."""
    return next(table for table in report.tables if all(word in table.title for word in words))


def row(table: Table, name: str, after: int = 0) -> tuple[object, ...]:
    """The values of the row of that name, or of one that stands so many rows below it."""
    index = next(i for i, values in enumerate(table.rows) if values[0] == name)
    return table.rows[index + after][1:]


def write_known(runs: Path) -> None:
    """The base at 0.4 in layer 8; models raise deu-eng by 0.1 and 0.3, all others by 0.02 and 0.04.

    The direction into German or English lies 0.05 above, and the other 0.05 below.
    """

    def cosine(gain: float, small: float) -> object:
        def value(source: str, target: str, layer: int) -> float:
            direction = 0.05 if source < target else -0.05
            return 0.4 + direction + (gain if {source, target} == {"deu", "eng"} else small) - 0.3 * (layer != 8)

        return value

    write_retrieval(runs, cosine(0, 0))  # type: ignore[arg-type]
    write_retrieval(runs, cosine(0.1, 0.02), "de-en", "S1W0M0")  # type: ignore[arg-type]
    write_retrieval(runs, cosine(0.3, 0.04), "en-kk", "S1W0M0")  # type: ignore[arg-type]


def test_a_cell_is_the_mean_change_at_the_main_layer_with_the_range_over_models(tmp_path: Path) -> None:
    write_known(tmp_path)
    table = titled(table2(collect_analyses(tmp_path, "retrieve")), "Table 2: change in mean cosine of translations,")
    assert "hidden_states[8]" in table.title and table.columns == ("language pairs", *LOSSES)
    first = [(0.1 + 3 * 0.02) / 4, (0.3 + 3 * 0.04) / 4]
    assert row(table, "1 aligned with English")[S] == f"{np.mean(first):+.3f}"
    assert row(table, "1 aligned with English", 1)[S] == f"[{first[0]:+.3f}, {first[1]:+.3f}]"
    assert row(table, "2 aligned without English")[S] == "+0.030"
    every = [(0.1 + 25 * 0.02) / 26, (0.3 + 25 * 0.04) / 26]
    assert row(table, "mean over all pairs")[S] == f"{np.mean(every):+.3f}"
    assert [r[0] for r in table.rows if not str(r[0]).startswith(" ")] == [
        *(f"{n} {name}" for n, name in enumerate(RETRIEVAL_GROUPS, start=1)),
        "mean over all pairs",
    ]
    assert row(table, "1 aligned with English")[0] is None  # S0W0M1 was not run


def test_controls_stand_beside_the_cosine(tmp_path: Path) -> None:
    write_known(tmp_path)
    report = table2(collect_analyses(tmp_path, "retrieve"))
    group = "2 aligned without English"
    assert row(titled(report, "separation"), group)[S] == "+0.15"  # five times the cosine
    assert row(titled(report, "centring"), group)[S] == "+0.015"  # half of it
    assert row(titled(report, "recall at 1"), group)[S] == "+3.0"  # percentage points
    measures = titled(report, "weak and strong")
    assert row(measures, "auc")[0] == pytest.approx(0.4) and row(measures, "xsim")[0] == pytest.approx(0.6)
    assert "ρ-weak" in [r[0] for r in measures.rows]


def test_pairs_are_sorted_by_their_relation_to_each_model(tmp_path: Path) -> None:
    write_known(tmp_path)
    table = titled(table2(collect_analyses(tmp_path, "retrieve")), "relation")
    assert row(table, "own pair")[S] == "+0.070"  # de-en on deu-eng 0.1, en-kk on kaz-eng 0.04
    assert row(table, "other")[S] == "+0.030"


def test_companions_hold_every_model_and_pair(tmp_path: Path) -> None:
    write_known(tmp_path)
    write_report("table2", tmp_path)
    with (tmp_path / "report" / "table2-models.csv").open() as stream:
        lines = list(csv.DictReader(stream))
    found = {(x["measure"], x["language_pair"], x["pair"]): x for x in lines}
    line = found["mean_cosine", "deu-eng", "en-kk"]
    assert [float(line[c]) for c in ("base", "value", "change")] == pytest.approx([0.4, 0.7, 0.3])
    assert line["relation"] == "shares one language" and line["group"] == "1 aligned with English"
    assert float(found["mean_cosine_centred", "deu-eng", "de-en"]["change"]) == pytest.approx(0.05)
    with (tmp_path / "report" / "table2.csv").open() as stream:
        cells = {(x["measure"], x["group"], x["loss"]): x for x in csv.DictReader(stream)}
    absent, present = (cells["mean_cosine", "all", loss] for loss in ("S0W1M0", "S1W0M0"))
    assert (absent["change"], absent["models"], present["models"]) == ("", "0", "2")


@pytest.mark.parametrize("k", [5, 10])
def test_appendix_c_is_recall_at_k_in_points(tmp_path: Path, k: int) -> None:
    write_known(tmp_path)
    report = write_report(f"tableC-top{k}", tmp_path)
    assert row(titled(report, f"top {k}", f"recall at {k}"), "2 aligned without English")[S] == "+3.0"
    assert (tmp_path / "report" / f"tableC-top{k}.csv").is_file()


def test_alignment_seeds_of_a_model_are_averaged(tmp_path: Path) -> None:
    write_retrieval(tmp_path, lambda *_: 0.4, pairs=("deu-eng",))
    for seed, value in ((42, 0.5), (43, 0.7)):
        write_retrieval(tmp_path, lambda *_, v=value: v, "de-en", "S1W0M0", pairs=("deu-eng",), align_seed=seed)  # type: ignore[misc]
    table = table2(collect_analyses(tmp_path, "retrieve")).tables[0]
    assert row(table, "1 aligned with English")[S] == "+0.200"
    assert len(table.rows) == 2  # one model has no range


def test_pairs_that_some_model_lacks_are_left_out_and_named(tmp_path: Path) -> None:
    write_retrieval(tmp_path, lambda *_: 0.4, pairs=("deu-eng", "eng-xho", "kor-fra"))
    write_retrieval(tmp_path, lambda *_: 0.5, "de-en", "S1W0M0", pairs=("deu-eng", "eng-xho"))
    report = table2(collect_analyses(tmp_path, "retrieve"))
    names = [r[0] for r in report.tables[0].rows]
    assert names == ["1 aligned with English", "other pairs", "mean over all pairs"]
    assert "every model has them: kor-fra" in " ".join(report.tables[-1].notes)


def test_without_a_base_there_are_no_changes(tmp_path: Path) -> None:
    write_known(tmp_path)
    shutil.rmtree(tmp_path / "retrieve" / "base")
    table = table2(collect_analyses(tmp_path, "retrieve")).tables[0]
    assert all(value is None for r in table.rows for value in r[1:]) and "base is missing" in table.notes[0]


def test_the_depth_of_the_encoder_decides_the_layer(tmp_path: Path) -> None:
    write_retrieval(tmp_path, lambda s, t, layer: 0.1 * layer, pairs=("deu-eng",), depth=6)
    write_retrieval(tmp_path, lambda s, t, layer: 0.1 * layer, "de-en", "S1W0M0", pairs=("deu-eng",), depth=6)
    report = table2(collect_analyses(tmp_path, "retrieve"))
    assert "hidden_states[4]" in report.tables[0].title
    assert row(titled(report, "by language pair"), "1  deu-eng")[0] == "0.400"
