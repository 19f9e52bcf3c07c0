"""``--json`` prints JSON and nothing else, wherever a command lists or finds something."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from synthetic import write_grid

from xalign.__main__ import run


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
