"""The commands themselves: help, dry runs, presets."""

from __future__ import annotations

from pathlib import Path

import pytest

from xalign.__main__ import run
from xalign.cli.display import show_result
from xalign.config import preset_names
from xalign.runs import RunResult

COMMANDS = ["align", "finetune", "transfer", "pretrain", "grid plan", "grid run", "grid status", "report", "doctor"]
COMMANDS += [
    "config show",
    "data testbed",
    "data fetch",
    "data list",
    "data check",
    "mlflow sync",
    "mlflow ui",
    "advise",
    "cite",
    "embed",
    "export",
    "compare",
    "joint",
    "runs list",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_each_of_its_options(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    import typer

    from xalign.cli.app import app

    found = typer.main.get_command(app)
    for word in command.split():
        found = found.commands[word]  # type: ignore[attr-defined]
    assert all(getattr(parameter, "help", None) for parameter in found.params)
    assert run([*command.split(), "--help"]) == 0
    assert "Usage" in capsys.readouterr().out


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_can_be_shown_with_a_mark_for_each_value(
    preset: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert run(["config", "show", preset]) == 0
    lines = capsys.readouterr().out.splitlines()
    marks = ("paper", "inferred", "lineage", "chosen", "user", "measured")
    assert all(
        any(f" {mark}" in line for mark in marks) for line in lines[1:] if line.startswith(("align", "finetune"))
    )
    assert any("learning_rate" in line for line in lines)


def test_a_dry_run_shows_the_resolved_options_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["align", "--pair", "en-kk", "--preset", "paper", "--output", str(tmp_path / "run"), "--dry-run"]
    assert run([*words, "--steps", "7", "--set", "layer=12"]) == 0
    shown = capsys.readouterr().out
    assert "steps: 7" in shown and "layer: 12" in shown and "max_pairs: 80000" in shown
    assert not (tmp_path / "run").exists()


def test_the_scores_of_many_languages_are_printed_as_mean_and_extremes(capsys: pytest.CaptureFixture[str]) -> None:
    many = {f"l{number}": {"15": number / 1000, "33": number / 1000} for number in range(101)}
    show_result(RunResult(Path("run"), {"seconds": 1.0, "accuracy": many, "macro_f1": {"deu": {"15": 0.5}}}))
    shown = capsys.readouterr().out
    assert "accuracy: mean 0.050 of 101, from l0 0.000 to l100 0.100" in shown and "macro_f1: deu 0.500" in shown
