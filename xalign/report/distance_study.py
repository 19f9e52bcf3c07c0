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
    "centred": "mean cosine distance after centring each language",
    "unseen": "mean cosine distance in sentences that topic models have not seen",
}
SOURCES = {"centred": ("distances-centred", "distance"), "unseen": ("distances-unseen", "distance")}
SEEING = "+topic"
"""Topic models saw some of FLORES-200 in training: their distances leave those sentences out from the start."""


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
    def _runs(self) -> dict[tuple[str, int, str, str], list[tuple[Model, list[Line]]]]:
        """The lines of every run by level, layer, model state and file, sorted once."""
        found: dict[tuple[str, int, str, str], list[tuple[Model, list[Line]]]] = defaultdict(list)
        for record in self.records:
            for file, lines in record.lines.items():
                places: dict[tuple[str, int, str], list[Line]] = defaultdict(list)
                for line in lines:
                    places[line["level"], int(line["layer"]), line["model_state"]].append(line)
                for place, some in places.items():
                    found[(*place, file)].append(((record.pair, record.loss), some))
        return found

    @cached_property
    def _values(self) -> dict[tuple[str, int, str, str], dict[Model, Values]]:
        return {}

    def values(self, level: str, layer: int, state: str, measure: str) -> dict[Model, Values]:
        """One of `MEASURES` at one place, by model and language pair."""
        place = (level, layer, state, measure)
        if place not in self._values:
            file, column = SOURCES.get(measure, ("distances", measure))
            if measure == "unseen" and state.endswith(SEEING):
                file = "distances"
            self._values[place] = by_model(self._runs.get((level, layer, state, file), ()), column)
        return self._values[place]

    def measures(self, level: str) -> list[str]:
        """The measures that some run has at a level."""
        files = {file for of, _, _, file in self._runs if of == level}
        return [m for m in MEASURES if SOURCES.get(m, ("distances",))[0] in files]

    def cell(self, level: str, layer: int, state: str, loss: str, measure: str) -> Spread | None:
        """The mean over aligned models of one configuration, with their range; of the base for a base state."""
        models = self.values(level, layer, state, measure)
        of = BASE_MODEL[1] if state.startswith("base") else loss
        return across_models(models, of, self.language_pairs(level))

    def change(self, level: str, layer: int, model: Model, measure: str) -> float | None:
        """An aligned encoder, not fine-tuned, less the base: the mean over language pairs."""
        aligned = self.values(level, layer, "aligned", measure).get(model, {})
        base = self.values(level, layer, "base", measure).get(BASE_MODEL, {})
        return mean(aligned[p] - base[p] for p in self.language_pairs(level) if p in aligned and p in base)


def study_distances(analyses: Analyses, step: int | None) -> DistanceStudy:
    """Select the runs of one step and check that they can stand in one table."""
    records, left_out = select_step(analyses, step)
    require_comparable(records, "distances")
    return DistanceStudy(records, analyses, left_out)
