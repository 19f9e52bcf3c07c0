"""xalign: align multilingual encoders, measure what alignment did, and find out whether it helps your task.

The phases are functions: ``from xalign import AlignConfig, align``. Names are imported on first use, so that
``import xalign`` stays instant.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from xalign import usage_data

if TYPE_CHECKING:
    from xalign.config import (
        AdviseConfig,
        AlignConfig,
        CalibrateConfig,
        DistancesConfig,
        FinetuneConfig,
        GradientsConfig,
        JointConfig,
        LangalignConfig,
        PretrainConfig,
        RealignConfig,
        RetrieveConfig,
        TransferConfig,
    )
    from xalign.errors import UsageError, XalignError
    from xalign.phases.advise import advise
    from xalign.phases.align import align
    from xalign.phases.calibrate import calibrate
    from xalign.phases.distances import distances
    from xalign.phases.finetune import finetune
    from xalign.phases.gradients import gradients
    from xalign.phases.joint import joint
    from xalign.phases.langalign import langalign
    from xalign.phases.pretrain import pretrain
    from xalign.phases.realign import realign
    from xalign.phases.retrieve import retrieve
    from xalign.phases.transfer import transfer
    from xalign.runs import RunResult

usage_data.send_none()

_HOMES = {
    "AdviseConfig": "xalign.config",
    "AlignConfig": "xalign.config",
    "CalibrateConfig": "xalign.config",
    "DistancesConfig": "xalign.config",
    "FinetuneConfig": "xalign.config",
    "GradientsConfig": "xalign.config",
    "JointConfig": "xalign.config",
    "LangalignConfig": "xalign.config",
    "PretrainConfig": "xalign.config",
    "RealignConfig": "xalign.config",
    "RetrieveConfig": "xalign.config",
    "TransferConfig": "xalign.config",
    "RunResult": "xalign.runs",
    "UsageError": "xalign.errors",
    "XalignError": "xalign.errors",
    "advise": "xalign.phases.advise",
    "align": "xalign.phases.align",
    "calibrate": "xalign.phases.calibrate",
    "distances": "xalign.phases.distances",
    "finetune": "xalign.phases.finetune",
    "gradients": "xalign.phases.gradients",
    "joint": "xalign.phases.joint",
    "langalign": "xalign.phases.langalign",
    "pretrain": "xalign.phases.pretrain",
    "realign": "xalign.phases.realign",
    "retrieve": "xalign.phases.retrieve",
    "transfer": "xalign.phases.transfer",
}

__all__ = [
    "AdviseConfig",
    "AlignConfig",
    "CalibrateConfig",
    "DistancesConfig",
    "FinetuneConfig",
    "GradientsConfig",
    "JointConfig",
    "LangalignConfig",
    "PretrainConfig",
    "RealignConfig",
    "RetrieveConfig",
    "RunResult",
    "TransferConfig",
    "UsageError",
    "XalignError",
    "advise",
    "align",
    "calibrate",
    "distances",
    "finetune",
    "gradients",
    "joint",
    "langalign",
    "pretrain",
    "realign",
    "retrieve",
    "transfer",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
