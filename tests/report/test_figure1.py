from __future__ import annotations

import csv
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from synthetic_analyses import write_distances

from xalign.config import LOSSES
from xalign.report import Table, write_report
from xalign.report.analyses import collect_analyses
from xalign.report.figure1 import figure1

PAIRS = ("deu-eng", "kor-fra")
S = LOSSES.index("S1W0M0")


def level_of(distance: float) -> object:
    """Sentences at that distance in layer 4, twice in 8, three times in 12; words 0.05 further."""
    return lambda level, pair, layer: distance * layer / 4 + 0.05 * (level == "word")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Base, two aligned models and their fine-tuned states."""
    for task in (None, "pos", "topic"):
        moved = 0.02 * (task == "pos")
        write_distances(tmp_path, level_of(0.2 + moved), task=task, pairs=PAIRS)  # type: ignore[arg-type]
        for pair, distance in (("de-en", 0.1), ("en-kk", 0.14)):
            write_distances(tmp_path, level_of(distance + moved), pair, "S1W0M0", task, pairs=PAIRS)  # type: ignore[arg-type]
    return tmp_path


def cells(table: Table) -> dict[str, tuple[object, ...]]:
    """Rows by name, without the ranges."""
    return {str(r[0]): r[1:] for r in table.rows if not str(r[0]).startswith(" ")}


def test_states_are_averaged_over_pairs_directions_and_models(runs: Path) -> None:
    report = figure1(collect_analyses(runs, "distances"))
    table = next(t for t in report.tables if "mean cosine distance, sentences" in t.title)
    found = cells(table)
    assert set(found["8  base"]) == {"0.400"}  # the base has no configuration
    assert found["8  aligned"][S] == "0.240" and found["8  aligned"][0] is None
    assert found["8  aligned+pos"][S] == "0.280" and found["4  base+pos"][S] == "0.220"
    assert ("  range", *(None,) * S, "0.200–0.280", *(None,) * (6 - S)) in table.rows
    words = next(t for t in report.tables if "mean cosine distance, words" in t.title)
    assert cells(words)["8  base"][S] == "0.450"


def test_controls_stand_beside_distances(runs: Path) -> None:
    tables = {t.title: cells(t) for t in figure1(collect_analyses(runs, "distances")).tables if t.columns}
    found = {name: next(rows for title, rows in tables.items() if name in title and "sentence" in title)
             for name in ("normalised", "non-translations", "centring", "not seen")}  # fmt: skip
    assert found["normalised"]["4  base"][S] == "0.600"
    assert found["non-translations"]["4  base"][S] == "0.400"
    assert found["centring"]["4  base"][S] == "0.100"
    # Encoders without the sentences that topic models saw, against topic models, which never have them.
    assert found["not seen"]["4  base"][S] == "0.300" and found["not seen"]["4  base+topic"][S] == "0.200"
    assert not any("+pos" in name for name in found["not seen"])


def test_data_holds_states_models_and_changes(runs: Path) -> None:
    write_report("figure1", runs)
    with (runs / "report" / "figure1.csv").open() as stream:
        lines = {(x["level"], x["layer"], x["model_state"], x["loss"]): x for x in csv.DictReader(stream)}
    line = lines["sentence", "12", "aligned", "S1W0M0"]
    assert [float(line[c]) for c in ("distance", "range_low", "range_high")] == pytest.approx([0.36, 0.3, 0.42])
    assert (line["models"], line["language_pairs"]) == ("2", "2")
    with (runs / "report" / "figure1-models.csv").open() as stream:
        changes = {(x["level"], x["layer"], x["model_state"], x["pair"]): x["change"] for x in csv.DictReader(stream)}
    assert float(changes["sentence", "8", "aligned", "de-en"]) == pytest.approx(-0.2)
    assert changes["sentence", "8", "aligned+pos", "de-en"] == ""


def test_figures_name_their_lines_in_the_drawing(runs: Path) -> None:
    report = write_report("figure1", runs)
    names = {drawing.name for drawing in report.figures}
    assert {"figure1-sentences", "figure1-words", "figure1-sentences-normalised", "figure1-models"} <= names
    for name in names:
        assert (runs / "report" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        root = ElementTree.parse(runs / "report" / f"{name}.svg").getroot()
        texts = [text for element in root.iter() if (text := (element.text or "").strip())]
        expected = {"S1W0M0", "de-en, words"} if name == "figure1-models" else {"base", "aligned+pos", "base+topic"}
        assert expected <= set(texts)
        assert not any("legend" in element.get("id", "") for element in root.iter())


def test_equal_runs_give_equal_figures(runs: Path) -> None:
    write_report("figure1", runs)
    path = runs / "report" / "figure1-words.svg"
    first = path.read_bytes()
    write_report("figure1", runs)
    assert path.read_bytes() == first
