"""Starting xalign as its users do: by its command line, or under a launcher."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from forking import Forks

REPOSITORY = Path(__file__).resolve().parents[1]
PLAIN = (sys.executable, "-m", "xalign")


def environment() -> dict[str, str]:
    """One thread, no GPU, no network, and the environment's own programs first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    fixed = {"PATH": path, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}
    return {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")} | fixed


def run(*arguments: object, launch: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run ``xalign ARGUMENTS`` in a fork, or under ``accelerate_configs/LAUNCH.yaml`` if given, and wait for it."""
    words = [*command(launch), *map(str, arguments)]
    if launch is None:
        done = _run_in_fork([*map(str, arguments)])
    else:
        done = subprocess.run(words, capture_output=True, text=True, cwd=REPOSITORY, env=environment(), timeout=300)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done


def _run_in_fork(words: list[str]) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        printed, said = folder / "printed.txt", folder / "said.txt"
        at = forks().start(words, folder, environment=environment(), within=REPOSITORY, printed=printed)
        return subprocess.CompletedProcess(words, forks().wait(at), printed.read_text(), said.read_text())


@functools.cache
def forks() -> Forks:
    """The process that forks for the tests of one worker; it ends with the worker, whose pipe it reads."""
    return Forks(environment())


def start(*arguments: object, launch: str | None = None) -> subprocess.Popen[str]:
    """Start ``xalign ARGUMENTS`` and return at once."""
    return subprocess.Popen(
        [*command(launch), *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        cwd=REPOSITORY, env=environment(),
    )  # fmt: skip


def kill(process: subprocess.Popen[str]) -> None:
    """SIGKILL a process and all that it started, ranks included, and wait for it."""
    import psutil

    for each in [*psutil.Process(process.pid).children(recursive=True), process]:
        each.kill()
    process.wait()


def need_compiler() -> None:
    """Skip the test where there is no C++ compiler, which DeepSpeed calls at its first use on a CPU."""
    if shutil.which(os.environ.get("CXX", "c++")) is None:
        pytest.skip("needs a C++ compiler, as DeepSpeed on a CPU and compiled layers do: none here")


def command(launch: str | None) -> list[str]:
    """The words before xalign's own arguments; the test is skipped where the launch cannot be had."""
    if launch is None:
        return list(PLAIN)
    if launch.startswith("deepspeed"):
        need_compiler()
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--main_process_port", "0"]
    return [*launcher, "--config_file", f"accelerate_configs/{launch}.yaml", "-m", "xalign"]
