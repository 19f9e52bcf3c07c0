"""The launch is what was asked for, or an error."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

from xalign.config import AlignConfig
from xalign.engine import launch
from xalign.engine.training import Schedule
from xalign.errors import UsageError, XalignError


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine that says it has a GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    monkeypatch.delenv("ACCELERATE_MIXED_PRECISION", raising=False)
    return monkeypatch


@pytest.mark.parametrize(("capability", "expected"), [((7, 0), "fp16"), ((8, 0), "bf16"), ((9, 0), "bf16")])
def test_auto_precision_is_fp16_on_v100_and_bf16_on_newer_gpus(
    gpu: pytest.MonkeyPatch, capability: tuple[int, int], expected: str
) -> None:
    gpu.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert launch.resolve_precision("auto") == expected


def test_auto_precision_takes_the_launcher_s_value_on_a_gpu(gpu: pytest.MonkeyPatch) -> None:
    gpu.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    gpu.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    assert launch.resolve_precision("auto") == "fp16"


def test_on_a_cpu_auto_is_fp32_and_fp16_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("ACCELERATE_USE_DEEPSPEED", raising=False)
    assert launch.resolve_precision("auto") == "fp32"
    with pytest.raises(UsageError, match="fp16 needs a GPU"):
        launch.resolve_precision("fp16")
    assert launch.with_precision(AlignConfig(pair="de-en", output="x")).precision == "fp32"


@pytest.mark.parametrize(
    ("there", "told"), [((), "c.. is not on PATH: install"), (("c++",), "ninja is not on PATH: pip")]
)
def test_deepspeed_on_a_cpu_without_what_compiles_says_what_to_install(
    there: tuple[str, ...], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program in there:
        (tmp_path / program).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match=told):
        launch.with_precision(AlignConfig(pair="de-en", output="x"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    launch.check_compiler()  # on a GPU nothing is compiled


def test_processes_that_do_not_see_each_other_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    accelerator = launch.start("fp32")
    monkeypatch.setattr(launch, "world_size", lambda: 2)
    monkeypatch.setattr("accelerate.Accelerator", lambda **_: accelerator)
    with pytest.raises(XalignError, match="trains alone"):
        launch.start("fp32")
    monkeypatch.undo()
    launch.stop(accelerator)


def test_the_rate_rises_linearly_then_falls_linearly_to_zero() -> None:
    schedule = Schedule(steps=100, warmup=0.1)
    factors = [schedule.factor(step) for step in range(101)]
    assert max(factors) == factors[10] == 1.0
    assert factors[100] == 0.0
    rises, falls = ([b - a for a, b in itertools.pairwise(part)] for part in (factors[:11], factors[10:]))
    assert min(rises) > 0 and max(rises) == pytest.approx(min(rises))
    assert max(falls) < 0 and max(falls) == pytest.approx(min(falls))
