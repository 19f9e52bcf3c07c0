"""The LangAlign report: paired intervals against the simpler maps, verdicts, and which runs may stand in one table."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from synthetic_analyses import write_langalign

from xalign.__main__ import run
from xalign.errors import UsageError, XalignError
from xalign.report import write_report
from xalign.report.archive import archive
from xalign.report.langalign import langalign
from xalign.report.langalign_records import collect_langalign

EVEN = {"english-only": 0.5, "mean-shift": 0.5, "ridge": 0.5, "fc": 0.5}


def lines_of(runs: Path) -> list[dict[str, str]]:
    write_report("langalign", runs)
    with (runs / "report" / "langalign.csv").open() as stream:
        return list(csv.DictReader(stream))


def scramble(directory: Path, seed: int = 0) -> dict[str, np.ndarray]:
    """Give every method of a run random outcomes, and return them: (seeds, sentences)."""
    path, draw = directory / "outcomes.jsonl", np.random.default_rng(seed)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    found: dict[str, dict[int, list[int]]] = {}
    for row in rows:
        row["correct"] = int(draw.random() < 0.6)
        found.setdefault(row["method"], {}).setdefault(row["seed"], []).append(row["correct"])
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {name: np.array([by[seed] for seed in sorted(by)]) for name, by in found.items()}


def test_intervals_are_those_of_a_plain_loop_over_resampled_sentences_and_seeds(tmp_path: Path) -> None:
    outcomes = scramble(write_langalign(tmp_path, EVEN, sentences=120))
    line = next(line for line in lines_of(tmp_path) if line["method"] == "fc")
    draw, changes = np.random.default_rng(1), []
    for _ in range(4000):
        sentences, seeds = draw.integers(0, 120, 120), draw.integers(0, 2, 2)
        changes.append((outcomes["fc"] - outcomes["ridge"])[seeds][:, sentences].mean())
    low, high = np.quantile(changes, [0.025, 0.975])
    assert float(line["vs_ridge_estimate"]) == pytest.approx((outcomes["fc"] - outcomes["ridge"]).mean(), abs=1e-6)
    assert float(line["vs_ridge_low"]) == pytest.approx(low, abs=0.012)
    assert float(line["vs_ridge_high"]) == pytest.approx(high, abs=0.012)
    assert float(line["accuracy"]) == pytest.approx(outcomes["fc"].mean())


def test_equal_outcomes_have_no_difference_at_all_because_draws_are_paired(tmp_path: Path) -> None:
    write_langalign(tmp_path, EVEN)
    line = next(line for line in lines_of(tmp_path) if line["method"] == "fc")
    names = [f"{name}_{limit}" for name in ("change", "vs_mean_shift", "vs_ridge") for limit in ("low", "high")]
    assert [float(line[name]) for name in names] == [0] * 6


def test_the_verdict_needs_both_intervals_above_zero(tmp_path: Path) -> None:
    write_langalign(tmp_path, EVEN | {"fc": 0.7})
    write_langalign(tmp_path, EVEN | {"fc": 0.7, "ridge": 0.7}, variant={"sentences": 30})
    write_langalign(tmp_path, EVEN | {"fc": 0.2}, variant={"reverse": True})
    table = langalign(tmp_path).tables[0]
    found = {(row[2], row[3]): row[-1] for row in table.rows}
    assert found == {("fc", 30): "no", ("fc", 56): "yes", ("fc-reverse", 56): "no"}
    verdict = table.notes[0]
    assert "in 1 of 3 runs beats both" in verdict and "ridge: better in 1, worse in 1, undecided in 1" in verdict


@pytest.mark.parametrize(("share", "words"), [(0.9, "network beats both"), (0.5, "does not beat both")])
def test_the_sentence_says_whether_the_network_wins(share: float, words: str, tmp_path: Path) -> None:
    write_langalign(tmp_path, EVEN | {"fc": share})
    assert words in langalign(tmp_path).tables[0].notes[0]


def test_runs_are_grouped_by_setting_and_follow_each_other_by_their_translations(tmp_path: Path) -> None:
    for count in (200, 30, 100):
        write_langalign(tmp_path, EVEN, variant={"sentences": count})
    write_langalign(tmp_path, EVEN | {"ae": 0.5}, variant={"architecture": "ae", "sentences": 30})
    rows = langalign(tmp_path).tables[0].rows
    assert [(row[2], row[3]) for row in rows] == [("ae", 30), ("fc", 30), ("fc", 100), ("fc", 200)]


def test_methods_tested_on_other_sentences_have_no_change(tmp_path: Path) -> None:
    directory = write_langalign(tmp_path, EVEN | {"english-test": 0.9}, task="pos", variant={"parallel": "general"})
    path = directory / "outcomes.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        row["sentence_id"] = ("en-" if row["method"] == "english-test" else "") + row["sentence_id"]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    line = next(line for line in lines_of(tmp_path) if line["method"] == "english-test")
    assert line["change_low"] == "" and float(line["accuracy"]) == pytest.approx(0.9)


def test_native_and_translated_are_called_one_where_they_are(tmp_path: Path) -> None:
    write_langalign(tmp_path, EVEN | {"translated": 0.6, "native": 0.6})
    write_langalign(tmp_path, EVEN | {"translated": 0.55, "native": 0.6}, variant={"sentences": 30})
    (note,) = langalign(tmp_path).tables[1].notes
    assert note.endswith("in: fc n=56.")


def test_two_runs_of_one_setting_and_unfinished_ones_are_told(tmp_path: Path) -> None:
    first = write_langalign(tmp_path, EVEN)
    half = write_langalign(tmp_path, EVEN, variant={"noise": 0.5})
    (half / "result.json").unlink()
    assert str(half) in langalign(tmp_path).tables[-1].notes[-1]
    shutil.copytree(first, tmp_path / "again")
    with pytest.raises(XalignError, match="two runs of topic de-en base fc n=56"):
        collect_langalign(tmp_path)


def test_what_cannot_be_read_is_refused_with_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no complete langalign run"):
        collect_langalign(tmp_path)
    directory = write_langalign(tmp_path, {"english-only": 0.5, "mean-shift": 0.5, "ridge": 0.5})
    with pytest.raises(XalignError, match="no outcomes of fc"):
        collect_langalign(tmp_path)
    (directory / "outcomes.jsonl").write_text("{}\n")
    with pytest.raises(XalignError, match=r"outcomes\.jsonl:1"):
        collect_langalign(tmp_path)


def test_a_run_from_before_costs_were_recorded_has_dashes(tmp_path: Path) -> None:
    directory = write_langalign(tmp_path, EVEN)
    result = json.loads((directory / "result.json").read_text())
    (directory / "result.json").write_text(json.dumps({k: v for k, v in result.items() if "_by_" not in k}))
    line = next(line for line in lines_of(tmp_path) if line["method"] == "fc")
    assert line["seconds"] == "" and line["parameters"] == "" and float(line["cosine"]) == 0.7


def test_an_archive_tells_the_same(tmp_path: Path) -> None:
    scramble(write_langalign(tmp_path / "runs", EVEN, sentences=40))
    archive(tmp_path / "runs", tmp_path / "kept")
    assert lines_of(tmp_path / "runs") == lines_of(tmp_path / "kept")


def test_the_command_prints_the_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_langalign(tmp_path, EVEN)
    assert run(["report", "langalign", "--runs", str(tmp_path), "--tracking", "none"]) == 0
    shown = capsys.readouterr().out
    assert "Verdict: the network does not beat both" in shown and "wrong pair" in shown
    for suffix in ("csv", "md", "tex"):
        assert (tmp_path / "report" / f"langalign.{suffix}").stat().st_size > 0
