"""What a tested method takes: extra parameters, seconds of training, translated sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xalign.report.lineage import Chain
from xalign.storage import read_json

TESTING = "transfer"  # its time is not spent on training; maps of states are fitted there, in seconds
LANGALIGN = "langalign"


@dataclass(frozen=True)
class Cost:
    """What a method takes; None where its runs do not say.

    Attributes:
        parameters: at inference, beyond encoder and head.
        seconds: of all training before the test, all seeds together.
        translations: translated sentences that it was trained or fitted on.
    """

    parameters: int | None
    seconds: float | None
    translations: int | None


def cost_of(chains: Sequence[Chain]) -> Cost:
    """The cost of everything behind a tested model: of its tests, one for each alignment seed, and all runs upstream.

    Unknown where an upstream run is gone; seconds also where a run was resumed, which counts its last process alone.
    """
    if any(chain.gone for chain in chains):
        return Cost(None, None, None)
    made = {
        directory: run
        for chain in chains
        for run, directory in zip(chain.runs, chain.directories, strict=True)
        if (directory / "result.json").is_file()
    }
    results = [(run, _method_of(run, read_json(directory / "result.json"))) for directory, run in made.items()]
    trained = [result for run, result in results if run["phase"] != TESTING]
    seconds = None if any(result.get("resumed_from") for result in trained) else sum(map(_seconds, trained))
    # Every alignment seed has a model, and a map, of its own: inference uses one of them.
    parameters = sum(_count(result, "parameters") for _, result in results)
    return Cost(parameters // len(chains), seconds, sum(_translations(run, result) for run, result in results))


def study_cost(result: Mapping[str, Any], method: str) -> Cost:
    """The cost of one method of a LangAlign run; the fine-tuning of step 1 is behind all of them."""
    seconds = result.get("seconds_by_method", {}).get(method)
    return Cost(
        parameters=result.get("inference_parameters_by_method", {}).get(method),
        seconds=None if seconds is None else seconds + result.get("step1_seconds", 0.0),
        translations=result.get("translations_by_method", {}).get(method),
    )


def _method_of(run: Mapping[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    """The result of a run, of LangAlign's that of the network that is transferred, without what it is compared with."""
    if run["phase"] != LANGALIGN:
        return result
    cost = study_cost(result, run["config"]["architecture"])
    return {"parameters": cost.parameters, "seconds": cost.seconds, "translations": cost.translations}


def _seconds(result: Mapping[str, Any]) -> float:
    return float(result.get("seconds") or 0.0)


def _count(result: Mapping[str, Any], name: str) -> int:
    found = result.get(name, 0)
    return found if isinstance(found, int) else 0


def _translations(run: Mapping[str, Any], result: Mapping[str, Any]) -> int:
    """Sentence pairs that a run was trained on: said by itself, or of an older alignment those that its steps reach."""
    if "translations" in result or run["phase"] != "align":
        return _count(result, "translations")
    config = run["config"]
    return min(int(config["steps"]) * int(config["batch_size"]), int(result.get("pairs", {}).get("kept", 0)))
