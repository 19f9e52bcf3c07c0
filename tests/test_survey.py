"""Every command of docs/survey.md parses, and reads what an earlier one left."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from launching import REPOSITORY

from xalign.__main__ import run

TEXT = (REPOSITORY / "docs" / "survey.md").read_text(encoding="utf-8")
LINES = [line for block in re.findall(r"```bash\n(.*?)```", TEXT, re.S) for line in block.splitlines()]


def option(words: list[str], name: str) -> str:
    return words[words.index(name) + 1]


@pytest.mark.parametrize("line", LINES)
def test_a_command_of_the_survey_parses(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line)
    assert words[0] == "xalign"
    assert run([*words[1:], "--dry-run"]) == 0
    assert option(words, "--output") in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_each_run_is_made_before_it_is_read_and_has_a_place_of_its_own() -> None:
    made: dict[str, str] = {"$MODEL": "base"}
    for words in map(shlex.split, LINES):
        source, phase = option(words, "--model"), words[1]
        assert source in made, source
        assert (made[source] == "finetune") == (phase == "transfer"), words
        assert option(words, "--data") == "$DATA"
        assert option(words, "--output") not in made
        made[option(words, "--output")] = phase


def test_what_the_table_names_was_made() -> None:
    named = set(re.findall(r"`(runs/survey/[\w-]+)`", TEXT))
    outputs = {option(words, "--output") for words in map(shlex.split, LINES)}
    assert named and named <= outputs
