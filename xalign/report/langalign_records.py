"""LangAlign runs as records: accuracies, outcomes by method and sentence, and costs, with joint bootstrap draws."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from xalign.config import LangalignConfig
from xalign.errors import UsageError, XalignError
from xalign.naming import encoder_name
from xalign.report.analyses import Unfinished
from xalign.report.consistency import require_equal
from xalign.report.estimates import SHARED_SENTENCES
from xalign.report.lineage import Chain, read_chain, read_run
from xalign.report.outcomes import KnownIds, LanguageOutcomes, is_outcome, outcome_lines, to_arrays
from xalign.report.records import OUTCOMES, PACKED_OUTCOMES
from xalign.report.statistics import DRAWS, SEED, bootstrap_seeds, bootstrap_sentences
from xalign.runs import find_runs, state_of
from xalign.storage import naming_damage, read_json

ENGLISH_ONLY, MEAN_SHIFT, RIDGE, NATIVE, TRANSLATED = "english-only", "mean-shift", "ridge", "native", "translated"


@dataclass(frozen=True)
class Difference:
    """A difference of two accuracies of one run: observed, and in each draw (draws,)."""

    estimate: float
    draws: np.ndarray


@dataclass(frozen=True)
class LangalignRecord:
    """One complete LangAlign run.

    Attributes:
        config, result: what ``run.json`` and ``result.json`` hold.
        outcomes: test outcomes by method; `languages` says in which language.
    """

    directory: Path
    encoder: str
    base: str
    testbed: bool
    config: Mapping[str, Any]
    result: Mapping[str, Any]
    seeds: tuple[int, ...]
    outcomes: Mapping[str, LanguageOutcomes]
    languages: Mapping[str, str]
    chain: Chain

    @property
    def network(self) -> str:
        """The method that LangAlign is about: the name of its architecture."""
        return str(self.config["architecture"])

    @cached_property
    def variant(self) -> str:
        """What sets the run apart from others of its place, the number of translations left out."""
        known = {field.name for field in fields(LangalignConfig)}
        options = {name: value for name, value in self.config.items() if name in known}
        return LangalignConfig(**options | {"sentences": None}).variant

    @property
    def translations(self) -> int:
        """How many its maps were fitted on."""
        return int(self.result["translations"])

    @property
    def place(self) -> tuple[str, str, str]:
        """Task, pair and encoder: what one table is about."""
        return self.config["task"], self.config["pair"], self.encoder

    def __str__(self) -> str:
        return f"{self.variant} n={self.translations}"

    @cached_property
    def comparable(self) -> tuple[str, ...]:
        """The methods tested on the sentences that heads on plain English were tested on, in their language or not."""
        tested = self.outcomes[ENGLISH_ONLY].sentence_ids
        return tuple(name for name, found in self.outcomes.items() if found.sentence_ids == tested)

    def accuracy(self, method: str) -> float:
        """Mean over seeds."""
        return float(self.outcomes[method].accuracy.mean())

    def value(self, table: str, method: str) -> Any:
        """An entry of ``result.json``; None where the run does not have it."""
        name = "identity" if table in ("closeness", "wrong", "nearest") and method == ENGLISH_ONLY else method
        return self.result.get(table, {}).get(name)

    def differences(self, *, draws: int = DRAWS, seed: int = SEED) -> dict[tuple[str, str], Difference]:
        """Every comparable method less every other one: sentences and seeds resampled, the same ones for both."""
        methods, count = self.comparable, len(self.seeds)
        task, first = self.config["task"], self.outcomes[ENGLISH_ONLY]
        [sampled] = bootstrap_sentences(
            {self.languages[ENGLISH_ONLY]: np.concatenate([self.outcomes[name].correct for name in methods])},
            {self.languages[ENGLISH_ONLY]: first.total},
            shared=SHARED_SENTENCES.get(task, False), draws=draws, seed=seed,
        ).values()  # fmt: skip
        weights = bootstrap_seeds("finetune", self.seeds, draws=draws, seed=seed)
        resampled = np.einsum("dms,ds->dm", sampled.reshape(draws, len(methods), count), weights)
        drawn = dict(zip(methods, resampled.T, strict=True))
        return {
            (one, other): Difference(self.accuracy(one) - self.accuracy(other), drawn[one] - drawn[other])
            for one in methods
            for other in methods
            if one != other
        }


def collect_langalign(runs: Path) -> tuple[list[LangalignRecord], list[Unfinished]]:
    """Read every LangAlign run below `runs`: the complete ones in the order of a table, and the others.

    Raises:
        UsageError: `runs` is not a directory, or holds no complete run of it.
        XalignError: a file is broken, a run is stale, two runs have one name, or testbed stands beside real data.
    """
    if not runs.is_dir():
        raise UsageError(f"{runs}: no such directory; --runs takes the directory that holds the runs")
    records: list[LangalignRecord] = []
    unfinished: list[Unfinished] = []
    known_ids: KnownIds = {}
    for directory in find_runs(runs):
        run = read_run(directory)
        if run["phase"] != "langalign":
            continue
        if (state := state_of(directory)) == "complete":
            with naming_damage(directory):
                records.append(read_record(directory, run, known_ids))
        else:
            error = read_json(directory / "failed.json").get("error", "") if state == "failed" else ""
            unfinished.append(Unfinished(directory, state, str(error)))
    if not records:
        raise UsageError(f"{runs}: no complete langalign run here; make one with 'xalign langalign'")
    require_equal(records, "data: the testbed is mixed with real data", lambda r: r.testbed)
    require_equal(records, "base encoder", lambda r: r.base)
    seen: dict[str, LangalignRecord] = {}
    for record in records:
        name = f"{' '.join(record.place)} {record}"
        if (other := seen.setdefault(name, record)) is not record:
            raise XalignError(
                f"{other.directory} and {record.directory} are two runs of {name}; "
                "delete one, or give --runs a directory that holds only one of them"
            )
    order = sorted(records, key=lambda r: (*r.place, bool(r.config["reverse"]), r.variant, r.translations))
    return order, unfinished


def read_record(directory: Path, run: Mapping[str, Any], known_ids: KnownIds) -> LangalignRecord:
    """One complete run.

    Raises:
        XalignError: its outcomes are missing, broken, or lack sentences or seeds; or the run is stale.
    """
    lineage = {name: value for name, value in run["lineage"].items() if name != "method"}
    packed = directory / PACKED_OUTCOMES
    path = packed if packed.is_file() else directory / OUTCOMES
    counts: dict[str, dict[int, dict[str, tuple[int, int]]]] = defaultdict(lambda: defaultdict(dict))
    languages: dict[str, str] = {}
    for number, line in enumerate(outcome_lines(path), start=1):
        try:
            row = json.loads(line)
            if not is_outcome(row["method"], row["seed"], row["sentence_id"], row["correct"], row["total"]):
                raise ValueError
            counts[row["method"]][row["seed"]][row["sentence_id"]] = row["correct"], row["total"]
            languages[row["method"]] = row["language"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise XalignError(f"{path}:{number}: not an outcome; run it again with --overwrite") from None
    seeds = tuple(sorted(counts.get(ENGLISH_ONLY, ())))
    missing = {ENGLISH_ONLY, MEAN_SHIFT, RIDGE, run["config"]["architecture"]} - set(counts)
    if missing:
        raise XalignError(f"{path}: no outcomes of {', '.join(sorted(missing))}; run it again with --overwrite")
    outcomes = {name: to_arrays(path, name, seeds, by_seed, known_ids) for name, by_seed in counts.items()}
    return LangalignRecord(
        directory, encoder_name(lineage), lineage["encoder"], run["testbed"], run["config"],
        read_json(directory / "result.json"), seeds, outcomes, languages, read_chain(directory),
    )  # fmt: skip
