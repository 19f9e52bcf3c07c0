"""What else may befall a command: a loss that is not finite, a second writer, a tracking store that breaks, a process
that stops answering."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import psutil
import pytest
from forking import Forks
from launching import start
from tiny import tiny_data, tiny_encoder

STEPS = 24


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    root = tmp_path_factory.mktemp("inputs")
    words = ["align", "--pair", "de-en", "--loss", "S1W1M1", "--preset", "smoke", "--data", str(tiny_data(root / "d"))]
    words += ["--model", str(tiny_encoder(root / "encoder"))]
    for assignment in (f"steps={STEPS}", "save_every=4", "eval_every=8"):
        words += ["--set", assignment]
    return words


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a command says what it has to say."""
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder"


def wait_for_steps(output: Path, steps: int) -> None:
    deadline = time.monotonic() + 120
    while not (output / "metrics.jsonl").is_file() or (output / "metrics.jsonl").read_text().count('"loss"') < steps:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_loss_that_is_not_finite_stops_with_its_step_and_batch_and_keeps_what_was_saved(
    words: list[str], forks: Forks, folder: Path
) -> None:
    output = folder / "run"
    wild = [*words, "--tracking", "none", "--quiet", "--output", str(output), "--set", "learning_rate=1e30"]
    assert forks.wait(forks.start([*wild, "--set", "warmup=0", "--set", "save_every=1"], folder)) == 1
    said = (folder / "said.txt").read_text()
    assert "the loss is not finite" in said and "examples" in said and said.count("\n") == 1
    assert not (output / "result.json").exists() and not (output / "encoder").exists()
    assert json.loads((output / "failed.json").read_text())["step"] >= 1
    assert list((output / "checkpoints").glob("step-*"))


def test_a_second_writer_is_refused_and_the_first_goes_on(words: list[str], forks: Forks, folder: Path) -> None:
    output = folder / "run"
    line = [*words, "--tracking", "none", "--quiet", "--output", str(output), "--resume"]
    first = forks.start(line, folder)
    wait_for_steps(output, 1)
    (folder / "second").mkdir()
    assert forks.wait(forks.start(line, folder / "second")) == 2
    assert "another process is writing here" in (folder / "second" / "said.txt").read_text()
    assert forks.wait(first) == 0 and (output / "result.json").is_file()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "broken_at" in metafunc.fixturenames:
        everywhere = [0, 2, STEPS] if metafunc.config.getoption("--kills") else [2]
        metafunc.parametrize("broken_at", everywhere)


def test_a_tracking_store_that_breaks_costs_neither_the_run_nor_a_metric(
    broken_at: int, words: list[str], forks: Forks, folder: Path
) -> None:
    """`broken_at`: the step at which MLflow's database becomes rubbish; 0 is before the start."""
    runs = folder / "runs"
    output, store = runs / "align" / "de-en" / "S1W1M1", runs / "mlflow.db"
    runs.mkdir()
    if broken_at == 0:
        store.write_bytes(b"no database" * 1000)
    line = [*words, "--quiet", "--output", str(output)]
    pid = forks.start(line, folder)
    if broken_at:
        wait_for_steps(output, broken_at)
        store.write_bytes(b"no database" * 1000)
    assert forks.wait(pid) == 0
    said = (folder / "said.txt").read_text()
    assert "Traceback" not in said and (not broken_at or "mlflow sync" in said)
    assert (output / "result.json").is_file()
    assert (output / "metrics.jsonl").read_text().count('"loss"') == STEPS


@pytest.mark.full("takes a minute, and a lost host is tested anyway")
def test_a_process_that_stops_answering_ends_the_others_with_one_line(words: list[str], tmp_path: Path) -> None:
    output = tmp_path / "run"
    line = [*words, "--tracking", "none", "--quiet", "--output", str(output), "--set", "save_every=10"]
    line += ["--set", "steps=100000", "--set", "timeout_seconds=15"]
    launcher = start(*line, launch="multi_cpu")
    wait_for_steps(output, 12)
    *_, last = sorted(psutil.Process(launcher.pid).children(recursive=True), key=lambda process: process.pid)
    last.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    _, errors = launcher.communicate(timeout=150)
    assert time.monotonic() - began < 90 and launcher.returncode == 1
    told = [words for words in errors.splitlines() if words.startswith("xalign: ")]
    assert len(told) == 1 and "died or cannot be reached" in told[0] and "--resume" in told[0]
    assert list((output / "checkpoints").glob("step-*"))
