"""LangAlign: does the network beat the simpler maps in its place? One table over all runs, one for each setting.

Every change is paired: the same resampled sentences and seeds for both methods of a run.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xalign.report.analyses import Unfinished
from xalign.report.comparisons import Interval, intervals
from xalign.report.langalign_records import (
    ENGLISH_ONLY,
    MEAN_SHIFT,
    NATIVE,
    RIDGE,
    TRANSLATED,
    LangalignRecord,
    collect_langalign,
)
from xalign.report.layout import TASKS, data_kind, signed, titled
from xalign.report.render import Report, Table, Value
from xalign.report.statistics import DRAWS, LEVEL, SEED

REFERENCES = (ENGLISH_ONLY, MEAN_SHIFT, RIDGE)
BEATEN = (MEAN_SHIFT, RIDGE)
BETTER, WORSE, UNDECIDED = "better", "worse", "undecided"
CLOSENESS = ("closeness", "wrong", "nearest")
COSTS = ("parameters_by_method", "inference_parameters_by_method", "translations_by_method", "seconds_by_method")
LIMITS = ("estimate", "low", "high", "adjusted_low", "adjusted_high", "p_holm")
COLUMNS = (
    *("task", "pair", "variant", "direction", "parallel", "n", "method", "language", "accuracy", "sd"),
    *(f"{name}_{limit}" for name in ("change", "vs_mean_shift", "vs_ridge") for limit in LIMITS),
    *("cosine", "wrong_cosine", "nearest_neighbour", "parameters", "inference_parameters", "translations", "seconds"),
    *("seeds", "encoder", "data"),
)

Compared = dict[tuple[int, str, str], Interval]  # (record, method, reference) → its interval


def langalign(runs: Path, *, draws: int = DRAWS, seed: int = SEED) -> Report:
    """Make the report of all LangAlign runs below `runs`.

    Raises:
        UsageError: there is none.
        XalignError: a run is broken or stale, or runs do not belong in one table.
    """
    records, unfinished = collect_langalign(runs)
    compared = compare(records, draws=draws, seed=seed)
    places = dict.fromkeys(record.place for record in records)
    return Report(
        name="langalign",
        tables=(
            verdicts(records, compared),
            *(methods(records, compared, place) for place in places),
            *(vectors_and_costs(records, place) for place in places),
            Table("Notes", (), (), tuple(notes(records, unfinished, draws))),
        ),
        data={"langalign": data(records, compared)},
    )


def compare(records: list[LangalignRecord], *, draws: int, seed: int) -> Compared:
    """Each method against plain English, mean shift and ridge.

    Simultaneous intervals and Holm's p-values hold over the networks of all runs against one reference; other methods
    are companions, adjusted among themselves.
    """
    found: Compared = {}
    sampled = [record.differences(draws=draws, seed=seed) for record in records]
    for reference in REFERENCES:
        for networks in (True, False):
            keys = [
                (index, one)
                for index, record in enumerate(records)
                for one, other in sampled[index]
                if other == reference and (one == record.network) == networks
            ]
            parts = [sampled[index][name, reference] for index, name in keys]
            adjusted = intervals([part.estimate for part in parts], [part.draws for part in parts])
            found |= {(*key, reference): interval for key, interval in zip(keys, adjusted, strict=True)}
    return found


def verdict(interval: Interval) -> str:
    """Whether an interval lies above zero, below it, or around it."""
    return BETTER if interval.low > 0 else WORSE if interval.high < 0 else UNDECIDED


def verdicts(records: list[LangalignRecord], compared: Compared) -> Table:
    """A row a run: its network against plain English, mean shift and ridge."""
    rows: list[tuple[Value, ...]] = []
    decided: list[tuple[str, ...]] = []
    for index, record in enumerate(records):
        against = [compared[index, record.network, reference] for reference in REFERENCES]
        decided.append(tuple(verdict(interval) for interval in against))
        beats = all(found == BETTER for found in decided[-1][1:])
        row = (*record.place[:2], record.variant, record.translations, record.accuracy(record.network))
        rows.append((*row, *map(shown, against), "yes" if beats else "no"))
    columns = ("task", "pair", "variant", "n", "accuracy", "change", "vs mean shift", "vs ridge", "beats both")
    return Table(
        title(records, "LangAlign: the network against simpler maps"), columns, tuple(rows),
        (summary(decided, records, compared),),
    )  # fmt: skip


def summary(decided: list[tuple[str, ...]], records: list[LangalignRecord], compared: Compared) -> str:
    """The verdict in a sentence."""
    total = len(decided)
    both = sum(all(found == BETTER for found in row[1:]) for row in decided)
    adjusted = sum(
        all(compared[i, record.network, reference].adjusted_low > 0 for reference in BEATEN)
        for i, record in enumerate(records)
    )
    names = ("plain English", "mean shift", "ridge")
    single = "; ".join(
        f"{name}: " + ", ".join(f"{what} in {row.count(what)}" for what in (BETTER, WORSE, UNDECIDED) if what in row)
        for name, row in zip(names, zip(*decided, strict=True), strict=True)
    )
    says = "beats" if both == total else "does not beat" if not both else f"in {both} of {total} runs beats"
    return (
        f"Verdict: the network {says} both mean shift and ridge ({LEVEL:.0%} intervals that exclude zero; "
        f"{adjusted} of {total} after adjustment over all runs). Against {single}."
    )


def methods(records: list[LangalignRecord], compared: Compared, place: tuple[str, str, str]) -> Table:
    """Accuracy of all methods of all runs with one task, pair and encoder."""
    rows: list[tuple[Value, ...]] = []
    equal: list[str] = []
    for index, record in enumerate(records):
        if record.place != place:
            continue
        rows.append((str(record), *[""] * 5))
        for name in record.outcomes:
            changes = [shown(compared.get((index, name, reference))) for reference in REFERENCES]
            rows.append((f"  {name}", record.languages[name], record.accuracy(name), *changes))
        if TRANSLATED in record.outcomes and _same(record, TRANSLATED, NATIVE):
            equal.append(str(record))
    columns = ("method", "language", "accuracy", "change", "vs mean shift", "vs ridge")
    explained = [f"native = translated, sentence by sentence, in: {', '.join(equal)}."] if equal else []
    return Table(heading(records, place, "accuracy"), columns, tuple(rows), tuple(explained))


def vectors_and_costs(records: list[LangalignRecord], place: tuple[str, str, str]) -> Table:
    """What each method does to vectors, and what it takes."""
    rows: list[tuple[Value, ...]] = []
    for record in records:
        if record.place == place:
            rows.append((str(record), *[""] * 7))
            for name in record.outcomes:
                values = [record.value(table, name) for table in (*CLOSENESS, *COSTS)]
                seconds = None if values[-1] is None else f"{values[-1]:.0f}"
                rows.append((f"  {name}", *values[:-1], seconds))
    columns = ("method", "cosine", "wrong pair", "1-NN", "parameters", "at inference", "translations", "seconds")
    explained = (
        "Cosine of mapped vectors with their held-out translations; with those of other sentences (wrong pair: a "
        "constant map makes both equal); share nearest to their own (1-NN).",
    )
    return Table(heading(records, place, "vectors and costs"), columns, tuple(rows), explained)


def heading(records: list[LangalignRecord], place: tuple[str, str, str], what: str) -> str:
    """The title of a table about one task, pair and encoder."""
    task, pair, encoder = place
    return title(records, f"LangAlign: {TASKS.get(task, task)}, {pair}, encoder {encoder}: {what}")


def _same(record: LangalignRecord, one: str, other: str) -> bool:
    return other in record.outcomes and np.array_equal(record.outcomes[one].correct, record.outcomes[other].correct)


def shown(interval: Interval | None) -> str | None:
    """A difference in points with its percentile interval."""
    if interval is None:
        return None
    return f"{signed(interval.estimate)} [{signed(interval.low)}, {signed(interval.high)}]"


def title(records: list[LangalignRecord], text: str) -> str:
    """`text` with the base encoder and, if need be, the testbed's mark."""
    return titled(text, records[0].base, records[0].testbed)


