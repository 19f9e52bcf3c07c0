"""Grids as jobs of a real SLURM on this machine: same results, preemption without loss, failures told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from launching import REPOSITORY, environment, run
from safetensors.torch import load_file
from slurm_cluster import slurm, why_not
from tiny import tiny_data, tiny_encoder

from xalign.errors import UsageError
from xalign.grid.slurm import GridTask, parse_options

here = pytest.mark.skipif(why_not() is not None, reason=f"no SLURM on this machine: {why_not()}")
ACCELERATE = f"{sys.executable} -m accelerate.commands.launch"
ONE = ("--set", "grid.pairs=de-en", "--set", "grid.losses=S1W0M0")
LONG = (*ONE, "--set", "align.steps=300", "--set", "align.save_every=1000")  # no save but that of the interruption


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with slurm(tmp_path_factory.mktemp("slurm")):
        yield


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command line of a grid on tiny data, without its runs directory."""
    root = tmp_path_factory.mktemp("inputs")
    words = ["--preset", "smoke", "--data", str(tiny_data(root / "data")), "--tracking", "none"]
    return [*words, "--model", str(tiny_encoder(root / "encoder", layers=3))]


def test_options_are_numbers_or_words_and_what_xalign_decides_is_refused() -> None:
    assert parse_options(["partition=gpu", "time=90"]) == {"partition": "gpu", "time": 90}
    for text in ("partition", "nodes=2", "array_parallelism=3"):
        with pytest.raises(UsageError, match=f"--slurm {text}"):
            parse_options([text])


def test_the_options_of_one_executor_are_refused_with_the_other(grid: list[str], tmp_path: Path) -> None:
    for extra, told in (
        (("--slurm", "time=5"), "needs --executor slurm"),
        (("--executor", "cloud"), "choose from local, slurm"),
        (("--executor", "slurm", "--slurm", "colour=red"), "colour"),
    ):
        if why_not() is None or "colour" not in told:
            done = run("grid", "run", "align", *grid, "--runs", tmp_path / "runs", *extra, check=False)
            assert done.returncode == 2 and told in done.stderr and "Traceback" not in done.stderr


def test_a_warning_ends_the_command_by_sigterm_after_it_has_saved(tmp_path: Path) -> None:
    program = f"""
import pathlib, signal, sys, time
def save(*_):
    time.sleep(0.5)
    pathlib.Path({str(tmp_path / "saved")!r}).touch()
    sys.exit(7)
signal.signal(signal.SIGTERM, save)
pathlib.Path({str(tmp_path / "ready")!r}).touch()
time.sleep(60)
"""
    task = GridTask([sys.executable, "-c", program])
    codes: list[str] = []

    def call() -> None:
        try:
            task()
        except RuntimeError as error:
            codes.append(str(error))

    runner = threading.Thread(target=call)
    runner.start()
    while not (tmp_path / "ready").exists():
        time.sleep(0.02)
    os.kill(task.child.pid, signal.SIGUSR2)  # SLURM signals the command too, which must not die of it
    again = task.checkpoint()
    assert (tmp_path / "saved").exists()
    runner.join(timeout=20)
    assert codes and codes[0].startswith("ended with code 7")
    assert again.function.command == task.command and again.function.child is None


@here
def test_a_grid_on_slurm_gives_the_runs_that_it_gives_here(cluster: None, grid: list[str], tmp_path: Path) -> None:
    for name, extra in (("local", ()), ("slurm", ("--executor", "slurm", "--slurm", "time=10"))):
        run("grid", "run", "transfer", *grid, *ONE, "--set", "grid.tasks=topic", "--set", "grid.modes=linear",
            "--runs", tmp_path / name, *extra)  # fmt: skip
    local, remote = (
        {path.relative_to(tmp_path / name): json.loads(path.read_text())
         for path in sorted((tmp_path / name).rglob("result.json"))} for name in ("local", "slurm")
    )  # fmt: skip
    assert local.keys() == remote.keys() and len(local) == 5
    for path, result in local.items():
        for key in ("accuracy", "validation", "dev_accuracy"):
            assert result.get(key) == remote[path].get(key), path
    again = run("grid", "run", "transfer", *grid, *ONE, "--set", "grid.tasks=topic", "--set", "grid.modes=linear",
                "--runs", tmp_path / "slurm", "--executor", "slurm")  # fmt: skip
    assert "0 of 5 runs to make" in again.stdout


