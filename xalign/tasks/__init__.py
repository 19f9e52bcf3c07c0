"""The downstream tasks: part-of-speech tagging and topic classification."""

from __future__ import annotations

from xalign.tasks.pos import PosTask
from xalign.tasks.topic import TopicTask

Task = PosTask | TopicTask


def make_task(name: str, *, label_on: str, pooling: str) -> Task:
    """The task of a name in `xalign.config.TASKS`; `label_on` concerns POS tagging, `pooling` topics."""
    return PosTask(label_on) if name == "pos" else TopicTask(pooling)


__all__ = ["PosTask", "Task", "TopicTask", "make_task"]
