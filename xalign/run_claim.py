"""Whose a run's directory is: taken for a new run, continued, cleared, or refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from xalign.errors import UsageError
from xalign.storage import PARTIAL, read_record


def make_writable(directory: Path, data: str | None) -> None:
    """Make a run's directory, outside of the data directory.

    Raises:
        UsageError: it lies inside `data`, or cannot be written.
    """
    if data is not None and directory.resolve().is_relative_to(Path(data).resolve()):
        raise UsageError(f"{directory}: lies inside --data {data}, where nothing is written; choose another --output")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / ".lock").touch()
    except OSError as error:
        raise UsageError(f"{directory}: cannot be written ({error.strerror}); choose another --output") from None


def claim(directory: Path, record: dict[str, Any], *, resume: bool, overwrite: bool) -> bool:
    """Decide whether to start (false) or to continue (true) in `directory`, clearing it where that was asked for.

    Raises:
        UsageError: it holds another run, an unfinished one without `resume`, or something that is no run.
    """
    present = [path for path in directory.iterdir() if path.name != ".lock" and not path.name.startswith(PARTIAL)]
    if not present:
        return False
    if not (directory / "run.json").is_file():
        raise UsageError(f"{directory}: holds files but no run; choose an empty or new directory as --output")
    there = read_record(directory / "run.json", phase=str, key=str, config=dict, inputs=dict)
    if overwrite:
        for path in present:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        return False
    if there["key"] != record["key"]:
        raise UsageError(
            f"{directory}: holds another run ({_difference(there, record)}); use --overwrite or another --output"
        )
    if not resume:
        raise UsageError(
            f"{directory}: holds this run, unfinished; continue it with --resume or start anew with --overwrite"
        )
    return True


def _difference(there: dict[str, Any], here: dict[str, Any]) -> str:
    if there["phase"] != here["phase"]:
        return f"a {there['phase']} run"
    for name, value in here["config"].items():
        if name not in ("output", "model", "data", "resume", "overwrite") and there["config"].get(name) != value:
            return f"{name} is {there['config'].get(name)} there, {value} here"
    if there["inputs"].get("weights") != here["inputs"]["weights"]:
        return "made from another model"
    return (
        "made from other data" if there["inputs"].get("data") != here["inputs"]["data"] else "made by another version"
    )
