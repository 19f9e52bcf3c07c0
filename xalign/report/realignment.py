"""Realignment: how well words are aligned at each stage, and what Gaschi et al. 2023 claim of it.

Gains with intervals, beside those of every other method, stand in `xalign.report.compare`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from xalign.errors import UsageError, XalignError
from xalign.report.layout import TESTBED, data_kind, titled
from xalign.report.lineage import read_chain, read_run
from xalign.report.realignment_units import COLUMNS, realignment_rows, realignment_units
from xalign.report.render import Report, Table, Value
from xalign.runs import find_runs, state_of
from xalign.storage import read_json

STATES = ("base", "realigned", "finetuned")
RUN_COLUMNS = ("run", "encoder", *STATES, "layer", "linked words", "words measured", "dev accuracy", "seconds")


def realignment(runs: Path) -> Report:
    """Make the report of all complete realignment runs below `runs`.

    Raises:
        UsageError: `runs` is not a directory, or holds no complete realignment run.
        XalignError: a run is broken or stale, or testbed stands beside real data.
    """
    if not runs.is_dir():
        raise UsageError(f"{runs}: no such directory; --runs takes the directory that holds the runs")
    found = [(path, run) for path in find_runs(runs) if (run := read_run(path))["phase"] == "realign"]
    complete = [(path, run) for path, run in found if state_of(path) == "complete"]
    if not complete:
        raise UsageError(f"{runs}: no complete realign run here; make one with 'xalign realign'")
    for path, run in complete:
        read_chain(path)  # refuses what is stale
        if run["testbed"] != complete[0][1]["testbed"]:
            raise XalignError(f"{path}: the testbed is mixed with real data; give --runs runs of one kind")
    encoders, testbed = {run["lineage"]["encoder"] for _, run in complete}, complete[0][1]["testbed"]
    states = tuple(run_row(run, read_json(path / "result.json")) for path, run in complete)
    claims = tuple(realignment_rows(realignment_units(runs)))
    notes = (
        "1-NN accuracy (cosine) of held-out linked words at the layer of realignment, mean of both directions and "
        "seeds; every layer stands in the run's alignment.csv.",
        *(f"{state_of(path)}: {path}" for path, _ in found if state_of(path) != "complete"),
    )
    claim_notes = () if claims else ("No run was tested: give each to 'xalign transfer'.",)
    title = _title("Realignment", encoders, testbed)
    kind = data_kind(testbed)
    return Report(
        name="realignment",
        tables=(
            Table(title, RUN_COLUMNS, states, notes),
            Table(
                _title("Realignment: the claims of Gaschi et al. 2023", encoders, testbed), COLUMNS, claims, claim_notes
            ),
        ),
        data={
            "realignment": Table(title, (*RUN_COLUMNS, "data"), tuple((*row, kind) for row in states)),
            "realignment-claims": Table(title, (*COLUMNS, "data"), tuple((*row, kind) for row in claims)),
        },
    )


def _title(text: str, encoders: set[str], testbed: bool) -> str:
    """A table's title; where several encoders stand in it, its rows name them."""
    if len(encoders) == 1:
        return titled(text, next(iter(encoders)), testbed)
    return text + (f" · {TESTBED}" if testbed else "")


def run_row(run: dict[str, Any], result: dict[str, Any]) -> tuple[Value, ...]:
    """The line of one run."""
    scores = list(result["dev_accuracy"].values())
    return (
        *(run["name"].removeprefix("realign/"), run["lineage"]["encoder"]),
        *(result["alignment"].get(state) for state in STATES),
        *(result["layer"], result["links"], result["measured_words"]),
        *(float(np.mean(scores)), round(result["seconds"])),
    )
