"""Stages: accuracy, distances and cosines of the base, of the kept alignment checkpoints, and of the final encoders."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xalign.config import LOSSES
from xalign.errors import UsageError
from xalign.report import consistency
from xalign.report.analyses import Analysis, collect_analyses
from xalign.report.averages import BASE_MODEL, Model, Spread, mean, spread
from xalign.report.distance_study import LEVELS, study_distances
from xalign.report.figures import LOSS_COLOURS, EndLabel, error_bar, label_ends, panels
from xalign.report.layout import MODES, PAIR_ORDER, TASKS, data_kind, rank, titled
from xalign.report.records import TransferRecord, collect_transfers
from xalign.report.render import Drawing, Report, Table, Value
from xalign.report.retrieval import COSINE, SEPARATION, main_layer, recall, study_retrieval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Measured = dict[tuple[str, int], dict[Model, float]]
"""A value for each model, by measure and alignment step; the base stands at step 0."""
COLUMNS = ("measure", "loss", "align_step", "mean", "range_low", "range_high", "models", "encoder", "data")


@dataclass(frozen=True)
class Stages:
    """Everything that was measured at several stages; `absent` says in words what was not."""

    measured: Measured
    encoder: str
    testbed: bool
    absent: list[str]

    @property
    def steps(self) -> list[int]:
        """Alignment steps, the base's 0 among them."""
        return sorted({step for _, step in self.measured})

    @property
    def measures(self) -> list[str]:
        """Names of the measures, in the order in which they were read."""
        return list(dict.fromkeys(name for name, _ in self.measured))

    @property
    def pairs(self) -> list[str]:
        """Alignment pairs, in the paper's order."""
        found = {pair for values in self.measured.values() for pair, _ in values if pair != BASE_MODEL[0]}
        return sorted(found, key=lambda pair: rank(pair, PAIR_ORDER))

    def cell(self, measure: str, loss: str, step: int) -> Spread | None:
        """Mean and range over the models of a configuration; at step 0 the base."""
        values = self.measured.get((measure, step), {})
        of = BASE_MODEL[1] if step == 0 else loss
        return spread(value for (_, found), value in values.items() if found == of)


def stages(runs: Path) -> Report:
    """Table 1, distances and cosines by alignment step.

    Raises:
        UsageError: nothing was measured.
        XalignError: runs that cannot be compared.
    """
    found = collect_stages(runs)
    title = titled("Stages of alignment", found.encoder, found.testbed)
    tables = [measure_table(found, measure) for measure in found.measures]
    aligned = [step for step in found.steps if step]
    lines = [
        "Step 0 is the base. Means over aligned models; the range over them is in the CSV and drawn in the figure.",
        *found.absent,
    ]
    if len(aligned) < 2:
        only = f"of step {aligned[0]} alone" if aligned else "before alignment alone"
        lines.append(
            f"There are runs {only}, so this shows no stages between. Kept checkpoints are encoders too: "
            "give runs/align/PAIR/LOSS/encoder-stepN as --model to finetune, retrieve and distances."
        )
    caption = "One panel a measure, one line a configuration, from the base at 0; bars are the range over models."
    figures = (Drawing("stages", title, caption, partial(draw_stages, found)),) if aligned else ()
    notes = Table("Notes", (), (), tuple(lines))
    return Report("stages", (*tables, notes), {"stages": data(found)}, figures, leading=0)


def collect_stages(runs: Path) -> Stages:
    """Read what was measured at every step below `runs`."""
    measured: Measured = {}
    absent: list[str] = []
    origin: list[tuple[str, bool]] = []
    readers: dict[str, Callable[[Path, Measured], tuple[str, bool]]] = {
        "accuracies": read_accuracies,
        "distances": read_distances,
        "cosines": read_retrieval,
    }
    for name, read in readers.items():
        try:
            origin.append(read(runs, measured))
        except UsageError:
            absent.append(f"No complete runs of {name} here.")
    if not origin:
        raise UsageError(f"{runs}: nothing to show stages of; make runs with 'xalign grid run all --runs {runs}'")
    return Stages(measured, *origin[0], absent)


def each_step(records: Iterable[Analysis | TransferRecord]) -> list[int] | list[None]:
    """The alignment steps that there are; None where there is only the base."""
    return sorted({r.align_step for r in records if r.align_step is not None}) or [None]


