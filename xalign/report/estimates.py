"""From result records to estimates: accuracies of each cell by language, with joint bootstrap draws.

A *block* is a task in one mode: the base and the aligned encoders, tested on the same sentences with the same
fine-tuning seeds. Both modes of a task are drawn together, so that all of a table's changes are jointly distributed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xalign.errors import XalignError
from xalign.naming import BASE
from xalign.report.records import UNALIGNED, Cell, TransferRecord
from xalign.report.statistics import DRAWS, SEED, bootstrap_seeds, bootstrap_sentences

ENGLISH = "eng"
SHARED_SENTENCES = {"topic": True, "pos": False}


@dataclass(frozen=True)
class CellAccuracy:
    """The accuracies of one cell of the table.

    `observed` is (align seeds, seeds, languages). `draws` is (draws, languages), sentences and seeds resampled;
    `sentence_draws` the same with sentences alone resampled.
    """

    cell: Cell
    records: tuple[TransferRecord, ...]
    observed: np.ndarray
    draws: np.ndarray
    sentence_draws: np.ndarray


@dataclass(frozen=True)
class Block:
    """One task in one mode: the columns of all arrays are `languages`, sorted."""

    task: str
    mode: str
    languages: tuple[str, ...]
    cells: Mapping[Cell, CellAccuracy]

    @property
    def base(self) -> CellAccuracy | None:
        """The unaligned encoder, if it was run."""
        return self.cells.get(Cell(self.task, self.mode, BASE, UNALIGNED))

    def columns(self, *, english: bool) -> list[int]:
        """Positions of the languages that enter an average, with English or without."""
        return [i for i, language in enumerate(self.languages) if english or language != ENGLISH]


def make_blocks(records: Sequence[TransferRecord], *, draws: int = DRAWS, seed: int = SEED) -> list[Block]:
    """Bootstrap all records and sort them into blocks.

    Args:
        records: comparable ones (`xalign.report.consistency.require_comparable`).

    Raises:
        XalignError: records of a task were tested on other sentences, or topic languages on other sentences.
    """
    blocks: list[Block] = []
    for task in dict.fromkeys(record.cell.task for record in records):
        of_task = [record for record in records if record.cell.task == task]
        sampled = draw_sentences(task, of_task, draws=draws, seed=seed)
        for mode in dict.fromkeys(record.cell.mode for record in of_task):
            of_mode = [record for record in of_task if record.cell.mode == mode]
            cells: dict[Cell, list[TransferRecord]] = defaultdict(list)
            for record in of_mode:
                cells[record.cell].append(record)
            estimated = {cell: estimate_cell(cell, found, sampled, draws, seed) for cell, found in cells.items()}
            blocks.append(Block(task, mode, of_mode[0].languages, estimated))
    return blocks


def draw_sentences(
    task: str, records: Sequence[TransferRecord], *, draws: int, seed: int
) -> dict[Path, dict[str, np.ndarray]]:
    """Accuracies in resampled sentences, by the record's directory and language: (draws, seeds)."""
    correct: dict[str, list[np.ndarray]] = defaultdict(list)
    owners: dict[str, list[TransferRecord]] = defaultdict(list)
    for record in records:
        for language, outcomes in record.outcomes.items():
            first = owners[language][0].outcomes[language] if owners[language] else outcomes
            if outcomes.sentence_ids != first.sentence_ids or (outcomes.total != first.total).any():
                raise XalignError(
                    f"{owners[language][0].directory} and {record.directory} cannot stand in one table: "
                    f"they were tested on other sentences in {language}; run one of them again"
                )
            correct[language].append(outcomes.correct)
            owners[language].append(record)
    shared = SHARED_SENTENCES.get(task, False)
    ids = {language: found[0].outcomes[language].sentence_ids for language, found in owners.items()}
    if shared and len(set(ids.values())) > 1:
        raise XalignError(
            f"{records[0].directory}: the test sentences of {task} are not the same in all languages, "
            "but intervals resample sentences that all languages share; transfer without the languages that differ"
        )
    sampled = bootstrap_sentences(
        {language: np.concatenate(arrays) for language, arrays in correct.items()},
        {language: found[0].outcomes[language].total for language, found in owners.items()},
        shared=shared,
        draws=draws,
        seed=seed,
    )
    by_record: dict[Path, dict[str, np.ndarray]] = defaultdict(dict)
    for language, found in owners.items():
        start = 0
        for record in found:
            by_record[record.directory][language] = sampled[language][:, start : start + len(record.seeds)]
            start += len(record.seeds)
    return by_record


def estimate_cell(
    cell: Cell,
    records: list[TransferRecord],
    sampled: Mapping[Path, Mapping[str, np.ndarray]],
    draws: int,
    seed: int,
) -> CellAccuracy:
    """Combine the alignment seeds of a cell; `sampled` is what `draw_sentences` returned."""
    records = sorted(records, key=lambda record: record.align_seed or 0)
    languages, seeds = records[0].languages, records[0].seeds
    observed = np.array([[r.outcomes[language].accuracy for language in languages] for r in records])
    # (draws, align seeds, seeds, languages)
    resampled = np.stack(
        [np.stack([sampled[r.directory][language] for language in languages], axis=2) for r in records], axis=1
    )
    align_weights = bootstrap_seeds("align", [r.align_seed for r in records], draws=draws, seed=seed)
    seed_weights = bootstrap_seeds("finetune", seeds, draws=draws, seed=seed)
    return CellAccuracy(
        cell=cell,
        records=tuple(records),
        observed=observed.transpose(0, 2, 1),
        draws=np.einsum("dasl,da,ds->dl", resampled, align_weights, seed_weights),
        sentence_draws=resampled.mean(axis=(1, 2)),
    )
