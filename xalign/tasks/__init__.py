"""The downstream tasks: part-of-speech tagging, topic classification, and those that other packages add.

A task is a class: a `WordTask` or a `SentenceTask` with a name, labels, and where its data are. All else (training,
heads, transfer, gradients) asks for what it labels, words or sentences, and not for its name.
"""

from __future__ import annotations

from xalign.extensions import load_task
from xalign.tasks.pos import PosTask
from xalign.tasks.sentences import SentenceTask
from xalign.tasks.topic import TopicTask
from xalign.tasks.words import WordTask

Task = WordTask | SentenceTask
TASKS: dict[str, type[WordTask] | type[SentenceTask]] = {task.name: task for task in (PosTask, TopicTask)}


def make_task(name: str, *, label_on: str, pooling: str) -> Task:
    """The task of a name; `label_on` concerns tasks that label words, `pooling` those that label sentences.

    Raises:
        UsageError: no installed package adds this task, or what it adds does not fit.
    """
    task: type[Task] = TASKS[name] if name in TASKS else load_task(name)
    return task(label_on if task.unit == "words" else pooling)


__all__ = ["TASKS", "PosTask", "SentenceTask", "Task", "TopicTask", "WordTask", "make_task"]
