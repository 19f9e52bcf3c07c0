"""What Figure 1 is about: the selected distances runs, averaged by level, layer, model state and model."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property

from xalign.config import LOSSES
from xalign.report.analyses import Analyses, Analysis, Line, require_comparable, select_step
from xalign.report.averages import BASE_MODEL, Model, Spread, Values, across_models, by_model, language_pair, mean
from xalign.report.layout import PAIR_ORDER, rank, titled

LEVELS = {"sentence": "sentences", "word": "words"}
STATES = ("base", "aligned", "base+pos", "aligned+pos", "base+topic", "aligned+topic")
MEASURES = {
    "distance": "mean cosine distance",
    "normalised": "normalised distance",
    "nontranslation": "non-translations",
}


@dataclass(frozen=True)
class DistanceStudy:
    """The selected distances runs of one figure."""

    records: list[Analysis]
    analyses: Analyses
    left_out: list[int]

    @cached_property
    def levels(self) -> list[str]:
        """'sentence', 'word', or both."""
        found = {line["level"] for record in self.records for line in record.lines["distances"]}
        return [level for level in LEVELS if level in found]

    @cached_property
    def layers(self) -> list[int]:
        """The k of every ``hidden_states[k]`` that was measured."""
        return sorted({int(line["layer"]) for record in self.records for line in record.lines["distances"]})

    @cached_property
    def states(self) -> list[str]:
        """Model states that were measured, in the order of `STATES`."""
        found = {line["model_state"] for record in self.records for line in record.lines["distances"]}
        return sorted(found, key=lambda state: rank(state, STATES))

    @property
    def alignment_pairs(self) -> list[str]:
        """Pairs that models were aligned on, in the paper's order."""
        return sorted({r.pair for r in self.records if r.aligned}, key=lambda pair: rank(pair, PAIR_ORDER))

    @cached_property
    def losses(self) -> list[str]:
        """The configurations that were measured."""
        return [loss for loss in LOSSES if any(record.loss == loss for record in self.records)]

    def language_pairs(self, level: str) -> list[str]:
        """The language pairs that every run has at that level, so that all averages are over the same ones."""
        return self._pairs[level]

    @cached_property
    def _pairs(self) -> dict[str, list[str]]:
        found: dict[str, list[set[str]]] = {level: [] for level in self.levels}
        for record in self.records:
            for level, pairs in found.items():
                lines = (line for line in record.lines["distances"] if line["level"] == level)
                pairs.append({language_pair(line["source"], line["target"]) for line in lines})
        return {level: sorted(set.intersection(*pairs)) for level, pairs in found.items()}

    def title(self, text: str) -> str:
        """`text` with the base encoder, and with the testbed's mark where it belongs."""
        return titled(text, self.records[0].encoder, self.records[0].testbed)

    @cached_property
    def _runs(self) -> dict[tuple[str, int, str], list[tuple[Model, list[Line]]]]:
        """The lines of every run by level, layer and model state, sorted once."""
        found: dict[tuple[str, int, str], list[tuple[Model, list[Line]]]] = defaultdict(list)
        for record in self.records:
            places: dict[tuple[str, int, str], list[Line]] = defaultdict(list)
            for line in record.lines["distances"]:
                places[line["level"], int(line["layer"]), line["model_state"]].append(line)
            for place, lines in places.items():
                found[place].append(((record.pair, record.loss), lines))
        return found

    @cached_property
    def _values(self) -> dict[tuple[str, int, str, str], dict[Model, Values]]:
        return {(*place, c): by_model(runs, c) for place, runs in self._runs.items() for c in MEASURES}

    def values(self, level: str, layer: int, state: str, column: str) -> dict[Model, Values]:
        """One column at one place, by model and language pair."""
        return self._values.get((level, layer, state, column), {})

    def cell(self, level: str, layer: int, state: str, loss: str, column: str) -> Spread | None:
        """The mean over aligned models of one configuration, with their range; of the base for a base state."""
        models = self.values(level, layer, state, column)
        of = BASE_MODEL[1] if state.startswith("base") else loss
        return across_models(models, of, self.language_pairs(level))

    def change(self, level: str, layer: int, model: Model, column: str) -> float | None:
        """An aligned encoder, not fine-tuned, less the base: the mean over language pairs."""
        aligned = self.values(level, layer, "aligned", column).get(model, {})
        base = self.values(level, layer, "base", column).get(BASE_MODEL, {})
        return mean(aligned[p] - base[p] for p in self.language_pairs(level) if p in aligned and p in base)


def study_distances(analyses: Analyses, step: int | None) -> DistanceStudy:
    """Select the runs of one step and check that they can stand in one table."""
    records, left_out = select_step(analyses, step)
    require_comparable(records, "distances")
    return DistanceStudy(records, analyses, left_out)