def read_accuracies(runs: Path, measured: Measured) -> tuple[str, bool]:
    """Mean accuracy over languages and seeds, of each block at each step."""
    transfers = collect_transfers(runs)
    for step in each_step(transfers.complete):
        selected, _ = consistency.select_step(transfers, step)
        consistency.require_comparable(selected.complete)
        found: dict[tuple[str, int], dict[Model, list[float]]] = defaultdict(lambda: defaultdict(list))
        for record in selected.complete:
            block = f"accuracy: {TASKS.get(record.cell.task, record.cell.task)}, {MODES[record.cell.mode]}"
            accuracy = float(np.mean([outcomes.accuracy.mean() for outcomes in record.outcomes.values()]))
            found[block, record.align_step or 0][record.cell.pair, record.cell.loss].append(accuracy)
        for place in sorted(found):
            measured[place] = {model: float(np.mean(values)) for model, values in found[place].items()}
    if not transfers.complete:
        raise UsageError(f"{runs}: no complete transfer run")
    return transfers.complete[0].encoder, transfers.complete[0].testbed


def read_distances(runs: Path, measured: Measured) -> tuple[str, bool]:
    """Mean distances of encoders that were not fine-tuned, at the main layer and the last, at each step."""
    analyses = collect_analyses(runs, "distances")
    for step in each_step(analyses.complete):
        study = study_distances(analyses, step)
        last = study.layers[-1]
        for level in study.levels:
            for layer in (k for k in study.layers if k in (main_layer(last), last)):
                for state in ("base", "aligned"):
                    name = f"cosine distance of {LEVELS[level]}, hidden_states[{layer}]"
                    pairs = study.language_pairs(level)
                    for model, values in study.values(level, layer, state, "distance").items():
                        put(measured, name, step if state == "aligned" else 0, model, mean(values[p] for p in pairs))
    return analyses.complete[0].encoder, analyses.complete[0].testbed


def read_retrieval(runs: Path, measured: Measured) -> tuple[str, bool]:
    """Mean cosine, separation and recall over all language pairs at the main layer, at each step."""
    analyses = collect_analyses(runs, "retrieve")
    for step in each_step(analyses.complete):
        study = study_retrieval(analyses, step)
        for measure, name in ((COSINE, "mean cosine"), (SEPARATION, "separation"), (recall(1), "recall at 1")):
            for model, values in study.values(measure).items():
                value = mean(values[pair] for pair in study.language_pairs)
                put(measured, f"{name}, hidden_states[{study.layer}]", 0 if model == BASE_MODEL else step, model, value)
    return analyses.complete[0].encoder, analyses.complete[0].testbed


def put(measured: Measured, name: str, step: int | None, model: Model, value: float | None) -> None:
    """Keep a value that exists."""
    if value is not None and step is not None:
        measured.setdefault((name, step), {})[model] = value


def measure_table(found: Stages, measure: str) -> Table:
    """A row a step, the configurations as columns."""
    rows: list[tuple[Value, ...]] = []
    for step in found.steps:
        cells = [found.cell(measure, loss, step) for loss in LOSSES]
        if any(cells):
            rows.append((f"{step:,}", *(None if cell is None else f"{cell.mean:.3f}" for cell in cells)))
    return Table(titled(f"Stages: {measure}", found.encoder, found.testbed), ("step", *LOSSES), tuple(rows))


def data(found: Stages) -> Table:
    """One line a measure, configuration and step; the base once, at step 0."""
    rows: list[tuple[Value, ...]] = []
    for measure in found.measures:
        for step in found.steps:
            for loss in LOSSES if step else (BASE_MODEL[1],):
                if (cell := found.cell(measure, loss, step)) is not None:
                    numbers = (cell.mean, cell.low, cell.high, cell.models)
                    rows.append((measure, loss, step, *numbers, found.encoder, data_kind(found.testbed)))
    return Table(titled("Stages", found.encoder, found.testbed), COLUMNS, tuple(rows))


def draw_stages(found: Stages) -> Figure:
    """A panel a measure: each configuration from the base at step 0 on."""
    columns = min(4, len(found.measures))
    figure, axes = panels(-(-len(found.measures) // columns), columns, 2.7, 2.1)
    for panel, measure in zip(axes, found.measures, strict=False):
        labels = []
        for loss in LOSSES:
            points = [(step, cell) for step in found.steps if (cell := found.cell(measure, loss, step)) is not None]
            if len(points) < 2:
                continue
            for step, cell in points[1:]:
                if cell.models > 1:
                    error_bar(panel, step, cell.mean, cell.low, cell.high, LOSS_COLOURS[loss])
            panel.plot([step for step, _ in points], [c.mean for _, c in points], "-o", color=LOSS_COLOURS[loss])
            labels.append(EndLabel(points[-1][0], points[-1][1].mean, loss, LOSS_COLOURS[loss]))
        what, _, where = measure.partition(", ")
        panel.set_title(f"{what},\n{where}" if where else what)
        panel.set_xticks(found.steps, [f"{step:,}" for step in found.steps])
        panel.set_xlabel("alignment steps")
        label_ends(panel, labels, room=0.55)
    for panel in axes[len(found.measures) :]:
        panel.set_visible(False)
    return figure