def notes(records: list[LangalignRecord], unfinished: list[Unfinished], draws: int) -> list[str]:
    """What holds for all tables."""
    found = [
        f"Changes in percentage points against heads on plain English, with {LEVEL:.0%} percentile intervals: "
        f"{draws:,} draws of seeds × sentences, paired. One network a run: the claim is about it, not about "
        "its training.",
        "n: translations. Seconds: encoding the translations, the map, and its heads; not step 1, nor the encoding of "
        "the task's sentences, which all methods share. translate-test translates the test sentences.",
        "Forward, the target language is read without the network, which so adds no parameter at inference.",
    ]
    if any(record.config["parallel"] == "general" for record in records):
        found.append("General translations have no labels: with them there is no translated baseline.")
    return [*found, *map(str, unfinished)]


def data(records: list[LangalignRecord], compared: Compared) -> Table:
    """One line a run and method; differences are fractions, not points."""
    rows: list[tuple[Value, ...]] = []
    for index, record in enumerate(records):
        config = record.config
        direction = "reverse" if config["reverse"] else "forward"
        place = (config["task"], config["pair"], record.variant, direction, config["parallel"])
        for name, outcomes in record.outcomes.items():
            sd = float(outcomes.accuracy.std(ddof=1)) if len(record.seeds) > 1 else None
            against = [compared.get((index, name, reference)) for reference in REFERENCES]
            rows.append(
                (
                    *(*place, record.translations, name, record.languages[name], record.accuracy(name), sd),
                    *(None if found is None else getattr(found, limit) for found in against for limit in LIMITS),
                    *(record.value(table, name) for table in (*CLOSENESS, *COSTS)),
                    *(len(record.seeds), record.encoder, data_kind(record.testbed)),
                )
            )
    return Table(title(records, "LangAlign"), COLUMNS, tuple(rows))
