"""Tasks and losses that other packages add: found by their entry points, loaded when they are asked for.

    [project.entry-points."xalign.tasks"]
    ner = "my_package:Ner"

    [project.entry-points."xalign.losses"]
    D = "my_package:distance_losses"

An installed package is known to every command, launch, worker and job alike. ``docs/extending.md`` has examples.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from functools import cache
from typing import Any

from xalign.errors import UsageError

TASKS, LOSSES = "xalign.tasks", "xalign.losses"
LIKE = {"words": "pos", "sentences": "topic"}  # whose defaults hold for a task that labels these


@cache
def entries(group: str) -> dict[str, importlib.metadata.EntryPoint]:
    """What installed packages add to `group`, by name.

    Raises:
        UsageError: two packages add the same name.
    """
    found: dict[str, importlib.metadata.EntryPoint] = {}
    for entry in importlib.metadata.entry_points(group=group):
        other = found.setdefault(entry.name, entry)
        if (other.value, _package(other)) != (entry.value, _package(entry)):
            raise UsageError(
                f"{group}: {_package(other)} and {_package(entry)} both add {entry.name}; uninstall one, or rename it"
            )
    return found


def task_names() -> tuple[str, ...]:
    """Names of the tasks that packages add."""
    return tuple(sorted(entries(TASKS)))


def loss_letters() -> tuple[str, ...]:
    """Letters of the losses that packages add.

    Raises:
        UsageError: not one capital letter, or one of S, W and M.
    """
    for letter, entry in entries(LOSSES).items():
        if len(letter) != 1 or not "A" <= letter <= "Z" or letter in "SWM":
            raise UsageError(
                f"{_package(entry)} names a loss {letter!r}: take one capital letter other than S, W and M"
            )
    return tuple(sorted(entries(LOSSES)))


def load_task(name: str) -> Any:
    """The class of a task that a package adds.

    Raises:
        UsageError: there is no such task, or its class cannot be imported or does not fit its entry.
    """
    entry = entries(TASKS).get(name)
    if entry is None:
        raise UsageError(f"task {name!r} is unknown; is the package that adds it installed?")
    task = _load(entry)
    labels = getattr(task, "labels", ())
    if getattr(task, "unit", None) not in LIKE or getattr(task, "name", None) != name:
        raise UsageError(f"{entry.value}: not a WordTask or SentenceTask with name = {name!r}")
    if len(labels) < 2 or len(set(labels)) < len(labels):
        raise UsageError(f"{entry.value}: labels = {labels!r}: name at least two, each once")
    return task


def load_loss(letter: str) -> Callable[..., Any]:
    """The function of a loss that a package adds.

    Raises:
        UsageError: there is no such loss, or it cannot be imported.
    """
    if letter not in loss_letters():
        raise UsageError(f"loss {letter!r} is unknown; is the package that adds it installed?")
    found: Callable[..., Any] = _load(entries(LOSSES)[letter])
    return found


def like(task: str) -> str:
    """The task of xalign whose defaults hold for `task`: itself, or the one with the same kind of units."""
    if task in LIKE.values() or task not in entries(TASKS):
        return task
    return LIKE[load_task(task).unit]


def used(task: str | None, loss: str | None) -> dict[str, str]:
    """Package and version behind a task, and behind each letter of a loss, that packages add; mostly nothing."""
    found = {task: entries(TASKS)[task]} if task in entries(TASKS) and task not in LIKE.values() else {}
    letters = (loss or "")[6::2]
    found |= {letter: entries(LOSSES)[letter] for letter in letters if letter in entries(LOSSES)}
    return {str(name): _package(entry) for name, entry in found.items()}


def _load(entry: importlib.metadata.EntryPoint) -> Any:
    try:
        return entry.load()
    except (ImportError, AttributeError, SyntaxError) as error:
        raise UsageError(f"{entry.value} of {_package(entry)} cannot be imported ({error})") from None


def _package(entry: importlib.metadata.EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else entry.module
