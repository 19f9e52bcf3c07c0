"""Every method that was tested, whatever made it, as one kind of record: outcomes, what to compare with, and cost.

Transfer runs are compared with the unaligned encoder of the same task and mode, LangAlign's heads with the head on
plain English of the same run.
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
from xalign.report.langalign_records import ENGLISH_ONLY, LangalignRecord, collect_langalign
from xalign.report.lineage import Chain
from xalign.report.records import (
    UNALIGNED,
    Cell,
    TransferRecord,
    collect_transfers,
)
from xalign.storage import read_json

TESTING = ("transfer",)  # phases whose time is not spent on training; maps of states are fitted there, in seconds
LANGALIGN = "langalign"


@dataclass(frozen=True)
class Cost:
    """What a method takes; None where its runs no longer say.

    Attributes:
        parameters: at inference, beyond encoder and head.
        seconds: of all training before the test, all seeds together.
        translations: translated sentences that it was trained on.
    """

    parameters: int | None
    seconds: float | None
    translations: int | None


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
        XalignError: a run is broken or stale, or the testbed is mixed with real data.
    """
    if not runs.is_dir():
        raise UsageError(f"{runs}: no such directory; --runs takes the directory that holds the runs")
    records: list[TransferRecord] = []
    with suppress(UsageError):  # there are none
        records = collect_transfers(runs, methods=True).complete
    groups: dict[tuple[str, str, str], list[TransferRecord]] = defaultdict(list)
    for record in records:
        run = record.chain.runs[0]
        if not run["lineage"].get("partial"):  # a checkpoint on the way is a stage, not a method
            group = groups[record.cell.task, record.cell.mode, _name(run)]
            same = next((other for other in group if other.align_seed == record.align_seed), None)
            if same is not None:
                raise XalignError(
                    f"{same.directory} and {record.directory} are two runs of {_name(run)} on {record.cell.task}, "
                    f"{record.cell.mode}; delete one, or give --runs a directory that holds only one of them"
                )
            group.append(record)
    methods = [
        Method(task, mode, name, BASE, _targets(found[0].chain.runs[0]), tuple(found), chain_cost(found[0].chain))
        for (task, mode, name), found in groups.items()
    ]
    with suppress(UsageError):  # there are none
        methods += [method for found in collect_langalign(runs)[0] for method in langalign_methods(found)]
    if not methods:
        raise UsageError(f"{runs}: nothing was tested here; run 'xalign transfer' on a model, or 'xalign langalign'")
    _require_one_kind(methods)
    return methods


def _name(run: Mapping[str, Any]) -> str:
    """The encoder's name in the name of a transfer run, alignment seeds left out."""
    name, seed = run["name"].split("/", 3)[3], run["lineage"].get("align_seed")
    return str(name).replace(f"-seed{seed}", "")


def _targets(run: Mapping[str, Any]) -> tuple[str, ...]:
    pair = run["lineage"].get("pair")
    if not pair:
        return ()
    return tuple(language.code for language in parse_pair(pair) if language != find("eng"))


def chain_cost(chain: Chain) -> Cost:
    """The cost of everything behind a tested model; runs that are gone leave what they would have said unknown."""
    results = [
        (run, read_json(directory / "result.json"))
        for run, directory in zip(chain.runs, chain.directories, strict=True)
        if (directory / "result.json").is_file()
    ]
    if chain.gone:
        return Cost(None, None, None)
    trained = [result for run, result in results if run["phase"] not in TESTING]
    return Cost(
        parameters=sum(_extra_parameters(result) for _, result in results),
        seconds=sum(float(result["seconds"]) for result in trained if "seconds" in result),
        translations=sum(_translations(run, result) for run, result in results),
    )


def _extra_parameters(result: Mapping[str, Any]) -> int:
    found = result.get("parameters", 0)
    return found if isinstance(found, int) else 0


def _translations(run: Mapping[str, Any], result: Mapping[str, Any]) -> int:
    """Sentence pairs that a run was trained on: said by itself, or for alignment those that its steps could reach."""
    if "translations" in result or run["phase"] != "align":
        return int(result.get("translations", 0))
    config = run["config"]
    return min(int(config["steps"]) * int(config["batch_size"]), int(result.get("pairs", {}).get("kept", 0)))


def langalign_methods(found: LangalignRecord) -> list[Method]:
    """What a LangAlign run tested on the target language's sentences, as heads on a frozen encoder."""
    task, pair, _ = found.place
    label = f"{LANGALIGN} {pair} {found}"
    target = found.languages[ENGLISH_ONLY]
    methods = []
    for name in found.comparable:
        record = TransferRecord(
            directory=found.directory / name, cell=Cell(task, "linear", BASE, UNALIGNED), encoder=found.base,
            align_seed=None, align_step=None, testbed=found.testbed, seeds=found.seeds,
            outcomes={target: found.outcomes[name]}, measures={}, chain=found.chain, method=name,
        )  # fmt: skip
        cost = Cost(
            parameters=found.value("inference_parameters_by_method", name),
            seconds=found.value("seconds_by_method", name),
            translations=found.value("translations_by_method", name),
        )
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
