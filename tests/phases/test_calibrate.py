"""Learning rates are chosen by English dev alone, and the choice comes with its provenance."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_data, tiny_encoder

from xalign import CalibrateConfig, UsageError, calibrate
from xalign.config import FinetuneConfig, build
from xalign.config.presets import read_preset
from xalign.phases.calibrate import PUBLISHED, choose, edges
from xalign.runs import RunResult, find_runs
from xalign.storage import read_json


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    tiny_encoder(folder / "encoder", layers=2, width=8)
    tiny_data(folder / "data")
    return folder


def search(inputs: Path, output: Path, **options: Any) -> RunResult:
    common: dict[str, Any] = {
        "task": "topic", "mode": "linear", "model": str(inputs / "encoder"), "data": str(inputs / "data"),
        "output": str(output), "seeds": (15, 33), "epochs": 4, "head_learning_rates": (1e-9, 5e-2),
        "tracking": "none", "quiet": True,
    }  # fmt: skip
    return calibrate(CalibrateConfig(**(common | options)))


def test_the_best_candidate_on_english_dev_wins_and_becomes_a_preset_with_provenance(
    inputs: Path, tmp_path: Path
) -> None:
    found = search(inputs, tmp_path / "runs")
    with (tmp_path / "runs" / "calibration.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["chosen"] for row in rows] == ["False", "True"]
    assert float(rows[1]["dev_accuracy"]) > float(rows[0]["dev_accuracy"])
    preset = str(tmp_path / "runs" / "preset.yaml")
    config = build(FinetuneConfig, preset, {"task": "topic", "mode": "linear", "output": "x"})
    assert config.head_learning_rate == 5e-2
    _, provenance = read_preset(preset)["finetune"]["head_learning_rate"]
    assert provenance is not None and provenance.mark == "measured" and "2 seeds" in provenance.source
    assert found.result["chosen"] == "encoder 0, head 0.05"


def test_the_distance_to_the_paper_is_stated_for_each_set_of_languages(inputs: Path, tmp_path: Path) -> None:
    found = search(inputs, tmp_path / "runs", head_learning_rates=(1e-2,)).result["difference_to_paper"]
    tested = read_json(tmp_path / "runs" / "transfer" / "result.json")["accuracy"]
    means = {code: sum(seeds.values()) / len(seeds) for code, seeds in tested.items()}
    published = PUBLISHED["topic", "linear"]
    assert found["all languages"] == pytest.approx(sum(means.values()) / 3 - published)
    assert found["without eng"] == pytest.approx((means["deu"] + means["kaz"]) / 2 - published)


def test_only_the_winner_keeps_its_encoders(inputs: Path, tmp_path: Path) -> None:
    options = {"task": "pos", "mode": "full", "learning_rates": (1e-9, 1e-3), "head_learning_rates": (1e-2,)}
    search(inputs, tmp_path / "runs", seeds=(15,), epochs=1, **options)
    kept = {path.parent.name for path in (tmp_path / "runs" / "candidates").glob("*/encoder-seed*")}
    assert kept == {"0.001-0.01"}
    assert list(find_runs(tmp_path)) == [tmp_path / "runs"], "its fine-tuning runs are parts of it"


def test_a_complete_search_is_not_made_again(inputs: Path, tmp_path: Path) -> None:
    options = {"head_learning_rates": (1e-2,), "seeds": (15,), "epochs": 1}
    assert not search(inputs, tmp_path / "runs", **options).reused
    assert search(inputs, tmp_path / "runs", **options).reused


def test_of_equal_candidates_the_smallest_rate_wins() -> None:
    assert choose({(5e-5, 1e-3): [0.5], (1e-5, 1e-3): [0.5], (2e-5, 1e-3): [0.4]}) == (1e-5, 1e-3)


def test_a_best_rate_at_the_end_of_its_candidates_is_named() -> None:
    tried = [(rate, head) for rate in (1e-5, 2e-5, 5e-5) for head in (1e-3,)]
    assert edges(tried, (2e-5, 1e-3)) == []
    assert edges(tried, (5e-5, 1e-3)) == edges(tried, (1e-5, 1e-3)) == ["learning_rate"]


def test_candidates_named_twice_are_refused_before_anything_is_written(inputs: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="each rate once"):
        search(inputs, tmp_path / "runs", head_learning_rates=(1e-3, 1e-3))
    assert not (tmp_path / "runs").exists()
