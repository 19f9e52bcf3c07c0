"""What later runs measured of one encoder, for its model card: retrieval and transfer, with 95 % intervals.

A run descends from an encoder if it, or the fine-tuning before it, read weights of the encoder's digest: this holds
wherever the runs have moved, and tells an encoder from its earlier stages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from xalign.errors import UsageError
from xalign.report.analyses import Analysis, read_analysis
from xalign.report.averages import by_language_pair
from xalign.report.estimates import draw_sentences
from xalign.report.lineage import read_chain, read_run
from xalign.report.records import KnownIds, TransferRecord, read_record
from xalign.report.statistics import DRAWS, SEED, bootstrap_seeds, generator, percentile_interval
from xalign.runs import find_runs, state_of
from xalign.sharing.card_metrics import Metric, wilson
from xalign.sharing.model_card import metrics_table
from xalign.storage import read_json

Sections = tuple[tuple[str, str], ...]
MEASURES = {"recall_at_1": "recall at 1", "mean_cosine": "mean cosine of translations", "separation": "separation"}


def measured_below(runs: Path) -> Callable[[str, int], Sections]:
    """A function from an encoder's digest and layer to the sections of its card about the runs below `runs`.

    Raises:
        UsageError: `runs` is not a directory.
    """
    if not runs.is_dir():
        raise UsageError(f"{runs}: no such directory; --runs takes the directory that holds the runs")
    return lambda weights, layer: sections(runs, weights, layer)


def sections(runs: Path, weights: str, layer: int) -> Sections:
    """Retrieval and transfer of the encoder with these weights; empty where nothing below `runs` measured it.

    Raises:
        XalignError: a broken or stale run among its descendants.
    """
    found: list[tuple[str, str]] = []
    known_ids: KnownIds = {}
    for directory in find_runs(runs):
        run = read_run(directory)
        if state_of(directory) != "complete":
            continue
        method = f" ({run['lineage']['method']})" if run["lineage"].get("method") else ""
        if run["phase"] == "retrieve" and run["inputs"].get("weights") == weights:
            sentences = int(read_json(directory / "result.json")["sentences"])
            table = metrics_table(list(_retrieval(read_analysis(directory, run), layer, sentences)))
            said = (
                f"At `hidden_states[{layer}]`. Means: language pairs are resampled; one direction: Wilson's interval."
            )
            found.append((f"Retrieval{method}", f"{said}\n\n{table}"))
        elif run["phase"] == "transfer" and _finetuned_from(directory) == weights:
            record = read_record(directory, run, known_ids)
            title = f"Zero-shot transfer: {record.cell.task}, {record.cell.mode}{method}"
            said = f"Accuracy over seeds {', '.join(map(str, record.seeds))}; sentences and seeds are resampled."
            found.append((title, f"{said}\n\n{metrics_table(list(_transfer(record)))}"))
    return tuple(found)


def _finetuned_from(directory: Path) -> str | None:
    """The digest of the encoder whose fine-tuning a transfer run tests."""
    run = next((run for run in read_chain(directory).runs[1:] if run["phase"] == "finetune"), None)
    return run["inputs"].get("weights") if run is not None else None


def _retrieval(analysis: Analysis, layer: int, sentences: int) -> Iterable[Metric]:
    lines = [line for line in analysis.lines["retrieval"] if int(line["layer"]) == layer]
    for column, title in MEASURES.items():
        values = by_language_pair(lines, column)
        if not values:
            continue
        numbers = np.array(list(values.values()))
        low = high = None
        if len(numbers) > 1:
            picks = generator(SEED, "language pairs", len(numbers)).integers(0, len(numbers), (DRAWS, len(numbers)))
            low, high = (float(limit) for limit in percentile_interval(numbers[picks].mean(axis=1)))
        yield Metric(f"{title}, mean", float(numbers.mean()), low, high, f"{len(numbers)} language pairs, both ways")
    for line in lines:
        value = float(line["recall_at_1"])
        on = f"{sentences:,} sentences"
        yield Metric(f"recall at 1, {line['source']} → {line['target']}", value, *wilson(value, sentences), on)


def _transfer(record: TransferRecord) -> Iterable[Metric]:
    draws = draw_sentences(record.cell.task, [record], draws=DRAWS, seed=SEED)[record.directory]
    weights = bootstrap_seeds("finetune", record.seeds)  # (draws, seeds)
    sampled = {language: (draws[language] * weights).sum(axis=1) for language in record.languages}
    observed = {language: float(record.outcomes[language].accuracy.mean()) for language in record.languages}
    low, high = percentile_interval(np.mean(list(sampled.values()), axis=0))
    count = f"{len(record.languages)} languages"
    yield Metric("mean", float(np.mean(list(observed.values()))), float(low), float(high), count)
    for language, value in observed.items():
        low, high = percentile_interval(sampled[language])
        yield Metric(language, value, float(low), float(high), f"{len(record.outcomes[language].total):,} sentences")
