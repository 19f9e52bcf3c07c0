"""A run directory holds one run, known by what changes its numbers."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from launching import REPOSITORY

from xalign.config import AlignConfig, TransferConfig
from xalign.config.registry import PHASES
from xalign.errors import UsageError
from xalign.runs import Inputs, Run, completed, open_run, run_key, state_of

INPUTS = Inputs(weights="w", data={"parallel/a.de": "1"})


def config(output: Path, **changes: Any) -> AlignConfig:
    return AlignConfig(pair="de-en", output=str(output), **changes)


def opened(given: AlignConfig, inputs: Inputs = INPUTS) -> Any:
    return open_run(given, "align", "align/de-en/S1W0M1", {"pair": "de-en"}, inputs)


@pytest.mark.parametrize(
    "change", [{"steps": 7}, {"precision": "bf16"}, {"seed": 1}, {"layer": "8"}, {"pair": "en-kk"}]
)
def test_what_changes_numbers_changes_the_key(change: dict[str, Any], tmp_path: Path) -> None:
    given = config(tmp_path)
    assert run_key("align", given, INPUTS) != run_key("align", dataclasses.replace(given, **change), INPUTS)


@pytest.mark.parametrize(
    "change", [{"output": "elsewhere"}, {"save_every": 1}, {"workers": 3}, {"quiet": True}, {"tracking": "none"}]
)
def test_what_changes_no_number_does_not_change_the_key(change: dict[str, Any], tmp_path: Path) -> None:
    given = config(tmp_path)
    assert run_key("align", given, INPUTS) == run_key("align", dataclasses.replace(given, **change), INPUTS)


def test_an_option_added_later_leaves_the_keys_of_earlier_runs_as_they_were() -> None:
    """Every archived record of these phases, most of them older than `transform` and `codeswitch`."""
    checked = 0
    for path in sorted((REPOSITORY / "results").rglob("run.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["phase"] not in ("finetune", "transfer", "retrieve"):
            continue
        options = {name: tuple(v) if isinstance(v, list) else v for name, v in record["config"].items()}
        inputs = Inputs(record["inputs"]["weights"], record["inputs"]["data"])
        assert run_key(record["phase"], PHASES[record["phase"]](**options), inputs) == record["key"], path
        checked += 1
    assert checked > 0


def test_an_option_added_later_counts_where_it_is_used(tmp_path: Path) -> None:
    plain = TransferConfig(output=str(tmp_path))
    mapped = dataclasses.replace(plain, transform="centring")
    higher = dataclasses.replace(mapped, transform_layer="2/3")
    assert len({run_key("transfer", each, INPUTS) for each in (plain, mapped, higher)}) == 3


def test_other_weights_or_data_are_another_run(tmp_path: Path) -> None:
    keys = {
        run_key("align", config(tmp_path), inputs)
        for inputs in (INPUTS, Inputs("v", INPUTS.data), Inputs("w", {"parallel/a.de": "2"}))
    }
    assert len(keys) == 3


def test_only_the_result_makes_a_run_complete(tmp_path: Path) -> None:
    given = config(tmp_path / "run")
    with opened(given) as run:
        run.log({"step": 1, "loss": 0.5})
        assert state_of(run.directory) == "incomplete"
        run.finish({"steps": 1})
    assert state_of(tmp_path / "run") == "complete"
    done = completed(tmp_path / "run", run_key("align", given, INPUTS))
    assert done is not None and done.reused and done.result["steps"] == 1
    assert completed(tmp_path / "run", "another key") is None


def test_an_error_leaves_its_reason_and_what_was_written(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), opened(config(tmp_path / "run")) as run:
        run.log({"step": 1, "loss": 0.5})
        raise RuntimeError("the disk is on fire")
    assert json.loads((tmp_path / "run" / "failed.json").read_text())["error"] == "the disk is on fire"
    assert (tmp_path / "run" / "metrics.jsonl").read_text().count("\n") == 1
    assert state_of(tmp_path / "run") == "failed"


def test_an_unfinished_run_needs_resume_and_a_resumed_one_forgets_its_failure(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), opened(config(tmp_path / "run")):
        raise RuntimeError
    with pytest.raises(UsageError, match="--resume"), opened(config(tmp_path / "run")):
        pass
    with opened(config(tmp_path / "run", resume=True)) as run:
        assert run.resuming
        assert not (run.directory / "failed.json").exists()


def test_resuming_cuts_metrics_back_to_the_checkpoint_and_drops_a_half_written_line(tmp_path: Path) -> None:
    with opened(config(tmp_path / "run")) as run:
        for step in range(1, 6):
            run.log({"step": step})
    with (tmp_path / "run" / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 6, "lo')
    with opened(config(tmp_path / "run", resume=True)) as run:
        run.note_resume(3)
        run.log({"step": 4})
        assert [json.loads(line)["step"] for line in run.metrics.read_text().splitlines()] == [1, 2, 3, 4]
        assert run.finish({}).result["resumed_from"] == [3]


def test_overwriting_removes_the_run_that_was_there(tmp_path: Path) -> None:
    with opened(config(tmp_path / "run")) as run:
        (run.directory / "encoder").mkdir()
        run.finish({})
    with opened(config(tmp_path / "run", overwrite=True, steps=3)) as run:
        assert sorted(path.name for path in run.directory.iterdir()) == [".lock", "run.json"]


def test_other_processes_see_the_run_without_touching_it(tmp_path: Path) -> None:
    given = config(tmp_path / "run")
    with open_run(given, "align", "align/de-en/S1W0M1", {}, INPUTS, main=False) as run:
        assert isinstance(run, Run)
        run.log({"step": 1})
        run.finish({})
    assert not (tmp_path / "run").exists()