@pytest.fixture(scope="module")
def whole(grid: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs of an alignment that nothing interrupts."""
    runs = tmp_path_factory.mktemp("whole")
    run("grid", "run", "align", *grid, *LONG, "--runs", runs)
    return runs


@here
@pytest.mark.parametrize("interruption", ["preemption", "time limit"])
def test_an_interrupted_job_is_queued_again_and_ends_in_the_same_weights(
    cluster: None, grid: list[str], whole: Path, tmp_path: Path, interruption: str
) -> None:
    words = ["grid", "run", "align", *grid, *LONG, "--runs", tmp_path, "--executor", "slurm"]
    outcome: list[subprocess.CompletedProcess[str]] = []
    head = threading.Thread(target=lambda: outcome.append(run(*words, check=False)))
    head.start()
    directory = tmp_path / "align" / "de-en" / "S1W0M0"
    _wait(lambda: (directory / "metrics.jsonl").is_file())
    identifier = subprocess.check_output(["squeue", "--me", "--noheader", "--format=%A"], text=True).split()[0]
    if interruption == "preemption":
        subprocess.run(["scontrol", "requeue", identifier], check=True)
    else:  # what SLURM sends ahead of the limit
        subprocess.run(["scancel", "--signal=USR2", identifier], check=True)
    head.join(timeout=200)
    assert outcome and outcome[0].returncode == 0, outcome
    assert json.loads((directory / "result.json").read_text())["resumed_from"]
    first, second = (
        load_file(runs / "align" / "de-en" / "S1W0M0" / "encoder" / "model.safetensors") for runs in (whole, tmp_path)
    )
    assert all((first[name] == second[name]).all() for name in first)


@here
def test_the_batch_script_saves_when_its_time_ends_is_queued_again_and_goes_on(
    cluster: None, grid: list[str], tmp_path: Path
) -> None:
    script = (REPOSITORY / "docs" / "slurm.sh").read_text()
    for ours, here in (  # one node of two CPUs in place of eight GPUs
        ("--nodes=2", "--nodes=1"), ("#SBATCH --gpus-per-node=4", "#SBATCH --output=log"),
        ("--cpus-per-task=16", "--cpus-per-task=2"), ("exec accelerate launch", f"exec {ACCELERATE} --gpu_ids=-1,-1"),
        ("accelerate_configs/", f"{REPOSITORY}/accelerate_configs/"), ("GPUS_PER_NODE:-1", "GPUS_PER_NODE:-2"),
    ):  # fmt: skip
        assert ours in script
        script = script.replace(ours, here)
    (tmp_path / "job.sh").write_text(script)
    words = ["--pair", "de-en", "--loss", "S1W0M0", *grid, "--set", "steps=300", "--set", "save_every=1000"]
    submitted = subprocess.run(
        ["sbatch", "--parsable", "job.sh", *words, "--output", "run"], cwd=tmp_path, env=environment(),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    _wait(lambda: (tmp_path / "run" / "metrics.jsonl").is_file())
    subprocess.run(["scancel", "--batch", "--signal=TERM", submitted.stdout.strip()], check=True)
    _wait(lambda: (tmp_path / "run" / "result.json").is_file())
    assert json.loads((tmp_path / "run" / "result.json").read_text())["resumed_from"]
    assert json.loads((tmp_path / "run" / "environment.json").read_text())["num_processes"] == 2


@here
def test_a_job_that_fails_says_why_and_where_its_log_is(cluster: None, grid: list[str], tmp_path: Path) -> None:
    words = ["grid", "run", "align", *grid, *ONE, "--set", "align.learning_rate=1e30", "--runs", tmp_path / "runs"]
    done = run(*words, "--executor", "slurm", check=False)
    assert done.returncode == 1
    assert "the loss is not finite" in done.stderr and "_log.err" in done.stderr and "Traceback" not in done.stderr


def _wait(until: object) -> None:
    deadline = time.monotonic() + 120
    while not until():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)
