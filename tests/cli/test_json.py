"""``--json`` prints JSON and nothing else, wherever a command lists or finds something."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from synthetic import write_grid

from xalign.__main__ import run
from xalign.cli import options as o
from xalign.cli.app import app
from xalign.cli.display import show_json
from xalign.config.registry import PHASES as PHASE_COMMANDS


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    write_grid(folder, tasks=("topic",), modes=("linear",), sentences=20)
    return folder


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    def call(*words: object) -> Any:
        assert run([*map(str, words), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return call


@pytest.mark.parametrize("command", ["plan", "status"])
def test_the_grid_lists_each_run_with_its_state_and_command(command: str, printed, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    found = printed("grid", command, "align", "--preset", "smoke", "--runs", tmp_path / "none")
    assert found and {"name", "phase", "state", "command"} == set(found[0])
    assert {each["state"] for each in found} == {"missing"} and all(" align " in each["command"] for each in found)


def test_a_report_gives_its_tables_as_rows(printed, runs: Path) -> None:  # type: ignore[no-untyped-def]
    for words in (("report", "table1"), ("compare",)):
        found = printed(*words, "--runs", runs, "--tracking", "none")
        assert found and all(isinstance(row, dict) for rows in found.values() for row in rows)
    assert printed("report", "table1", "--runs", runs, "--tracking", "none")["table1"][0]


def test_all_reports_say_what_was_made_and_what_is_missing(printed, runs: Path) -> None:  # type: ignore[no-untyped-def]
    found = printed("report", "all", "--runs", runs, "--tracking", "none")
    assert "table1" in found["made"] and "table3" in found["missing"] and found["page"].endswith("index.html")


def test_runs_are_listed(printed, runs: Path) -> None:  # type: ignore[no-untyped-def]
    assert len(printed("runs", "list", "--runs", runs)) > 8


PHASES = {
    "align": ("--pair", "de-en", "--loss", "S1W0M0", "--set", "steps=2"),
    "finetune": ("--task", "topic", "--mode", "linear", "--set", "epochs=1"),
    "retrieve": (),
    "distances": ("--set", "max_sentences=8"),
}


@pytest.mark.parametrize("command", PHASES)
def test_a_phase_gives_what_its_result_says(command: str, printed, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    words = (command, *PHASES[command], "--preset", "smoke", "--tracking", "none", "--output", tmp_path / "run")
    assert printed(*words, "--dry-run")["phase"] == command
    first, again = printed(*words), printed(*words)
    assert first["result"] == json.loads((tmp_path / "run" / "result.json").read_text())
    assert (first["reused"], again["reused"]) == (False, True) and first["result"] == again["result"]


def test_every_command_that_makes_a_run_offers_json() -> None:
    commands = {command.callback.__name__: command.callback for command in app.registered_commands if command.callback}
    for name in PHASE_COMMANDS.keys() - {"grid"}:
        assert o.Json in get_type_hints(commands[name], include_extras=True).values(), name


def test_json_comes_from_the_first_process_of_a_launch_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", "1")
    show_json({"a": 1})
    assert capsys.readouterr().out == ""


def test_a_preset_is_listed_value_by_value_with_its_source(printed) -> None:  # type: ignore[no-untyped-def]
    rows = printed("config", "show", "paper")
    assert {
        k: v
        for row in rows
        if (row["phase"], row["option"]) == ("align", "batch_size")
        for k, v in row.items()
        if k in ("phase", "option", "value")
    } == {"phase": "align", "option": "batch_size", "value": 32}
    assert all(row["mark"] and "source" in row for row in rows)


def test_what_would_be_deleted_and_what_was_archived(printed, runs: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    found = printed("runs", "prune", "stale", "--runs", runs)
    assert found == {"deleted": False, "size": sum(each["size"] for each in found["paths"]), "paths": found["paths"]}
    kept = printed("runs", "archive", "--runs", runs, "--output", tmp_path / "kept")
    assert kept["directory"] == str(tmp_path / "kept") and kept["runs"]["transfer"] > 0
