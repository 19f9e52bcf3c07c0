"""The command that measures on a GPU works where there is none, on a small model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from launching import REPOSITORY, environment

RESULT = REPOSITORY / "benchmarks" / "results" / "gpu_rehearsal.json"
MEASURES = {"linear": "linear mode", "grid": "the paper's grid"}


@pytest.mark.parametrize("measure", ["linear", pytest.param("grid", marks=pytest.mark.full("takes most of a minute"))])
def test_the_gpu_benchmarks_can_be_rehearsed_on_a_cpu(measure: str, tmp_path: Path) -> None:
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "gpu.py"), "--tiny", "--only", measure]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment(), timeout=400)
    assert done.returncode == 0, done.stderr
    entries = json.loads(RESULT.read_text())
    assert [entry["measure"].split(",")[0] for entry in entries] == [MEASURES[measure]]
    names = {"measure", "ours", "theirs", "ratio", "goal", "higher_is_better", "spread", "device"}
    assert all(entry.keys() == names and entry["ratio"] > 0 for entry in entries)


def test_without_a_gpu_it_says_how_to_rehearse() -> None:
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "gpu.py")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=120)
    assert done.returncode == 1 and "--tiny" in done.stderr and "Traceback" not in done.stderr
