"""What the doctor says about one thing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "missing"]
CONNECT_SECONDS = 3.0
GB = 1e9


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        topic: what it is about, one or two words.
        state: ``missing`` only for what was asked for or what no run can do without; ``note`` for what may surprise.
        text: what was found.
        advice: what to do; empty where nothing is needed.
    """

    topic: str
    state: State
    text: str
    advice: str = ""
