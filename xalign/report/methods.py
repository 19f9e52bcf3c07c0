"""Every method that was tested, whatever made it, as one kind of record: outcomes, what to compare with, and cost.

Transfer runs are compared with the unaligned encoder of the same task and mode if that was fine-tuned by the same
recipe, LangAlign's heads with heads on plain English of the same run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xalign.data.languages import find, parse_pair
from xalign.errors import UsageError, XalignError
from xalign.naming import BASE
from xalign.report.consistency import (
    as_text,
    grouped,
    options,
    require_equal,
    require_same_data,
    require_same_options,
)
from xalign.report.langalign_records import ENGLISH_ONLY, LangalignRecord, collect_langalign
from xalign.report.method_costs import LANGALIGN, Cost, cost_of, study_cost
from xalign.report.records import UNALIGNED, Cell, TransferRecord, collect_transfers

BASELINE = "realign-baseline"  # fine-tuning by the recipe of realignment, without any
TRANSFORMED = frozenset({"transform", "transform_text", "transform_sentences", "transform_layer"})
OF_NO_CONSEQUENCE = frozenset({"probe"})  # for the models that full fine-tuning leaves
CODE_SWITCHED = frozenset({"codeswitch", "codeswitch_languages", "codeswitch_seed"})


@dataclass(frozen=True)
class Method:
    """One method in one task and mode.

    Attributes:
        name: as `xalign.naming.encoder_name` calls the encoder, or LangAlign's run and method.
        reference: the name of what it is compared with; its own name where it is the reference.
        targets: languages that it was made for, without English; empty where it was made for none.
        records: one for each alignment seed.
    """

    task: str
    mode: str
    name: str
    reference: str
    targets: tuple[str, ...]
    records: tuple[TransferRecord, ...]
    cost: Cost

    @property
    def key(self) -> tuple[str, str, str]:
        """What identifies it in a comparison."""
        return self.task, self.mode, self.name


def collect_methods(runs: Path) -> list[Method]:
    """Read every tested method below `runs`.

    Raises:
        UsageError: `runs` is not a directory, or nothing was tested there.
        XalignError: a run is broken or stale, two runs are of one method, or runs cannot be compared.
    """
    if not runs.is_dir():
        raise UsageError(f"{runs}: no such directory; --runs takes the directory that holds the runs")
    studies: list[LangalignRecord] = []
    with suppress(UsageError):  # there are none
        studies = collect_langalign(runs)[0]
    records: list[TransferRecord] = []
    with suppress(UsageError):
        records = collect_transfers(runs, methods=True).complete
    # A checkpoint on the way is a stage, not a method.
    records = [record for record in records if not record.chain.runs[0]["lineage"].get("partial")]
    require_comparable_methods(records)
    english = {study.directory.resolve(): f"{_label(study)}: {ENGLISH_ONLY}" for study in studies}
    groups: dict[tuple[str, str, str], list[TransferRecord]] = defaultdict(list)
    for record in records:
        groups[record.cell.task, record.cell.mode, _name(record.chain.runs[0])].append(record)
    methods = [
        Method(
            *place, _reference(place, found[0], groups, english), _targets(found[0].chain.runs[0]), tuple(found),
            cost_of([record.chain for record in found]),
        )
        for place, found in groups.items()
    ]  # fmt: skip
    methods += [method for study in studies for method in langalign_methods(study)]
    if not methods:
        raise UsageError(f"{runs}: nothing was tested here; run 'xalign transfer' on a model, or 'xalign langalign'")
    _require_one_kind(methods)
    return methods


def require_comparable_methods(records: list[TransferRecord]) -> None:
    """Refuse transfer runs whose differences would not be those of their methods.

    Raises:
        XalignError: which two, and what differs: base weights, data, options of fine-tuning or transfer other than
            those that make a method; or two runs of one method and alignment seed.
    """
    require_equal(
        [r for r in records if r.chain.base_weights is not None], "base weights", lambda r: r.chain.base_weights
    )
    seen: dict[tuple[str, str, str, int | None], TransferRecord] = {}
    for record in records:
        place = (record.cell.task, record.cell.mode, _name(record.chain.runs[0]), record.align_seed)
        if (other := seen.setdefault(place, record)) is not record:
            raise XalignError(
                f"{other.directory} and {record.directory} are two runs of {place[2]} on {place[0]}, {place[1]}; "
                "delete one, or give --runs a directory that holds only one of them"
            )
    for block in grouped(records, lambda r: (r.cell.task, r.cell.mode)):
        require_same_options(block, "finetune", ignoring=CODE_SWITCHED)
        require_same_options(block, "transfer", ignoring=TRANSFORMED)
    for task in grouped(records, lambda r: r.cell.task):
        require_same_data(task)
    for method in grouped(records, lambda r: (r.cell.task, r.cell.mode, _name(r.chain.runs[0]))):
        require_equal(method, "languages", lambda r: r.languages)
        require_equal(method, "fine-tuning seeds", lambda r: r.seeds)


def _reference(
    place: tuple[str, str, str],
    record: TransferRecord,
    groups: Mapping[tuple[str, str, str], list[TransferRecord]],
    english: Mapping[Path, str],
) -> str:
    """What a method is compared with: the base, where it was fine-tuned by the same recipe.

    LangAlign's heads are compared with heads on plain English of their own run, and realignment with its own baseline
    where the recipe is another one.
    """
    study = next((english[path.resolve()] for path in record.chain.directories if path.resolve() in english), None)
    if study is not None:
        return study
    tuned = record.chain.phase("realign") or record.chain.phase("joint")
    if tuned is None or place[2] == f"{BASE}+{BASELINE}":
        return BASE if tuned is None else place[2]
    base = next(iter(groups.get((*place[:2], BASE), ())), None)
    recipe = {} if base is None else options(base, "finetune")
    own = tuned["config"]
    if recipe and all(as_text(own.get(k, v)) == as_text(v) for k, v in recipe.items() if k not in OF_NO_CONSEQUENCE):
        return BASE
    return f"{BASE}+{BASELINE}" if tuned["phase"] == "realign" else f"{BASE} by the same recipe"


def _name(run: Mapping[str, Any]) -> str:
    """The encoder's name in the name of a transfer run, alignment seeds left out."""
    name, seed = run["name"].split("/", 3)[3], run["lineage"].get("align_seed")
    return str(name).replace(f"-seed{seed}", "")


