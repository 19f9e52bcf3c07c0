"""The phases, each a function from its configuration to a `RunResult`."""

from __future__ import annotations

import importlib
from typing import Any

from xalign.runs import RunResult

NAMES = (
    "align", "finetune", "transfer", "pretrain", "retrieve", "distances", "gradients", "calibrate", "langalign",
    "realign", "joint", "advise",
)  # fmt: skip


def run_phase(phase: str, config: Any) -> RunResult:
    """Run one of `NAMES`; its module is imported now and not before."""
    result: RunResult = getattr(importlib.import_module(f"xalign.phases.{phase}"), phase)(config)
    return result
