"""Every report by name: what it is made from, what it shows, and the function that makes it.

A new report is one line of `REPORTS`; the command line, ``all`` and the report page take it from here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from xalign.report.analyses import collect_analyses
from xalign.report.compare import compare_methods
from xalign.report.figure1 import figure1
from xalign.report.gradients import gradients
from xalign.report.langalign import langalign
from xalign.report.languages import languages
from xalign.report.predict import predict
from xalign.report.realignment import realignment
from xalign.report.records import collect_transfers
from xalign.report.render import Report
from xalign.report.stages import stages
from xalign.report.table1 import table1
from xalign.report.table2 import table2, table_c
from xalign.report.table3 import table3

Make = Callable[[Path, int | None], Report]


@dataclass(frozen=True)
class Entry:
    """One report.

    Attributes:
        make: from a runs directory and an alignment step (None: the last one) to the report.
        phases: the phases whose runs it reads; it can be made where one of them was run.
        target: what ``xalign grid run`` takes to make those runs; empty where a command of its own makes them.
        title, shows: its heading, and a sentence on what it shows.
        command: without a target, the words of that command: all but model, data and place of the run.
    """

    make: Make
    phases: tuple[str, ...]
    target: str
    title: str
    shows: str
    command: tuple[str, ...] = ()


def of_retrieval(make: Callable[..., Report], *arguments: int) -> Make:
    """A report of retrieve runs."""
    return lambda runs, step: make(collect_analyses(runs, "retrieve"), *arguments, step=step)


def of_gradients(make: Callable[..., Report]) -> Make:
    """A report of gradients runs."""
    return lambda runs, step: make(collect_analyses(runs, "gradients"), step=step)


REPORTS: dict[str, Entry] = {
    "table1": Entry(
        lambda runs, step: table1(collect_transfers(runs), step=step),
        ("transfer",),
        "table1",
        "Table 1: zero-shot transfer",
        "Mean accuracy of every encoder by task and mode, and its paired change against the unaligned base.",
    ),
    "table2": Entry(
        of_retrieval(table2),
        ("retrieve",),
        "table2",
        "Table 2: sentence retrieval",
        "How much nearer alignment brings sentences to their translations, beside what unrelated sentences gain.",
    ),
    "tableC-top5": Entry(
        of_retrieval(table_c, 5),
        ("retrieve",),
        "tableC",
        "Table C: recall at 5",
        "How much more often a translation is among the five nearest sentences of the other language.",
    ),
    "tableC-top10": Entry(
        of_retrieval(table_c, 10),
        ("retrieve",),
        "tableC",
        "Table C: recall at 10",
        "How much more often a translation is among the ten nearest sentences of the other language.",
    ),
    "figure1": Entry(
        lambda runs, step: figure1(collect_analyses(runs, "distances"), step=step),
        ("distances",),
        "figure1",
        "Figure 1: embedding distances",
        "At which layers alignment and fine-tuning bring translated sentences and words together or apart.",
    ),
    "table3": Entry(
        of_gradients(table3),
        ("gradients",),
        "table3",
        "Table 3: task against alignment gradients",
        "Whether a step that serves alignment serves the task (positive), hurts it (negative), or neither.",
    ),
    "gradients": Entry(
        of_gradients(gradients),
        ("gradients",),
        "gradients",
        "Gradients by layer and by language",
        "Where in the encoder the objectives agree, which languages pull the same way, and what one step does.",
    ),
    "predict": Entry(
        lambda runs, step: predict(runs, step=step),
        ("transfer",),
        "all",
        "Predictors of transfer, and verdicts",
        "Which measurements go along with gains in accuracy, and whether the papers' claims hold in these runs.",
    ),
    "stages": Entry(
        lambda runs, step: stages(runs),
        ("transfer", "retrieve", "distances"),
        "stages",
        "Stages of alignment",
        "How accuracy, distances and cosines move from the base over kept checkpoints to the final encoders.",
    ),
    "languages": Entry(
        lambda runs, step: languages(runs, step=step),
        ("transfer",),
        "languages",
        "All languages of the data",
        "Which languages alignment helps and harms: each of them, by script, by family, by what XLM-R has seen.",
    ),
    "compare": Entry(
        lambda runs, step: compare_methods(runs),
        ("transfer", "langalign"),
        "transfer",
        "Methods: gain and cost",
        "What every tested method gains in each language, beside the parameters, time and translations that it takes.",
    ),
    "langalign": Entry(
        lambda runs, step: langalign(runs),
        ("langalign",),
        "",
        "LangAlign: a network between encoder and head",
        "Whether a network that turns English vectors into the target language's beats simpler maps, and its cost.",
        ("langalign", "--task", "topic", "--pair", "de-en"),
    ),
    "realignment": Entry(
        lambda runs, step: realignment(runs),
        ("realign",),
        "",
        "Realignment of words",
        "How well words are aligned before realignment, after it and after fine-tuning, and whether that goes along "
        "with transfer.",
        ("realign", "--task", "pos", "--pair", "de-en"),
    ),
}
