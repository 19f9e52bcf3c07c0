"""Several machines: they train what one process trains, and none waits for one that is gone."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hosts import ADDRESSES, Hosts, two_hosts, why_not
from launching import need_compiler, run
from safetensors.torch import load_file
from tiny import tiny_data, tiny_encoder

pytestmark = pytest.mark.skipif(why_not() is not None, reason=f"no second host on this machine: {why_not()}")
WITHOUT_GRADIENT = "attention.self.key.bias"  # rounding noise, which Adam turns into steps


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    with two_hosts() as made:
        yield made


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """An alignment command without its output, dropout off."""
    root = tmp_path_factory.mktemp("inputs")
    words = ["align", "--pair", "de-en", "--loss", "S1W0M1", "--preset", "smoke", "--tracking", "none"]
    words += ["--data", str(tiny_data(root / "data")), "--model", str(tiny_encoder(root / "encoder", layers=3))]
    return [*words, "--set", "dropout=0"]


def launch(hosts: Hosts, configuration: str, words: list[str]) -> list[subprocess.Popen[str]]:
    """The command of ``accelerate_configs/multi_node.yaml`` on both hosts."""
    launcher = [sys.executable, "-m", "accelerate.commands.launch"]
    launcher += ["--config_file", f"accelerate_configs/{configuration}.yaml", "--num_machines", "2"]
    launcher += ["--num_processes", "2", "--main_process_ip", ADDRESSES[0], "--main_process_port", "29555"]
    launcher += ["--gpu_ids=-1,-1"] if configuration == "multi_node" else []
    return [
        hosts.start(number, [*launcher, "--machine_rank", str(number), "-m", "xalign", *words]) for number in range(2)
    ]


@pytest.mark.parametrize("configuration", ["multi_node", "deepspeed_zero2"])
def test_two_hosts_train_what_one_process_trains(
    hosts: Hosts, inputs: list[str], tmp_path: Path, configuration: str
) -> None:
    if configuration.startswith("deepspeed"):
        need_compiler()
    run(*inputs, "--output", tmp_path / "alone")
    for process in launch(hosts, configuration, [*inputs, "--output", str(tmp_path / "two")]):
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors[-2000:]
    recorded = json.loads((tmp_path / "two" / "environment.json").read_text())
    assert recorded["num_processes"] == 2
    first, second = (load_file(tmp_path / name / "encoder" / "model.safetensors") for name in ("alone", "two"))
    for name, tensor in first.items():
        if WITHOUT_GRADIENT not in name:
            assert (tensor - second[name]).abs().max() < 2e-5, name


@pytest.mark.parametrize("accident", ["a dead process", "a cut link"])
def test_when_a_host_is_lost_the_others_end_with_one_line_and_what_was_saved_can_be_continued(
    hosts: Hosts, inputs: list[str], tmp_path: Path, accident: str
) -> None:
    output = tmp_path / "run"
    words = [*inputs, "--output", str(output), "--set", "steps=200", "--set", "save_every=10"]
    started = launch(hosts, "multi_node", [*words, "--set", "timeout_seconds=15"])
    deadline = time.monotonic() + 200
    while not list((output / "checkpoints").glob("step-[2-9]0")) and time.monotonic() < deadline:
        time.sleep(0.1)
    if accident == "a cut link":
        hosts.cut()
    else:
        for process in [*psutil.Process(started[1].pid).children(recursive=True), psutil.Process(started[1].pid)]:
            process.kill()
    began = time.monotonic()
    _, errors = started[0].communicate(timeout=120)
    assert time.monotonic() - began < 60
    assert started[0].returncode == 1
    told = [line for line in errors.splitlines() if line.startswith("xalign: ")]
    assert len(told) == 1 and "died or cannot be reached" in told[0] and "--resume" in told[0], errors[-3000:]
    assert "xalign/engine" not in errors  # the only traceback is the launcher's own
    started[1].kill()
    started[1].communicate(timeout=60)
    assert not (output / "result.json").exists() and json.loads((output / "failed.json").read_text())["error"]
    # A checkpoint without DeepSpeed goes on at any number of processes.
    run(*words, "--resume")
    assert json.loads((output / "result.json").read_text())["resumed_from"][0] >= 20
