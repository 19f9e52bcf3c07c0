"""Ended anywhere, a command that is run again leaves what it leaves when nobody ends it.

``--kills N`` asks for N random points for each command and signal; without it, two for each command.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from signal import SIGKILL

import pytest
from forking import Forks
from kill.harness import Command, Point, Untouched, content, end_and_repeat, finish, points, untouched
from tiny import tiny_data, tiny_encoder

from xalign.storage import PARTIAL

MATRIX = ("grid.losses=S1W0M0", "grid.tasks=topic", "grid.modes=linear", "transfer.languages=deu,eng")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    root = tmp_path_factory.mktemp("inputs")
    options = ["--preset", "smoke", "--data", str(tiny_data(root / "data"))]
    return [*options, "--model", str(tiny_encoder(root / "encoder")), "--tracking", "none"]


def _settings(*assignments: str) -> list[str]:
    return [word for each in assignments for word in ("--set", each)]


def _align(inputs: list[str], _forks: Forks, _root: Path) -> Command:
    words = ["align", "--pair", "de-en", "--loss", "S1W1M1", *inputs, "--quiet", "--resume"]
    words += _settings("steps=24", "keep_steps=12", "save_every=4", "eval_every=8")
    return Command(lambda folder: [*words, "--output", str(folder / "run")])


def _finetune(inputs: list[str], _forks: Forks, _root: Path) -> Command:
    words = ["finetune", "--task", "topic", "--mode", "full", *inputs, "--quiet", "--resume"]
    words += _settings("seeds=1,2", "epochs=3", "save_every=3")
    return Command(lambda folder: [*words, "--output", str(folder / "run")])


def _grid(inputs: list[str], _forks: Forks, _root: Path) -> Command:
    words = ["grid", "run", "table1", *inputs, *_settings(*MATRIX, "align.steps=8", "align.save_every=2")]
    return Command(lambda folder: [*words, "--runs", str(folder / "runs")])


def _report(inputs: list[str], forks: Forks, root: Path) -> Command:
    made = untouched(forks, _grid(inputs, forks, root), root / "grid")
    assert made.content
    words = ["report", "all", "--tracking", "none"]
    return Command(
        lambda folder: [*words, "--runs", str(folder / "runs")],
        lambda folder: shutil.copytree(root / "grid", folder),
    )


COMMANDS: dict[str, Callable[[list[str], Forks, Path], Command]] = {
    "align": _align, "finetune": _finetune, "grid": _grid, "report": _report,
}  # fmt: skip


@pytest.fixture(scope="module")
def references(forks: Forks, inputs: list[str], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Untouched]:
    """Each command as it runs when nobody ends it, made at its first use."""
    made: dict[str, Untouched] = {}

    def reference(name: str) -> Untouched:
        if name not in made:
            root = tmp_path_factory.mktemp(name)
            made[name] = untouched(forks, COMMANDS[name](inputs, forks, root), root / "untouched")
        return made[name]

    return reference


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "point" not in metafunc.fixturenames:
        return
    number = metafunc.config.getoption("--kills")
    cases = []
    for seed, name in enumerate(COMMANDS):
        drawn = points(number or 1, seed)
        cases += [(name, point) for point in (drawn if number else drawn[:2])]
    metafunc.parametrize(
        ("name", "point"),
        cases,
        ids=[f"{name}-{point.signal.name}-{number}" for number, (name, point) in enumerate(cases)],
    )


def test_run_again_a_command_that_was_ended_leaves_what_an_untouched_one_leaves(
    name: str,
    point: Point,
    references: Callable[[str], Untouched],
    forks: Forks,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    record_property("command", name)
    record_property("signal", point.signal.name)
    record_property("met", end_and_repeat(forks, references(name), point, tmp_path / "folder"))


def test_killed_before_any_change_up_to_its_first_record_it_leaves_what_an_untouched_one_leaves(
    references: Callable[[str], Untouched], forks: Forks, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Every change with ``--kills``, else every second."""
    reference = references("align")
    met: list[str] = []
    while "while it ran" not in met:  # that is, until run.json was there
        change = len(met) * (1 if request.config.getoption("--kills") else 2)
        point = Point(SIGKILL, "change", (change + 0.5) / reference.changes)
        met.append(end_and_repeat(forks, reference, point, tmp_path / "folder"))
    assert len(met) > 2


@pytest.mark.parametrize("room", [400, 3000, 30_000])
def test_a_full_disk_is_one_line_and_costs_nothing_that_was_saved(
    room: int, references: Callable[[str], Untouched], forks: Forks, tmp_path: Path
) -> None:
    """`room`: nothing can be written; the configuration can, but no checkpoint; a checkpoint, but no encoder."""
    reference = references("align")
    folder = tmp_path / "folder"
    reference.command.prepare(folder)
    words = reference.command.words(folder)
    assert forks.wait(forks.start(words, folder, room=room)) == 1
    said = (folder / "said.txt").read_text()
    assert said.startswith("xalign: ") and "make room" in said and said.count("\n") == 1
    content(folder)
    assert not list(folder.rglob(f"{PARTIAL}*")) or room == 400
    finish(forks, words, folder)
    assert content(folder) == reference.content
