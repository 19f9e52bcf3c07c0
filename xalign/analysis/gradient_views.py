"""From inner products of gradient blocks to the lines of ``gradients.csv``: which pairs, in which parameter groups."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from xalign.analysis.block_gradients import BlockGradients
from xalign.analysis.gradient_blocks import REST, TABLE, ParameterGroups
from xalign.analysis.gradient_statistics import Similarity, similarity
from xalign.analysis.gradient_storage import GradientRows
from xalign.analysis.gramian import gramian

SHARED, ALL, EMBEDDINGS = "shared", "all", "embeddings"
INPUT, DECODER = "embeddings-input", "embeddings-decoder"
EPSILON = 1e-8  # of Adam, as in training
COLUMNS = (
    "view", "first", "second", "group", "cosine", "low", "high", "r_first", "r_second", "noise_ceiling",
    "cosine_corrected", "norm_first", "norm_second", "magnitude_similarity", "reach",
)  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One line of ``gradients.csv``: two objectives in one group of parameters.

    Attributes:
        group: ``shared`` (groups that both reach), ``all``, ``embeddings``, ``layer1`` …; for a masked-LM loss with a
            tied decoder also the table's two gradients, ``embeddings-input`` and ``embeddings-decoder``.
        found: empty where one of the two does not reach the group.
        reach: parameters of the group that both reach; of a lookup table, those in rows that both read.
    """

    view: str
    first: str
    second: str
    group: str
    found: Similarity
    reach: int

    def cells(self) -> dict[str, str | int | float | None]:
        """Values by column."""
        named = {"view": self.view, "first": self.first, "second": self.second, "group": self.group}
        values = named | dataclasses.asdict(self.found) | {"reach": self.reach}
        return {column: values[column] for column in COLUMNS}


class Products:
    """Inner products of the blocks of several objectives, in each group of parameters."""

    def __init__(
        self, objectives: Sequence[BlockGradients], groups: ParameterGroups, matrices: dict[str, np.ndarray]
    ) -> None:
        self.objectives = {objective.label: objective for objective in objectives}
        self.groups, self.matrices = groups, matrices
        self.blocks = len(objectives[0].losses)
        self._places = {label: index * self.blocks for index, label in enumerate(self.objectives)}

    @classmethod
    def of_gradients(
        cls, objectives: Sequence[BlockGradients], groups: ParameterGroups, rows: GradientRows
    ) -> Products:
        """Of the gradients: a block is a sum of stored rows, so its products are sums of theirs."""
        stored = gramian(rows.array, rows.columns, active=rows.active)
        whole, own, decoder = (_sums(objectives, len(rows.array), part) for part in ("whole", INPUT, DECODER))
        matrices = {name: whole @ matrix @ whole.T for name, matrix in stored.items()}
        matrices[INPUT] = own @ stored[TABLE] @ own.T
        matrices[DECODER] = decoder @ stored[TABLE] @ decoder.T
        return cls(objectives, groups, matrices)

    @classmethod
    def of_updates(cls, objectives: Sequence[BlockGradients], groups: ParameterGroups, rows: GradientRows) -> Products:
        """Of Adam's updates g / (√v + ε), where v is the mean square of a number over the objective's blocks.

        A first moment has no meaning without a history: the block's own gradient stands for it.
        """
        whole = _sums(objectives, len(rows.array), "whole").astype(np.float32)
        blocks = len(objectives[0].losses)

        def updates(chunk: np.ndarray) -> np.ndarray:
            found = (whole @ chunk).reshape(-1, blocks, chunk.shape[1])  # (objectives, K, columns)
            scaled: np.ndarray = found / (np.sqrt(np.square(found).mean(axis=1, keepdims=True)) + EPSILON)
            return scaled.reshape(-1, chunk.shape[1])

        return cls(objectives, groups, gramian(rows.array, rows.columns, transform=updates))

    def between(self, first: str, second: str) -> np.ndarray:
        """(K, K) products of one objective's blocks (rows) with another's, over all parameters."""
        rows, columns = (slice(self._places[label], self._places[label] + self.blocks) for label in (first, second))
        found: np.ndarray = np.sum([self.matrices[name][rows, columns] for name in self.groups.groups], axis=0)
        return found

    def compare(self, view: str, first: str, second: str, *, paired: bool) -> Iterator[Line]:
        """The lines of two objectives, one for each group."""
        a, b = self.objectives[first], self.objectives[second]
        reach = {
            name: int(group.unit_sizes[self._reached(a, name) & self._reached(b, name)].sum())
            for name, group in self.groups.groups.items()
        }
        layers = [name for name in reach if name not in (TABLE, REST)]
        members = {
            SHARED: [name for name in reach if reach[name]],
            ALL: list(reach),
            EMBEDDINGS: [name for name in (TABLE, REST) if name in reach],
        }
        for group in (SHARED, ALL, EMBEDDINGS):
            yield self._line(view, a, b, group, members[group], sum(reach[name] for name in members[group]), paired)
        if a.decoder or b.decoder:
            sizes = self.groups.groups[TABLE].unit_sizes
            for group in (INPUT, DECODER):
                if group in self.matrices:
                    both = _table_reach(a, group) & _table_reach(b, group)
                    yield self._line(view, a, b, group, [group], int(sizes[both].sum()), paired)
        for name in layers:
            yield self._line(view, a, b, name, [name], reach[name], paired)

    def _line(
        self, view: str, a: BlockGradients, b: BlockGradients, group: str, members: list[str], reach: int, paired: bool
    ) -> Line:
        found = Similarity()
        if reach:
            products = np.sum([self.matrices[name] for name in members], axis=0)
            first, second = (slice(self._places[x.label], self._places[x.label] + self.blocks) for x in (a, b))
            found = similarity(products[first, first], products[second, second], products[first, second], paired=paired)
        return Line(view, a.label, b.label, group, found, reach)

    @staticmethod
    def _reached(objective: BlockGradients, group: str) -> np.ndarray:
        units = objective.reached[group]
        return units | objective.decoder_reached if group == TABLE else units


def _sums(objectives: Sequence[BlockGradients], rows: int, part: str) -> np.ndarray:
    """(objectives · K, rows) zeros and ones: which stored rows make up each block, or one part of its table.

    Of an objective without a decoder's part, the table's gradient is compared with both parts of the other.
    """
    blocks = len(objectives[0].losses)
    chosen = np.zeros((len(objectives) * blocks, rows))
    for index, objective in enumerate(objectives):
        whole, own = objective.rows + objective.decoder, objective.rows
        for source in {"whole": whole, INPUT: own, DECODER: objective.decoder or own}[part]:
            chosen[index * blocks + np.arange(blocks), source] = 1
    return chosen


def against_english_and_pairwise(labels: Iterable[str]) -> list[tuple[str, str]]:
    """All pairs of languages, each once, those with English first."""
    ordered = sorted(labels, key=lambda label: label.split("@")[0] != "eng")
    return [(first, second) for index, first in enumerate(ordered) for second in ordered[index + 1 :]]


def _table_reach(objective: BlockGradients, part: str) -> np.ndarray:
    return objective.decoder_reached if part == DECODER and objective.decoder else objective.reached[TABLE]
