"""Fixtures that every part of the suite shares."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import launching
import pytest
from forking import Forks

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data beside the checkout; tests that measure on real text skip where it is missing."""
    folder = REPOSITORY.parent / "shared"
    if not (folder / "data").is_dir():
        pytest.skip("needs the folder of real data beside the checkout, which is not here")
    return folder


@pytest.fixture(autouse=True, scope="session")
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep derived files of the suite out of the user's own cache."""
    before = os.environ.get("XALIGN_CACHE")
    os.environ["XALIGN_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["XALIGN_CACHE"]
    else:
        os.environ["XALIGN_CACHE"] = before


@pytest.fixture(scope="session")
def forks() -> Forks:
    """Starts commands without importing anything anew."""
    return launching.forks()


def pytest_configure(config: pytest.Config) -> None:
    """The mark of tests that only the full suite runs."""
    config.addinivalue_line("markers", "full(why): only in the full suite, `make test-full`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked ``full``, unless kills are asked for."""
    for item in items:
        if (mark := item.get_closest_marker("full")) and not config.getoption("--kills"):
            item.add_marker(pytest.mark.skip(reason=f"{mark.args[0]}: part of the full suite, make test-full"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--kills N``: how often each command is ended, by each signal, in ``tests/kill``."""
    parser.addoption("--kills", type=int, default=0, metavar="N", help="random points for each command and signal")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the kills met, a line for each command and signal."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            found = dict(getattr(report, "user_properties", ()))
            if "signal" in found and report.when == "call":
                met = found.get("met", "FAILED")
                counts.setdefault((found["command"], found["signal"]), Counter())[str(met)] += 1
    if counts:
        terminalreporter.section("commands ended and run again")
        for (command, signal), met in sorted(counts.items()):
            each = ", ".join(f"{number} {what}" for what, number in sorted(met.items()))
            terminalreporter.write_line(f"{command:<9} {signal:<8} {sum(met.values()):>3}: {each}")
