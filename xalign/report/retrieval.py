"""What Table 2 and appendix C are about: the selected retrieval runs, their language pairs, and the measures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from xalign.config import LOSSES
from xalign.config.analyses import MAIN_LAYER, RETRIEVAL_GROUPS, RETRIEVAL_PAIRS
from xalign.hidden_states import resolve_layer
from xalign.report.analyses import Analyses, Analysis, require_comparable, select_step
from xalign.report.averages import Model, Spread, Values, by_model, language_pair
from xalign.report.consistency import departures_from_paper
from xalign.report.layout import PAIR_ORDER, data_kind, rank, titled
from xalign.report.render import Value

RANGE_ROW = "  range"
OTHER_GROUP = "other pairs"


@dataclass(frozen=True)
class Measure:
    """A column of a retrieval file, and how its changes are shown: multiplied, with so many decimals."""

    file: str
    column: str
    title: str
    factor: float = 1.0
    decimals: int = 3

    @property
    def key(self) -> str:
        """The name in tidy tables: the column's, marked where it was measured after centring."""
        return self.column + "_centred" * (self.file == "retrieval-centred")

    def change(self, value: float) -> str:
        """A change with its sign; what rounds to zero is +0."""
        text = f"{self.factor * value:+.{self.decimals}f}"
        return text.replace("-", "+") if float(text) == 0 else text


COSINE = Measure("retrieval", "mean_cosine", "mean cosine of translations")
SEPARATION = Measure("retrieval", "separation", "separation from non-translations, in their standard deviations", 1, 2)
CENTRED = Measure("retrieval-centred", "mean_cosine", "mean cosine of translations after centring each language")


def recall(k: int) -> Measure:
    """Recall at 1, 5 or 10, shown in percentage points."""
    return Measure("retrieval", f"recall_at_{k}", f"recall at {k}, in percentage points", 100, 1)


def main_layer(depth: int) -> int:
    """The k of ``hidden_states[k]`` at two thirds of the depth: 8 of 12."""
    return resolve_layer(MAIN_LAYER, depth)


@dataclass(frozen=True)
class RetrievalStudy:
    """The selected runs of one table, all with the same language pairs."""

    records: list[Analysis]
    analyses: Analyses
    left_out: list[int]
    _known: dict[Measure, dict[Model, Values]] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def layer(self) -> int:
        """The main layer."""
        return main_layer(self.records[0].depth)

    @cached_property
    def language_pairs(self) -> list[str]:
        """The language pairs that every model has, in the paper's order."""
        return sorted(set.intersection(*self._pairs), key=lambda pair: rank(pair, RETRIEVAL_PAIRS))

    @property
    def dropped_pairs(self) -> list[str]:
        """Language pairs that only some models have."""
        return sorted(set.union(*self._pairs) - set(self.language_pairs))

    @cached_property
    def _pairs(self) -> list[set[str]]:
        """The language pairs of each record."""
        return [
            {language_pair(line["source"], line["target"]) for line in record.lines["retrieval"]}
            for record in self.records
        ]

    @cached_property
    def groups(self) -> dict[str, list[str]]:
        """The paper's groups that have a pair here, numbered, and one for pairs that the paper does not have."""
        known = {f"{n} {name}": pairs for n, (name, pairs) in enumerate(RETRIEVAL_GROUPS.items(), start=1)}
        found = {name: [p for p in self.language_pairs if p in pairs] for name, pairs in known.items()}
        others = [p for p in self.language_pairs if not any(p in pairs for pairs in known.values())]
        return {name: pairs for name, pairs in (*found.items(), (OTHER_GROUP, others)) if pairs}

    @property
    def alignment_pairs(self) -> list[str]:
        """Pairs that models were aligned on, in the paper's order."""
        return sorted({r.pair for r in self.records if r.aligned}, key=lambda pair: rank(pair, PAIR_ORDER))

    def title(self, text: str) -> str:
        """`text` with the base encoder, and with the testbed's mark where it belongs."""
        return titled(text, self.records[0].encoder, self.records[0].testbed)

    @property
    def constants(self) -> tuple[Value, ...]:
        """Layer, encoder and data: the last columns of tidy tables."""
        return self.layer, self.records[0].encoder, data_kind(self.records[0].testbed)

    def values(self, measure: Measure) -> dict[Model, Values]:
        """A measure at the main layer, by model and language pair."""
        if measure in self._known:
            return self._known[measure]
        runs = []
        for record in self.records:
            lines = [line for line in record.lines.get(measure.file, ()) if int(line["layer"]) == self.layer]
            runs.append(((record.pair, record.loss), lines))
        self._known[measure] = by_model(runs, measure.column)
        return self._known[measure]


def study_retrieval(analyses: Analyses, step: int | None) -> RetrievalStudy:
    """Select the runs of one step and check that they can stand in one table."""
    records, left_out = select_step(analyses, step)
    require_comparable(records, "retrieve")
    return RetrievalStudy(records, analyses, left_out)


def change_rows(name: str, cells: Iterable[Spread | None], measure: Measure) -> list[tuple[Value, ...]]:
    """A row of mean changes, and under it the range over models where any cell has several."""
    found = list(cells)
    rows: list[tuple[Value, ...]] = [(name, *(None if c is None else measure.change(c.mean) for c in found))]
    if any(cell is not None and cell.models > 1 for cell in found):
        limits = (None if c is None else f"[{measure.change(c.low)}, {measure.change(c.high)}]" for c in found)
        rows.append((RANGE_ROW, *limits))
    return rows


def notes(study: RetrievalStudy) -> list[str]:
    """What holds for all tables of the report."""
    present = {(r.pair, r.loss) for r in study.records}
    missing = [f"{p}/{loss}" for p in study.alignment_pairs for loss in LOSSES if (p, loss) not in present]
    lines = ["FLORES-200 devtest or what stands for it, mean-pooled; one alignment seed speaks about checkpoints."]
    if len({r.align_seed for r in study.records if r.aligned}) > 1:
        lines = ["FLORES-200 devtest or what stands for it, mean-pooled; alignment seeds of a model are averaged."]
    if missing:
        lines.append(f"Not run: {', '.join(missing)}.")
    if study.dropped_pairs:
        lines.append(f"Left out, because not every model has them: {', '.join(study.dropped_pairs)}.")
    if study.left_out:
        lines.append(f"Left out: encoders after {', '.join(map(str, study.left_out))} alignment steps.")
    if departures := departures_from_paper(study.records):
        lines.append(f"Differs from the paper's setup: {'; '.join(departures)}.")
    return [*lines, *map(str, study.analyses.unfinished)]
