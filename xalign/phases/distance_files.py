"""What `xalign.phases.distances` leaves behind: CSV files of cells, and their means over pairs for ``result.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from xalign.analysis.distances import Distances, average, mean_interval
from xalign.data.languages import Language
from xalign.phases.csv_files import Value, write_csv

COLUMNS = (
    "level", "source", "target", "layer", "model_state", "distance", "nontranslation", "normalised", "low", "high",
)  # fmt: skip
SEED_COLUMNS = ("level", "source", "target", "layer", "seed", "distance", "nontranslation", "normalised")
PLAIN, CENTRED, UNSEEN = "distances.csv", "distances-centred.csv", "distances-unseen.csv"
BY_SEED = "distances-seeds.csv"

Cell = tuple[str, tuple[Language, Language], int]  # level, pair, layer
Cells = Mapping[Cell, Sequence[Distances]]  # one for each seed


def write_cells(path: Path, cells: Cells, state: str) -> None:
    """Write a line for each cell, averaged over seeds item by item; the interval is that of the mean over items."""
    rows = []
    for cell, by_seed in _sorted(cells):
        mean = average(by_seed)
        low, high = mean_interval(mean.translations) or (None, None)
        rows.append((*_names(cell), state, *_values(mean), low, high))
    write_csv(path, COLUMNS, rows)


def write_seeds(path: Path, cells: Cells, seeds: Sequence[str]) -> None:
    """Write a line for each cell and seed."""
    rows = [
        (*_names(cell), int(seed), *_values(found))
        for cell, by_seed in _sorted(cells)
        for seed, found in zip(seeds, by_seed, strict=True)
    ]
    write_csv(path, SEED_COLUMNS, rows)


def means(cells: Cells) -> dict[str, dict[str, float]]:
    """Means over pairs by level and layer; with several seeds also the standard deviation of the mean distance."""
    result: dict[str, dict[str, float]] = {"distance": {}, "nontranslation": {}, "normalised": {}}
    for level, layer in dict.fromkeys((level, layer) for (level, _, layer), _ in _sorted(cells)):
        label = f"{level} hidden_states[{layer}]"
        chosen = [by_seed for cell, by_seed in cells.items() if (cell[0], cell[2]) == (level, layer)]
        columns = zip(*(_values(average(by_seed)) for by_seed in chosen), strict=True)
        for name, column in zip(("distance", "nontranslation", "normalised"), columns, strict=True):
            values = [value for value in column if value is not None]
            if values:
                result[name][label] = sum(values) / len(values)
        if len(chosen[0]) > 1:
            # A seed moves all pairs together, so the spread is that of the mean over pairs.
            of_seeds = np.mean([[one.translations.mean() for one in by_seed] for by_seed in chosen], axis=0)
            result.setdefault("sd_over_seeds", {})[label] = float(of_seeds.std(ddof=1))
    return result


def _sorted(cells: Cells) -> list[tuple[Cell, Sequence[Distances]]]:
    """Sentences before words; else in the order of measurement."""
    return sorted(cells.items(), key=lambda item: item[0][0])


def _names(cell: Cell) -> tuple[Value, ...]:
    level, (source, target), layer = cell
    return level, source.code, target.code, layer


def _values(found: Distances) -> tuple[float, float, float | None]:
    return float(found.translations.mean()), found.nontranslation, found.normalised
