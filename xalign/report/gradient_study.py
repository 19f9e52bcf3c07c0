"""What Table 3 and its companions are about: the selected gradients runs, by task, model, view and parameter group."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from xalign.config import LOSSES
from xalign.naming import DEFAULT_ALIGN_SEED
from xalign.report.analyses import Analyses, Analysis, Line, require_comparable, select_step
from xalign.report.averages import BASE_MODEL, Model
from xalign.report.layout import PAIR_ORDER, TASKS, rank, titled

MAIN, LANGUAGES_BY_TASK, LANGUAGES_BY_MLM = "task-alignment", "task-language", "mlm-language"
SHARED, ALL, EMBEDDINGS = "shared", "all", "embeddings"
INDISTINCT = 0.1
LAYER = re.compile(r"layer(\d+)")


def unmarked(label: str) -> str:
    """A label without what follows its @: which data, which epoch, which masked-LM head."""
    return label.partition("@")[0]


@dataclass(frozen=True)
class GradientStudy:
    """The selected gradients runs. Of several alignment seeds, tables show the default one (or the lowest)."""

    records: list[Analysis]
    analyses: Analyses
    left_out: list[int]

    @cached_property
    def _runs(self) -> dict[tuple[str, Model], Analysis]:
        found: dict[tuple[str, Model], Analysis] = {}
        for record in sorted(self.records, key=lambda r: (r.align_seed != DEFAULT_ALIGN_SEED, r.align_seed or 0)):
            found.setdefault((record.task or "", (record.pair, record.loss)), record)
        return found

    @property
    def other_seeds(self) -> list[str]:
        """Runs that no table shows, because another alignment seed of their model stands there."""
        return [str(r.directory) for r in self.records if r not in self._runs.values()]

    @cached_property
    def tasks(self) -> list[str]:
        """Tasks in the paper's order."""
        return sorted({task for task, _ in self._runs}, key=lambda task: rank(task, TASKS))

    @cached_property
    def pairs(self) -> list[str]:
        """Pairs that models were aligned on, in the paper's order."""
        found = {pair for _, (pair, _) in self._runs if pair != BASE_MODEL[0]}
        return sorted(found, key=lambda pair: rank(pair, PAIR_ORDER))

    @cached_property
    def steps(self) -> dict[tuple[str, Model], int | None]:
        """The alignment step of each model."""
        return {key: record.align_step for key, record in self._runs.items()}

    def models(self, task: str) -> list[Model]:
        """The models of a task: pairs in the paper's order, configurations in theirs."""
        found = [model for of, model in self._runs if of == task]
        return sorted(found, key=self.order)

    @staticmethod
    def order(model: Model) -> tuple[tuple[int, str], tuple[int, str]]:
        """Sort key of a model."""
        return rank(model[0], PAIR_ORDER), rank(model[1], LOSSES)

    def lines(self, task: str, model: Model, view: str) -> list[Line]:
        """The lines of one view of one model; empty if it was not run."""
        record = self._runs.get((task, model))
        return [] if record is None else [line for line in record.lines["gradients"] if line["view"] == view]

    def lookahead(self, task: str, model: Model) -> list[Line]:
        """The lines of ``lookahead.csv``; empty where a run has none."""
        record = self._runs.get((task, model))
        return [] if record is None else list(record.lines.get("lookahead", ()))

    def alignment_lines(self, task: str, model: Model, group: str) -> list[Line]:
        """Task against the whole alignment loss over one parameter group.

        First the main comparison, then others beside it, such as that on training data. The parts of a loss are in
        the CSV alone. An unaligned encoder has no loss of its own: whichever it was compared with.
        """
        own = LOSSES if model == BASE_MODEL else (model[1],)
        lines = self.lines(task, model, MAIN)
        return [line for line in lines if line["group"] == group and unmarked(line["second"]) in own]

    def main(self, task: str, model: Model, group: str) -> Line | None:
        """The main comparison of task against alignment over one parameter group: the first of the file."""
        return next(iter(self.alignment_lines(task, model, group)), None)

    def matching(self, task: str, model: Model, group: str, like: Line) -> Line | None:
        """The line of another group that compares the same two gradients."""
        names = (like["first"], like["second"])
        found = self.alignment_lines(task, model, group)
        return next((line for line in found if (line["first"], line["second"]) == names), None)

    def updates(self, task: str, model: Model, like: Line) -> Line | None:
        """The same comparison of Adam's updates, in place of gradients."""
        record = self._runs[task, model]
        names = [like[name] for name in ("view", "first", "second", "group")]
        found = record.lines.get("updates", ())
        return next((x for x in found if [x[n] for n in ("view", "first", "second", "group")] == names), None)

    @cached_property
    def layer_groups(self) -> list[str]:
        """'embeddings', 'layer1', … as far as any file goes."""
        groups = {line["group"] for r in self._runs.values() for line in r.lines["gradients"] if line["view"] == MAIN}
        layers = sorted(int(match.group(1)) for group in groups if (match := LAYER.fullmatch(group)))
        return [*([EMBEDDINGS] if EMBEDDINGS in groups else []), *(f"layer{k}" for k in layers)]

    @staticmethod
    def orthogonal(line: Line) -> bool:
        """Whether the corrected cosine's interval lies inside ±`INDISTINCT`."""
        known = line["low"] is not None and line["high"] is not None
        return known and line["low"] >= -INDISTINCT and line["high"] <= INDISTINCT

    def title(self, text: str) -> str:
        """`text` with the base encoder, and with the testbed's mark where it belongs."""
        return titled(text, self.records[0].encoder, self.records[0].testbed)


def study_gradients(analyses: Analyses, step: int | None) -> GradientStudy:
    """Select the runs of one step and check that they can stand in one table."""
    records, left_out = select_step(analyses, step)
    require_comparable(records, "gradients")
    return GradientStudy(records, analyses, left_out)
