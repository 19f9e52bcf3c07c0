"""xalign: align multilingual encoders, measure what alignment did, and find out whether it helps your task.

The phases are functions: ``from xalign import AlignConfig, align``. Names are imported on first use, so that
``import xalign`` stays instant.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xalign.config import AlignConfig, FinetuneConfig, PretrainConfig, TransferConfig
    from xalign.errors import UsageError, XalignError
    from xalign.phases.align import align
    from xalign.phases.finetune import finetune
    from xalign.phases.pretrain import pretrain
    from xalign.phases.transfer import transfer
    from xalign.runs import RunResult

_HOMES = {
    "AlignConfig": "xalign.config",
    "FinetuneConfig": "xalign.config",
    "PretrainConfig": "xalign.config",
    "TransferConfig": "xalign.config",
    "UsageError": "xalign.errors",
    "XalignError": "xalign.errors",
    "align": "xalign.phases.align",
    "finetune": "xalign.phases.finetune",
    "pretrain": "xalign.phases.pretrain",
    "transfer": "xalign.phases.transfer",
    "RunResult": "xalign.runs",
}

__all__ = [
    "AlignConfig",
    "FinetuneConfig",
    "PretrainConfig",
    "RunResult",
    "TransferConfig",
    "UsageError",
    "XalignError",
    "align",
    "finetune",
    "pretrain",
    "transfer",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
