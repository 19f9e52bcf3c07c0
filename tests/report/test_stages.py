from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from synthetic import write_transfer
from synthetic_analyses import write_distances, write_retrieval

from xalign.errors import UsageError
from xalign.report import write_report


def accuracy(correct: int) -> dict[str, np.ndarray]:
    """So many of ten sentences correct."""
    return {"deu": np.tile(np.arange(10) < correct, (3, 1)).astype(int)}


def write_steps(runs: Path, steps: tuple[int, ...]) -> None:
    """Everything improves with the steps of alignment."""
    write_transfer(runs, "pos", "full", correct=accuracy(4))
    write_distances(runs, lambda *_: 0.5, pairs=("deu-eng",))
    write_retrieval(runs, lambda *_: 0.5, pairs=("deu-eng",))
    for step in steps:
        where = {"align_step": step}
        write_transfer(runs, "pos", "full", "de-en", "S1W0M0", correct=accuracy(4 + step // 3000), **where)  # type: ignore[arg-type]
        write_distances(runs, lambda *_, s=step: 0.5 - s / 30_000, "de-en", "S1W0M0", pairs=("deu-eng",), **where)  # type: ignore[misc]
        write_retrieval(runs, lambda *_, s=step: 0.5 + s / 30_000, "de-en", "S1W0M0", pairs=("deu-eng",), **where)  # type: ignore[misc]


def test_stages_run_from_the_base_over_kept_to_final_steps(tmp_path: Path) -> None:
    write_steps(tmp_path, (3000, 6000))
    report = write_report("stages", tmp_path)
    with (tmp_path / "report" / "stages.csv").open() as stream:
        found = {(x["measure"], x["align_step"]): float(x["mean"]) for x in csv.DictReader(stream)}
    full = "accuracy: POS tagging, full fine-tuning"
    assert [found[full, step] for step in ("0", "3000", "6000")] == pytest.approx([0.4, 0.5, 0.6])
    assert found["cosine distance of words, hidden_states[8]", "3000"] == pytest.approx(0.4)
    assert found["mean cosine, hidden_states[8]", "6000"] == pytest.approx(0.7)
    assert "no stages between" not in " ".join(report.tables[-1].notes)
    assert ">S1W0M0<" in (tmp_path / "report" / "stages.svg").read_text()


def test_a_single_step_and_absent_measures_are_said(tmp_path: Path) -> None:
    write_transfer(tmp_path, "pos", "full")
    write_transfer(tmp_path, "pos", "full", "de-en", "S1W0M0")
    notes = " ".join(write_report("stages", tmp_path).tables[-1].notes)
    assert "step 6000 alone" in notes and "No complete runs of distances" in notes


def test_the_base_alone_is_a_table_without_a_figure(tmp_path: Path) -> None:
    write_distances(tmp_path, lambda *_: 0.5, pairs=("deu-eng",))
    report = write_report("stages", tmp_path)
    assert not report.figures and "before alignment alone" in " ".join(report.tables[-1].notes)


def test_nothing_measured_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to show stages of"):
        write_report("stages", tmp_path)
