"""Every option of every command, taken from the commands themselves, refuses nonsense in one line; so does --set."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from fuzzing import VALUES, listing, looking
from hypothesis import given
from hypothesis import strategies as st

from xalign.__main__ import run
from xalign.cli.app import app
from xalign.config import as_dict, build, parse_assignments
from xalign.config.registry import PHASES
from xalign.errors import UsageError

NONSENSE = [
    "nonsense", "", "0", "-1", "nan", "1e309", "9" * 5000, "[/x]", "\x1b[31m", "ж" * 300, "../nowhere", "a,,b", "=",
    "no/such/place", "a\nb", "\udcff", "--", "de-de", "S9W9M9",
]  # fmt: skip
NOWHERE = "nowhere/at/all"
# What a command must be given to get as far as its options; none of these places exists, so that nothing is ever run.
SOUND = {
    "--pair": "de-en", "--task": "pos", "--output": "out", "--model": f"./{NOWHERE}", "--data": NOWHERE,
    "--runs": NOWHERE, "--languages": "deu", "--preset": "smoke",
}  # fmt: skip
ARGUMENTS = {
    "cite": ["nothing"], "config show": ["smoke"], "report": ["table1"], "runs show": [NOWHERE], 
    "runs prune": ["stale"], "runs diff": [NOWHERE, NOWHERE], "grid plan": ["align"],
    "grid run": ["align"], "grid status": ["align"],
}  # fmt: skip
# No text that leads out of the working folder: the commands would find the runs of somebody else there.
TEXT = st.text(max_size=10).filter(lambda text: "/" not in text and ".." not in text)
FIELDS = [(phase, name) for phase, config in PHASES.items() for name in config.__dataclass_fields__]


def commands(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every command of the program with its full name."""
    for name, found in group.commands.items():
        here = f"{path} {name}".strip()
        yield from commands(found, here) if hasattr(found, "commands") else [(here, found)]


COMMANDS = dict(commands(typer.main.get_command(app)))
TOO_COSTLY = {"data testbed"}  # writes a testbed where its options are sound; its own cases stand below


def valued(command: Any) -> list[str]:
    """The options of a command that take a value."""
    return [p.opts[0] for p in command.params if p.opts[0].startswith("--") and not getattr(p, "is_flag", False)]


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Run a command that cannot succeed: one line, and nothing left in the working folder."""
    before = listing(Path.cwd())
    code = run(words)
    printed = capsys.readouterr()
    if code != 0:
        assert printed.err.startswith("xalign: ") and printed.err.count("\n") == 1, printed.err
    assert code in (0, 1, 2)
    assert "Traceback" not in printed.err + printed.out
    assert listing(Path.cwd()) == before


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in TOO_COSTLY])
@given(data=st.data())
@looking(0.1)
def test_an_option_with_nonsense_is_refused(name: str, data: st.DataObject, capsys: pytest.CaptureFixture[str]) -> None:
    options = valued(COMMANDS[name])
    given_ = {option: value for option, value in SOUND.items() if option in options}
    if options:
        chosen = data.draw(st.sampled_from(options))
        given_[chosen] = data.draw(st.sampled_from(NONSENSE) | TEXT)
    if name == "doctor" or name.startswith("mlflow"):
        given_["--runs"] = NOWHERE
    words = [*name.split(), *ARGUMENTS.get(name, []), *(f"{option}={value}" for option, value in given_.items())]
    refused(words, capsys)


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
@given(value=st.sampled_from(NONSENSE) | TEXT)
@looking(0.1)
def test_an_argument_that_is_nonsense_is_refused(name: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    places = [f"--runs={NOWHERE}"] if "--runs" in valued(COMMANDS[name]) else []
    refused([*name.split(), *places, "--", *([value] * len(ARGUMENTS[name]))], capsys)


@given(words=st.lists(st.sampled_from([*COMMANDS, *NONSENSE, "--help", "-h", "--version"]) | TEXT, max_size=4))
def test_words_in_any_order_are_refused_or_explained(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    if not any(word in TOO_COSTLY | {"doctor", "advise"} for word in words):
        refused(words, capsys)


@given(data=st.data())
@looking(1.5)
def test_a_configuration_of_any_values_is_built_or_refused(data: st.DataObject) -> None:
    phase, name = data.draw(st.sampled_from(FIELDS))
    value = data.draw(VALUES | st.sampled_from(NONSENSE))
    required = {"pair": "de-en", "task": "pos", "output": "out", "model": "mini", "data": NOWHERE}
    given_ = {key: sound for key, sound in required.items() if key in PHASES[phase].__dataclass_fields__}
    try:
        config = build(PHASES[phase], "smoke", given_ | {name: value})
    except UsageError as error:
        assert len(str(error)) < 2000
        return
    json.dumps(as_dict(config), allow_nan=False, ensure_ascii=False).encode()


@given(data=st.data())
def test_an_assignment_of_any_text_is_read_or_refused(data: st.DataObject) -> None:
    phase, name = data.draw(st.sampled_from(FIELDS))
    key = data.draw(st.sampled_from([name, f"{phase}.{name}", f".{name}", f"{name}.", ""]) | st.text(max_size=8))
    value = data.draw(st.sampled_from(NONSENSE) | st.text(max_size=8))
    try:
        assert parse_assignments(phase, [f"{key}={value}"]) in ({}, {key.rpartition(".")[2]: value})
    except UsageError as error:
        assert key in str(error) or not key


def test_what_nobody_foresaw_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("by zero\nsecond line \x1b[31m")

    monkeypatch.setattr("xalign.cli.tools.show", fail)
    with pytest.raises(ZeroDivisionError):
        run(["config", "show", "smoke"])
    monkeypatch.delenv("XALIGN_TRACEBACK")
    assert run(["config", "show", "smoke"]) == 1
    line = capsys.readouterr().err
    assert line.startswith("xalign: unforeseen ZeroDivisionError at cli/tools.py:") and line.count("\n") == 1
    assert "XALIGN_TRACEBACK=1" in line and "\x1b" not in line


@pytest.mark.parametrize("seed", ["x", "-1", "9" * 30])
def test_a_testbed_needs_a_seed_that_is_one(seed: str, capsys: pytest.CaptureFixture[str]) -> None:
    refused(["data", "testbed", "--output", "out", f"--seed={seed}"], capsys)