def _targets(run: Mapping[str, Any]) -> tuple[str, ...]:
    pair = run["lineage"].get("pair")
    if not pair:
        return ()
    return tuple(language.code for language in parse_pair(pair) if language != find("eng"))


def _label(study: LangalignRecord) -> str:
    """What a LangAlign run is called in a comparison."""
    _, pair, encoder = study.place
    return f"{LANGALIGN} {pair} {'' if encoder == BASE else f'{encoder} '}{study}"


def langalign_methods(found: LangalignRecord) -> list[Method]:
    """What a LangAlign run tested on the target language's sentences, as heads on a frozen encoder."""
    task, label = found.place[0], _label(found)
    target = found.languages[ENGLISH_ONLY]
    methods = []
    for name in found.comparable:
        record = TransferRecord(
            directory=found.directory / name, cell=Cell(task, "linear", BASE, UNALIGNED), encoder=found.base,
            align_seed=None, align_step=None, testbed=found.testbed, seeds=found.seeds,
            outcomes={target: found.outcomes[name]}, measures={}, chain=found.chain, method=name,
        )  # fmt: skip
        cost = study_cost(found.result, name)
        methods.append(
            Method(task, "linear", f"{label}: {name}", f"{label}: {ENGLISH_ONLY}", (target,), (record,), cost)
        )
    return methods


def _require_one_kind(methods: list[Method]) -> None:
    records = [record for method in methods for record in method.records]
    for what, values in (
        ("the testbed is mixed with real data", {record.testbed for record in records}),
        ("base encoders differ", {record.encoder for record in records}),
    ):
        if len(values) > 1:
            raise XalignError(
                f"{records[0].directory}: {what} ({', '.join(map(str, sorted(values)))}); "
                "give --runs a directory that holds runs of one kind"
            )
