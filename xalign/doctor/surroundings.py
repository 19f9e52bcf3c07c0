"""What stands around an installation: optional packages, the cache, the hub."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

from xalign.doctor.finding import CONNECT_SECONDS, GB, Finding
from xalign.tracking.store import without_password

# Distribution, what it is for, and the words that install it.
OPTIONAL = (
    ("peft", "align --adapter lora", "'xalign[adapters]'"),
    ("submitit", "grid run --executor slurm", "'xalign[slurm]'"),
    ("eflomal", "realign --aligner statistical", "'xalign[statistical]'"),
    ("sentence-transformers", "benchmarks and tests", "'xalign[test]'"),
    ("torchjd", "tests of joint", "'xalign[test]'"),
    ("playwright", "tests of MLflow's page", "'xalign[test]'"),
)


def optional_packages() -> Iterator[Finding]:
    """The packages that single options need; an absent one is worth a word, not an error."""
    found, absent = [], []
    for name, purpose, source in OPTIONAL:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            absent.append((f"{name} ({purpose})", source))
    if found:
        yield Finding("optional", "ok", ", ".join(found))
    if absent:
        sources = " ".join(dict.fromkeys(source for _, source in absent))
        yield Finding("optional", "note", f"not installed: {', '.join(n for n, _ in absent)}", f"pip install {sources}")


def nearest(path: Path) -> Path:
    """The path itself where it is a directory, else the nearest one above it."""
    return next(each for each in (path.absolute(), *path.absolute().parents) if each.is_dir())


def cache() -> Finding:
    """Where derived files go; unlike a run, the doctor does not make the directory."""
    path = Path(os.environ.get("XALIGN_CACHE") or Path.home() / ".cache" / "xalign")
    if not os.access(nearest(path), os.W_OK):
        return Finding("cache", "missing", f"{path} cannot be written", "set XALIGN_CACHE to a directory of yours")
    return Finding("cache", "ok", f"{path}, {shutil.disk_usage(nearest(path)).free / GB:.0f} GB free")


def hub() -> Finding:
    """Whether models can be fetched by name."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return Finding("hub", "ok", "switched off (HF_HUB_OFFLINE): only what is cached is loaded by name")
    if hub_answers():
        return Finding("hub", "ok", f"{without_password(constants.ENDPOINT)} answers")
    return Finding("hub", "note", "cannot be reached: give models as directories", "set HF_HUB_OFFLINE=1 to save time")


def hub_answers(seconds: float = CONNECT_SECONDS) -> bool:
    """Whether the model hub is reachable. Name resolution knows no timeout, so a thread of its own waits for it."""
    from xalign import model_source

    answers: list[bool] = []
    question = threading.Thread(target=lambda: answers.append(model_source.hub_reachable()), daemon=True)
    question.start()
    question.join(seconds)
    return any(answers)
