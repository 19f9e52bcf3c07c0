"""Results of retrieve, distances and gradients runs, read from run directories and nothing else.

Each of these runs leaves CSV files; a record holds their lines, typed and checked, and says which encoder they are
about. Half-finished runs are listed and never used.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xalign.errors import UsageError, XalignError
from xalign.naming import BASE
from xalign.report.consistency import grouped, require_equal, require_same_data, require_same_options
from xalign.report.lineage import Chain, read_chain, read_run
from xalign.report.records import UNALIGNED
from xalign.runs import find_runs, state_of
from xalign.storage import naming_damage, read_json

Line = dict[str, Any]

RETRIEVAL = (
    *("source", "target", "layer", "mean_cosine", "mean_cosine_nontranslation", "separation"),
    *("recall_at_1", "recall_at_5", "recall_at_10", "nn_weak", "nn_strong", "nn_weak_csls", "margin", "auc", "xsim"),
)
DISTANCES = (
    *("level", "source", "target", "layer", "model_state", "distance", "nontranslation", "normalised", "low", "high"),
)
GRADIENTS = (
    *("view", "first", "second", "group", "cosine", "low", "high", "r_first", "r_second", "noise_ceiling"),
    *("cosine_corrected", "norm_first", "norm_second", "magnitude_similarity", "reach"),
)
LOOKAHEAD = ("task", "loss", "language", "step_size", "loss_before", "loss_after", "change", "low", "high")
FILES: dict[str, dict[str, tuple[str, ...]]] = {
    "retrieve": {
        "retrieval": RETRIEVAL,
        "retrieval-centred": RETRIEVAL,
        "graded": ("source", "target", "layer", "rho_weak"),
    },
    "distances": {"distances": DISTANCES, "distances-centred": DISTANCES, "distances-unseen": DISTANCES},
    "gradients": {"gradients": GRADIENTS, "updates": GRADIENTS, "lookahead": LOOKAHEAD},
}
"""The columns of each file of each phase. The first file of a phase must be there and hold lines, others need not."""
TEXT = {"source", "target", "level", "model_state", "view", "first", "second", "group", "task", "loss", "language"}
GRIDS = {"retrieve": "table2", "distances": "figure1", "gradients": "table3"}


@dataclass(frozen=True)
class Analysis:
    """One complete analysis of one encoder; `lines` maps a file's name to its lines, None for an empty field.

    The unaligned encoder has the pair `BASE` and the loss `UNALIGNED`. `task` is None for an encoder itself, else the
    task that it was fine-tuned on (distances) or whose gradients were taken (gradients).
    """

    directory: Path
    encoder: str
    pair: str
    loss: str
    task: str | None
    align_seed: int | None
    align_step: int | None
    testbed: bool
    created: str
    lines: Mapping[str, list[Line]]
    chain: Chain

    @property
    def aligned(self) -> bool:
        """Whether the encoder was aligned."""
        return self.pair != BASE

    @property
    def depth(self) -> int:
        """The last layer that the file names."""
        return max(int(line["layer"]) for lines in self.lines.values() for line in lines if "layer" in line)

    def __str__(self) -> str:
        return f"{self.task or 'encoder'}/{self.pair}" + (f"/{self.loss}" if self.aligned else "")


@dataclass(frozen=True)
class Unfinished:
    """A run without a result: `state` is 'failed' or 'incomplete' (running, or interrupted)."""

    directory: Path
    state: str
    error: str = ""

    def __str__(self) -> str:
        return f"{self.state}: {self.directory}" + (f" ({self.error.splitlines()[0]})" if self.error else "")


@dataclass(frozen=True)
class Analyses:
    """The runs of one phase below a runs directory."""

    complete: list[Analysis] = field(default_factory=list)
    unfinished: list[Unfinished] = field(default_factory=list)


def collect_analyses(runs: Path, phase: str) -> Analyses:
    """Read every run of 'retrieve', 'distances' or 'gradients' below `runs`.

    Raises:
        UsageError: `runs` is not a directory, or holds no complete run of that phase.
        XalignError: a file is broken, or a run is stale.
    """
    if not runs.is_dir():
        raise UsageError(f"{runs}: no such directory; --runs takes the directory that holds the runs")
    found = Analyses()
    for directory in find_runs(runs):
        run = read_run(directory)
        if run["phase"] != phase or run["lineage"].get("method"):  # the paper's tables have no place for methods
            continue
        state = state_of(directory)
        if state == "complete":
            with naming_damage(directory):
                found.complete.append(read_analysis(directory, run))
        else:
            error = read_json(directory / "failed.json").get("error", "") if state == "failed" else ""
            found.unfinished.append(Unfinished(directory, state, str(error)))
    if not found.complete:
        unfinished = f", and {len(found.unfinished)} unfinished" if found.unfinished else ""
        raise UsageError(
            f"{runs}: no complete {phase} run here{unfinished}; "
            f"make them with 'xalign grid run {GRIDS[phase]} --runs {runs}'"
        )
    return found


def read_analysis(directory: Path, run: dict[str, Any]) -> Analysis:
    """One complete run.

    Raises:
        XalignError: a file is missing or broken, or the run is stale.
    """
    lineage, files = run["lineage"], FILES[run["phase"]]
    present = [name for name in files if (directory / f"{name}.csv").is_file() or name == next(iter(files))]
    return Analysis(
        directory=directory,
        encoder=lineage["encoder"],
        pair=lineage.get("pair") or BASE,
        loss=lineage.get("loss") or UNALIGNED,
        task=lineage.get("task"),
        align_seed=lineage.get("align_seed"),
        align_step=lineage.get("align_step"),
        testbed=run["testbed"],
        created=str(run.get("created", "")),
        lines={name: read_lines(directory / f"{name}.csv", files[name], needed=name == present[0]) for name in present},
        chain=read_chain(directory),
    )


def read_lines(path: Path, columns: tuple[str, ...], *, needed: bool = True) -> list[Line]:
    """The lines of a CSV file with numbers as floats; columns beyond the known ones stay text.

    Raises:
        XalignError: no file, a missing column, no line where lines are `needed`, or, with file and line, a value that
            is no finite number.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            if missing:
                raise XalignError(f"{path}:1: lacks the column {missing[0]}; make the run again with --overwrite")
            lines = [
                {name: value_of(path, reader.line_num, name, text, columns) for name, text in row.items()}
                for row in reader
            ]
    except FileNotFoundError:
        raise XalignError(f"{path}: missing beside a result.json; make the run again with --overwrite") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise XalignError(f"{path}: not a readable table ({error}); make the run again with --overwrite") from None
    if needed and not lines:
        raise XalignError(f"{path}: no line of results; make the run again with --overwrite")
    return lines


