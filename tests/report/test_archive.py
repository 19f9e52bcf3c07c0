"""An archive holds no model and no path of a machine, and reports on it are those of the runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from synthetic import write_grid, write_transfer

from xalign.__main__ import run
from xalign.errors import UsageError, XalignError
from xalign.report import write_report
from xalign.report.archive import archive
from xalign.report.records import collect_transfers


def test_reports_on_an_archive_equal_those_on_the_runs(tmp_path: Path) -> None:
    write_grid(tmp_path / "runs")
    for record in (tmp_path / "runs").rglob("run.json"):
        if not (record.parent / "result.json").exists():  # what the transfers were made from
            (record.parent / "result.json").write_text("{}")
    archive(tmp_path / "runs", tmp_path / "kept")
    first, second = (write_report("table1", tmp_path / name) for name in ("runs", "kept"))
    assert first.text("csv") == second.text("csv")
    chains = [
        [len(record.chain.runs) for record in collect_transfers(tmp_path / name).complete] for name in ("runs", "kept")
    ]
    assert chains[0] == chains[1] and len(chains[0]) > 10


def test_it_is_small_and_names_no_directory_of_the_machine(tmp_path: Path) -> None:
    write_grid(tmp_path / "runs")
    for directory in (tmp_path / "runs").rglob("run.json"):
        (directory.parent / "encoder").mkdir()
        (directory.parent / "encoder" / "model.safetensors").write_bytes(b"weights")
    archive(tmp_path / "runs", tmp_path / "kept")
    files = [path for path in (tmp_path / "kept").rglob("*") if path.is_file()]
    assert {path.name for path in files} <= {
        "archive.json", "run.json", "environment.json", "result.json", "outcomes.jsonl.gz"
    }  # fmt: skip
    assert not any(str(tmp_path) in path.read_text() for path in files if path.suffix == ".json")
    assert any(json.loads(path.read_text())["upstream"] for path in files if path.name == "run.json")


def test_a_path_that_leads_elsewhere_keeps_its_last_part_alone(tmp_path: Path) -> None:
    write_transfer(tmp_path / "runs", "pos", "full")
    [record] = [path for path in (tmp_path / "runs").rglob("run.json") if "transfer" in path.parts]
    run_json = json.loads(record.read_text())
    run_json["config"] |= {
        "data": "../private/corpora",
        "model": "/elsewhere/encoders/small",
        "output": str(record.parent),
    }
    record.write_text(json.dumps(run_json))
    archive(tmp_path / "runs", tmp_path / "kept")
    config = json.loads((tmp_path / "kept" / record.relative_to(tmp_path / "runs")).read_text())["config"]
    assert (config["data"], config["model"]) == ("corpora", "small")
    assert config["output"] == str(record.parent.relative_to(tmp_path / "runs"))


def test_the_same_runs_give_the_same_bytes_and_replace_the_archive_of_before(tmp_path: Path) -> None:
    write_transfer(tmp_path / "runs", "pos", "full")
    contents = []
    for _ in range(2):
        archive(tmp_path / "runs", tmp_path / "kept")
        files = sorted(path for path in (tmp_path / "kept").rglob("*") if path.is_file())
        contents.append([path.read_bytes() for path in files])
        (tmp_path / "kept" / "of-before.csv").write_text("")
    assert contents[0] == contents[1]


def test_unfinished_runs_stay_behind(tmp_path: Path) -> None:
    write_transfer(tmp_path / "runs", "pos", "full")
    write_transfer(tmp_path / "runs", "pos", "linear", state="failed")
    assert archive(tmp_path / "runs", tmp_path / "kept") == {"transfer": 1}
    assert not collect_transfers(tmp_path / "kept").unfinished


def test_a_directory_of_something_else_is_not_replaced(tmp_path: Path) -> None:
    write_transfer(tmp_path / "runs", "pos", "full")
    (tmp_path / "thesis").mkdir()
    with pytest.raises(UsageError, match="is no archive"):
        archive(tmp_path / "runs", tmp_path / "thesis")
    with pytest.raises(UsageError, match="no complete run"):
        archive(tmp_path / "thesis", tmp_path / "kept")
    assert list((tmp_path / "thesis").iterdir()) == [] and not (tmp_path / "kept").exists()


def test_damaged_outcomes_are_one_line(tmp_path: Path) -> None:
    write_transfer(tmp_path / "runs", "pos", "full")
    archive(tmp_path / "runs", tmp_path / "kept")
    [path] = (tmp_path / "kept").rglob("outcomes.jsonl.gz")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(XalignError, match="damaged; make the archive again"):
        collect_transfers(tmp_path / "kept")


def test_a_grid_over_an_archive_runs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_transfer(tmp_path / "runs", "pos", "full")
    assert run(["runs", "archive", "--runs", str(tmp_path / "runs"), "--output", str(tmp_path / "kept")]) == 0
    before = sorted((tmp_path / "kept").rglob("*"))
    assert run(["grid", "run", "table1", "--runs", str(tmp_path / "kept"), "--preset", "smoke"]) == 0
    assert "nothing is run" in capsys.readouterr().out and sorted((tmp_path / "kept").rglob("*")) == before
