"""Looking at runs and clearing them away: nothing is deleted that was not listed, and nothing that is being written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from synthetic import write_transfer
from typer.testing import CliRunner

from xalign.cli.app import app
from xalign.errors import UsageError, XalignError
from xalign.report.run_browsing import Removal, describe, difference, list_runs, prune, removable
from xalign.storage import locked


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A base and an aligned encoder's transfer, one more that failed, one that was interrupted."""
    write_transfer(tmp_path, "pos", "full")
    write_transfer(tmp_path, "pos", "full", "de-en", "S1W0M0")
    write_transfer(tmp_path, "topic", "full", state="failed")
    write_transfer(tmp_path, "topic", "linear", state="incomplete")
    finished = tmp_path / "finetune" / "pos" / "full" / "base"
    (finished / "result.json").write_text(json.dumps({"seconds": 12.5}))
    (finished / "encoder-seed15").mkdir()
    (finished / "encoder-seed15" / "model.safetensors").write_bytes(b"0" * 1000)
    return tmp_path


def test_every_run_is_listed_with_its_state_and_size(runs: Path) -> None:
    found = {line.name: line for line in list_runs(runs)}
    assert found["transfer/pos/full/base"].state == "complete"
    assert found["transfer/topic/full/base"].state == "failed"
    assert found["transfer/topic/linear/base"].state == "incomplete"
    line = found["finetune/pos/full/base"]
    assert line.seconds == 12.5 and line.size > 1000


def test_all_that_goes_back_to_a_run_that_was_made_again_is_stale_and_pruned_together(runs: Path) -> None:
    source = runs / "align" / "de-en" / "S1W0M0" / "run.json"
    source.write_text(json.dumps(json.loads(source.read_text()) | {"key": "another"}))
    finished = runs / "finetune" / "pos" / "full" / "de-en" / "S1W0M0"
    (finished / "result.json").write_text(json.dumps({"seconds": 1.0}))
    states = {line.name: line.state for line in list_runs(runs)}
    assert states["finetune/pos/full/de-en/S1W0M0"] == states["transfer/pos/full/de-en/S1W0M0"] == "stale"
    assert states["transfer/pos/full/base"] == "complete"
    prune(removable(runs, ["stale"]), runs)
    left = {line.name for line in list_runs(runs)}
    assert "align/de-en/S1W0M0" in left and not any("full/de-en/S1W0M0" in name for name in left)


def test_a_difference_names_options_and_results_but_not_where_they_were_written(runs: Path) -> None:
    align, other = runs / "align" / "de-en" / "S1W0M0", runs / "align" / "de-en" / "S0W1M0"
    write_transfer(runs, "pos", "full", "de-en", "S0W1M0", align={"steps": 10, "output": "elsewhere"})
    rows = {what: (a, b) for what, a, b in difference(align, other)}
    assert rows["config.steps"] == (6000, 10) and rows["config.loss"] == ("S1W0M0", "S0W1M0")
    assert "config.output" not in rows
    assert difference(align, align) == []


def test_a_description_holds_what_ended_a_run(runs: Path) -> None:
    found = describe(runs / "transfer" / "topic" / "full" / "base")
    assert found["state"] == "failed" and found["failed"]["step"] == 7


def test_pruning_deletes_what_was_listed_and_nothing_else(runs: Path) -> None:
    before = {line.name for line in list_runs(runs)}
    listed = removable(runs, ["failed", "models"])
    assert {(item.why, item.path.name) for item in listed} == {("failed", "base"), ("model", "encoder-seed15")}
    assert prune(listed, runs) == sum(item.size for item in listed)
    assert before - {line.name for line in list_runs(runs)} == {"transfer/topic/full/base"}
    finetuned = runs / "finetune" / "pos" / "full" / "base"
    assert (finetuned / "result.json").is_file() and not (finetuned / "encoder-seed15").exists()


def test_a_run_that_is_being_written_is_not_pruned(runs: Path) -> None:
    directory = runs / "transfer" / "topic" / "linear" / "base"
    with locked(directory / ".lock"), pytest.raises(UsageError, match="another process is writing"):
        prune(removable(runs, ["incomplete"]), runs)
    assert (directory / "run.json").is_file()


def test_pruning_does_not_leave_the_runs_directory(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "run.json").write_text("{}")
    (outside / "encoder").mkdir()
    with pytest.raises(XalignError, match="lies outside"):
        prune([Removal(outside / "encoder", "model", 0)], runs)
    assert (outside / "encoder").is_dir()


def test_the_command_deletes_only_when_told_to(runs: Path) -> None:
    arguments = ["runs", "prune", "failed", "--runs", str(runs)]
    said = CliRunner().invoke(app, arguments)
    assert "would be freed" in said.output and (runs / "transfer" / "topic" / "full" / "base").is_dir()
    assert " freed" in CliRunner().invoke(app, [*arguments, "--yes"]).output
    assert not (runs / "transfer" / "topic" / "full" / "base").exists()


def test_json_is_json_and_nothing_else(runs: Path) -> None:
    first = runs / "transfer" / "pos" / "full" / "base"
    for arguments in (["list", "--runs", str(runs)], ["show", str(first)], ["diff", str(first), str(first)]):
        json.loads(CliRunner().invoke(app, ["runs", *arguments, "--json"]).output)


def test_what_cannot_be_pruned_and_what_is_no_run_are_usage_errors(runs: Path) -> None:
    with pytest.raises(UsageError, match="choose from failed, incomplete, stale, checkpoints, models"):
        removable(runs, ["everything"])
    with pytest.raises(UsageError, match="not a run directory"):
        describe(runs)
    (runs / "empty").mkdir()
    with pytest.raises(UsageError, match="no run here"):
        list_runs(runs / "empty")