def value_of(path: Path, number: int, name: str, text: str | None, columns: tuple[str, ...]) -> Any:
    """One field: text, a finite number, or None where it is empty."""
    if name in TEXT or name not in columns or not text:
        return text or None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise XalignError(f"{path}:{number}: {name} is {text!r}, not a finite number; make the run again")
    return value


def select_step(analyses: Analyses, step: int | None) -> tuple[list[Analysis], list[int]]:
    """Keep the base and the encoders of one alignment step (None: the last one found); also the steps left out.

    Raises:
        UsageError: no run has the step that was asked for.
    """
    steps = {record.align_step for record in analyses.complete if record.align_step is not None}
    if step is not None and step not in steps:
        found = ", ".join(map(str, sorted(steps))) or "none"
        raise UsageError(f"step {step}: no run of an encoder aligned for so many steps; there are: {found}")
    chosen = max(steps, default=None) if step is None else step
    return [record for record in analyses.complete if record.align_step in (None, chosen)], sorted(steps - {chosen})


def require_comparable(records: list[Analysis], phase: str) -> None:
    """Refuse runs of one phase that do not belong in one table.

    Raises:
        XalignError: testbed beside real data; two base encoders; two runs for one place; other options or data.
    """
    require_equal(records, "data: the testbed is mixed with real data", lambda r: r.testbed)
    require_equal(records, "base encoder", lambda r: r.encoder)
    known = [record for record in records if record.chain.base_weights is not None]
    require_equal(known, "weights of the base encoder", lambda r: r.chain.base_weights)
    seen: dict[Hashable, Analysis] = {}
    for record in records:
        other = seen.setdefault((str(record), record.align_seed, record.align_step), record)
        if other is not record:
            raise XalignError(
                f"{other.directory} and {record.directory} are two {phase} runs for {record} with the same alignment "
                "seed and step; delete one, or give --runs a directory that holds only one of them"
            )
    require_same_options(records, phase)
    require_same_data(records, (phase,))
    for task in grouped(records, lambda r: r.task):
        require_same_options(task, "finetune")
    for cell in grouped(records, lambda r: (r.pair, r.loss)):
        require_same_options(cell, "align")
