"""Under which circumstances a run was made: versions of libraries, state of the checkout, time."""

from __future__ import annotations

import datetime
import importlib.metadata
import subprocess
from pathlib import Path
from typing import Any

LIBRARIES = ("torch", "accelerate", "transformers", "tokenizers", "deepspeed", "safetensors", "numpy", "xalign")


def circumstances() -> dict[str, Any]:
    """What ``run.json`` records beside a run's identity; none of it enters the key."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {"versions": versions(), "git": git_state(), "created": now}


def versions() -> dict[str, str]:
    """Installed versions of the libraries that numbers depend on."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def git_state() -> dict[str, Any] | None:
    """Commit of the checkout that this package runs from and whether it was changed; None outside a checkout."""
    here = Path(__file__).resolve().parent

    def ask(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here), *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return {"commit": ask("rev-parse", "HEAD"), "dirty": bool(ask("status", "--porcelain", "--", str(here)))}
    except (OSError, subprocess.CalledProcessError):
        return None
