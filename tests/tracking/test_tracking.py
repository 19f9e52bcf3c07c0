"""The MLflow mirror: complete, without repetition, and unable to hurt a run."""

from __future__ import annotations

import http.client
import json
import logging
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from xalign.errors import UsageError, XalignError
from xalign.tracking import Mirror, following, sync
from xalign.tracking.page import page, ui_command
from xalign.tracking.store import flatten, numbers, open_store
from xalign.tracking.view import with_average

Writer = Callable[..., Path]


@pytest.fixture(autouse=True)
def no_server_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database with MLflow's tables, made once: making them takes seconds."""
    runs = tmp_path_factory.mktemp("empty")
    open_store(runs, experiment="unused")
    return (runs / "mlflow.db").read_bytes()


@pytest.fixture
def runs(tmp_path: Path, empty_store: bytes) -> Path:
    directory = tmp_path / "runs of a test"
    directory.mkdir()
    (directory / "mlflow.db").write_bytes(empty_store)
    return directory


@pytest.fixture
def write_run(runs: Path) -> Iterator[Writer]:
    def write(name: str = "align/de-en/S1W0M1", key: str = "k1", steps: int = 3, **parts: Any) -> Path:
        run = runs / name
        run.mkdir(parents=True)
        lineage = {"encoder": "tiny", "pair": "de-en", "loss": "S1W0M1", "align_seed": 42, "task": None, "mode": None}
        description = {
            "phase": "align", "name": name, "key": key, "lineage": lineage, "testbed": True,
            "config": {"steps": steps, "optimizer": {"rate": 1e-3, "betas": [0.9, 0.99]}, "note": None},
            "git": {"commit": "abc123", "dirty": False}, "created": "2026-03-01T10:00:00+00:00",
        }  # fmt: skip
        (run / "run.json").write_text(json.dumps(description))
        append(run, *({"step": step, "loss": 1 / step} for step in range(1, steps + 1)))
        for part, value in parts.items():
            (run / f"{part}.json").write_text(json.dumps(value))
        return run

    yield write


def append(run: Path, *lines: dict[str, Any]) -> None:
    with (run / "metrics.jsonl").open("a") as stream:
        stream.writelines(json.dumps(line) + "\n" for line in lines)


def mirrored(runs: Path, experiment: str = "xalign") -> list[Any]:
    client, experiment_id = open_store(runs, experiment=experiment)
    return list(client.search_runs([experiment_id]))


def history(runs: Path, run_id: str, metric: str) -> list[tuple[int, float]]:
    client, _ = open_store(runs)
    return sorted((point.step, point.value) for point in client.get_metric_history(run_id, metric))


def test_a_complete_run_is_mirrored_whole(runs: Path, write_run: Writer) -> None:
    run = write_run(result={"accuracy": {"deu": {"15": 0.5}}, "seconds": 2, "resumed_from": [3], "ok": True})
    (run / "environment.json").write_text("{}")
    append(run, {"step": 3, "validation": {"mean_cosine": 0.25}})

    assert Mirror(run, runs).finish() == "FINISHED"

    [found] = mirrored(runs)
    tags = {"phase": "align", "pair": "de-en", "loss": "S1W0M1", "encoder": "tiny", "key": "k1", "testbed": "true"}
    assert found.info.run_name == "align/de-en/S1W0M1"
    assert found.info.status == "FINISHED"
    assert tags.items() <= found.data.tags.items()
    assert found.data.tags["git_commit"] == "abc123"
    assert "task" not in found.data.tags
    assert found.data.params == {
        "steps": "3",
        "optimizer.rate": "0.001",
        "optimizer.betas": "[0.9, 0.99]",
        "note": "null",
    }
    assert history(runs, found.info.run_id, "loss") == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert history(runs, found.info.run_id, "validation/mean_cosine") == [(3, 0.25)]
    assert history(runs, found.info.run_id, "accuracy/deu/15") == [(3, 0.5)]
    assert history(runs, found.info.run_id, "seconds") == [(3, 2.0)]
    assert {"resumed_from", "ok"}.isdisjoint(found.data.metrics)
    client, experiment_id = open_store(runs)
    assert {file.path for file in client.list_artifacts(found.info.run_id)} == {
        "run.json",
        "environment.json",
        "result.json",
    }
    tags = client.get_experiment(experiment_id).tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    assert json.loads((run / "tracking.json").read_text()) == {"run_id": found.info.run_id, "last_step": 3}


def test_catching_up_twice_logs_nothing_twice(runs: Path, write_run: Writer) -> None:
    run = write_run(steps=2)
    mirror = Mirror(run, runs)
    assert [mirror.catch_up(), mirror.catch_up()] == [2, 0]
    append(run, {"step": 2, "loss": 0.4, "again": 1}, {"step": 3, "loss": 0.3})
    assert [mirror.catch_up(), Mirror(run, runs).catch_up()] == [2, 0]
    [found] = mirrored(runs)
    assert history(runs, found.info.run_id, "loss") == [(1, 1.0), (2, 0.4), (2, 0.5), (3, 0.3)]


def test_lines_cut_back_and_written_again_by_a_resume_are_not_repeated(runs: Path, write_run: Writer) -> None:
    run = write_run(steps=4)
    Mirror(run, runs).catch_up()
    metrics = run / "metrics.jsonl"
    metrics.write_text("".join(metrics.read_text().splitlines(keepends=True)[:2]))
    mirror = Mirror(run, runs)
    assert mirror.catch_up() == 0
    append(run, *({"step": step, "loss": 1 / step} for step in (3, 4, 5)))
    assert mirror.catch_up() == 1
    [found] = mirrored(runs)
    assert [step for step, _ in history(runs, found.info.run_id, "loss")] == [1, 2, 3, 4, 5]


def test_a_run_without_its_tracking_file_is_found_again(runs: Path, write_run: Writer) -> None:
    run = write_run()
    Mirror(run, runs).catch_up()
    before = json.loads((run / "tracking.json").read_text())
    (run / "tracking.json").unlink()
    append(run, {"step": 4, "loss": 0.1})
    assert Mirror(run, runs).catch_up() == 1
    assert len(mirrored(runs)) == 1
    assert json.loads((run / "tracking.json").read_text()) == {"run_id": before["run_id"], "last_step": 4}


def test_a_repeated_run_with_the_same_key_gets_its_own_record(runs: Path, write_run: Writer) -> None:
    run = write_run()
    Mirror(run, runs).catch_up()
    (run / "tracking.json").unlink()
    description = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(description | {"created": "2026-03-01T11:00:00+00:00"}))
    assert Mirror(run, runs).catch_up() == 3
    assert len(mirrored(runs)) == 2


def test_a_tracking_file_of_another_store_is_not_believed(runs: Path, write_run: Writer) -> None:
    run = write_run()
    (run / "tracking.json").write_text('{"run_id": "feedfeedfeedfeedfeedfeedfeedfeed", "last_step": 3}')
    assert Mirror(run, runs).catch_up() == 3
    [found] = mirrored(runs)
    assert json.loads((run / "tracking.json").read_text())["run_id"] == found.info.run_id


def test_the_seeds_of_a_fine_tuning_are_curves_of_their_own(runs: Path, write_run: Writer) -> None:
    run = write_run(steps=0)
    append(run, {"step": 1, "seed": 15, "loss": 0.9}, {"step": 2, "seed": 15, "loss": 0.8})
    Mirror(run, runs).catch_up()
    append(run, {"step": 1, "seed": 33, "loss": 0.7})
    Mirror(run, runs).catch_up()
    [found] = mirrored(runs)
    assert history(runs, found.info.run_id, "seed_15/loss") == [(1, 0.9), (2, 0.8)]
    assert history(runs, found.info.run_id, "seed_33/loss") == [(1, 0.7)]


def test_a_line_without_its_end_waits(runs: Path, write_run: Writer) -> None:
    run = write_run(steps=1)
    with (run / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 2, "lo')
    assert Mirror(run, runs).catch_up() == 1
    with (run / "metrics.jsonl").open("a") as stream:
        stream.write('ss": 0.5}\n')
    assert Mirror(run, runs).catch_up() == 1


def test_a_run_stands_below_the_run_that_it_was_made_from(runs: Path, write_run: Writer) -> None:
    write_run("align/a", key="a", result={})
    child = write_run("finetune/b", key="b", result={})
    description = json.loads((child / "run.json").read_text())
    (child / "run.json").write_text(json.dumps(description | {"upstream": [{"path": "gone", "key": "a"}]}))
    sync(runs)
    found = {run.info.run_name: run for run in mirrored(runs)}
    assert found["finetune/b"].data.tags["mlflow.parentRunId"] == found["align/a"].info.run_id
    assert "mlflow.parentRunId" not in found["align/a"].data.tags


def test_the_average_leaves_english_out_and_counts_each_language_once() -> None:
    by_language = {"eng": {"15": 1.0}, "deu": {"15": 0.2, "33": 0.4}, "kaz": {"15": 0.7}}
    assert with_average({"accuracy": by_language})["accuracy/average"] == pytest.approx(0.5)
    for result in ({"accuracy": {"eng": {"15": 1.0}}}, {"accuracy": 0.5}, {"accuracy": None}, {}):
        assert with_average(result) == result


def test_an_experiment_of_an_earlier_version_gets_the_view_and_keeps_its_description(runs: Path) -> None:
    client, experiment_id = open_store(runs)
    client.set_experiment_tag(experiment_id, "mlflow.sharedViewState.xalign", "{}")
    client.set_experiment_tag(experiment_id, "mlflow.note.content", "mine")
    address = page(runs, port=5001)
    tags = client.get_experiment(experiment_id).tags
    assert address.startswith("http://127.0.0.1:5001/#/experiments/") and "viewStateShareKey=xalign" in address
    assert "accuracy/average" in tags["mlflow.sharedViewState.xalign"] and tags["mlflow.note.content"] == "mine"


@pytest.mark.parametrize("line", ["not json", "[1, 2]", '{"loss": 1}'])
def test_a_broken_line_is_named_with_its_number(runs: Path, write_run: Writer, line: str) -> None:
    run = write_run(steps=2)
    with (run / "metrics.jsonl").open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(XalignError, match=r"metrics\.jsonl:3: "):
        Mirror(run, runs).catch_up()


def test_more_metrics_than_one_call_takes_arrive_whole(runs: Path, write_run: Writer) -> None:
    run = write_run(steps=0, result={"accuracy": {f"l{i}": {"15": i} for i in range(1100)}})
    append(run, *({"step": step, **{f"m{i}": step for i in range(300)}} for step in range(1, 6)))
    config = json.loads((run / "run.json").read_text())
    config["config"] = {f"option{i}": i for i in range(150)}
    (run / "run.json").write_text(json.dumps(config))
    Mirror(run, runs).finish()
    [found] = mirrored(runs)
    assert len(found.data.params) == 150
    assert sum(name.startswith("accuracy/l") for name in found.data.metrics) == 1100
    assert [step for step, _ in history(runs, found.info.run_id, "m299")] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("parts", "otherwise", "expected"),
    [({"failed": {"error": "x"}}, "KILLED", "FAILED"), ({}, "KILLED", "KILLED"), ({}, "FAILED", "FAILED")],
)
def test_the_status_says_how_a_run_ended(
    runs: Path, write_run: Writer, parts: dict[str, Any], otherwise: Any, expected: str
) -> None:
    run = write_run(**parts)
    assert Mirror(run, runs).finish(otherwise) == expected
    assert mirrored(runs)[0].info.status == expected


def test_a_killed_run_that_goes_on_is_running_again(runs: Path, write_run: Writer) -> None:
    run = write_run()
    Mirror(run, runs).finish()
    append(run, {"step": 4, "loss": 0.2})
    Mirror(run, runs).catch_up()
    assert mirrored(runs)[0].info.status == "RUNNING"


@pytest.mark.parametrize(
    ("choice", "expected"),
    [("none", set()), ("final", {"encoder", "head"}), ("all", {"encoder", "head", "encoder-step2"})],
)
def test_checkpoints_are_uploaded_as_asked(runs: Path, write_run: Writer, choice: str, expected: set[str]) -> None:
    run = write_run(result={})
    for name in ("encoder", "encoder-step2", "head", "checkpoints"):
        (run / name).mkdir()
        (run / name / "file").write_text(name)
    Mirror(run, runs).finish()
    Mirror(run, runs, log_checkpoints=choice).finish()
    client, _ = open_store(runs)
    run_id = mirrored(runs)[0].info.run_id
    assert {file.path for file in client.list_artifacts(run_id) if file.is_dir} == expected
    assert (runs / "mlartifacts" / run_id / "artifacts" / "run.json").is_file()


def test_following_mirrors_while_the_block_still_trains(runs: Path, write_run: Writer) -> None:
    directory = write_run(steps=2)
    with following(as_run(directory), runs=runs, every_seconds=0.05):
        deadline = time.monotonic() + 30
        while not (directory / "tracking.json").is_file() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert mirrored(runs)[0].info.status == "RUNNING"
        append(directory, {"step": 3, "loss": 0.1})
        (directory / "result.json").write_text("{}")
    [found] = mirrored(runs)
    assert (found.info.status, found.data.metrics["loss"]) == ("FINISHED", 0.1)


def test_an_error_passes_through_following_and_marks_the_run_failed(runs: Path, write_run: Writer) -> None:
    with pytest.raises(ZeroDivisionError), following(as_run(write_run()), runs=runs):
        raise ZeroDivisionError
    assert mirrored(runs)[0].info.status == "FAILED"


def test_a_tracking_failure_is_one_warning_and_no_error(
    runs: Path, write_run: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    directory = write_run()
    bad_store = following(as_run(directory), runs=runs, store="no-such-scheme://x\ny", every_seconds=0.05)
    with caplog.at_level(logging.WARNING, "xalign"), bad_store:
        time.sleep(0.5)
        (directory / "result.json").write_text("{}")
    [warning] = [record.getMessage() for record in caplog.records if record.name == "xalign.tracking.following"]
    assert "\n" not in warning and "xalign mlflow sync" in warning


@pytest.mark.parametrize("how", [{"main": False}, {"tracking": "none"}])
def test_other_ranks_and_untracked_runs_leave_no_trace(runs: Path, write_run: Writer, how: dict[str, Any]) -> None:
    directory = write_run()
    main = how.pop("main", True)
    with following(as_run(directory, main), runs=runs, **how):
        pass
    assert not (directory / "tracking.json").exists()


def test_sync_mirrors_every_run_and_leaves_open_ones_running(runs: Path, write_run: Writer) -> None:
    write_run("align/a", key="a", result={})
    write_run("align/b", key="b")
    broken = write_run("align/c", key="c")
    (broken / "metrics.jsonl").write_text("?\n")
    for _ in range(2):  # the second time, the artifacts of the first hold a run.json of their own
        with pytest.raises(XalignError, match=r"1 of 3 runs not mirrored: align/c: .*metrics\.jsonl:1: "):
            sync(runs)
    assert {run.info.run_name: run.info.status for run in mirrored(runs)} == {
        "align/a": "FINISHED",
        "align/b": "RUNNING",
        "align/c": "RUNNING",
    }
    (broken / "metrics.jsonl").unlink()
    assert sync(runs) == 3


def test_sync_without_runs_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no run directory"):
        sync(tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_unreachable_store_is_one_line(runs: Path, write_run: Writer) -> None:
    write_run()
    with pytest.raises(XalignError, match="MLflow store no-such-scheme://x") as caught:
        sync(runs, store="no-such-scheme://x")
    assert "\n" not in str(caught.value)


def test_names_are_spelled_as_mlflow_allows() -> None:
    assert flatten({"a b": {"c*": 1, "é": {"d": [1]}}}, ".") == {"a b.c_": 1, "a b._.d": [1]}
    assert numbers({"x": {"y": 1}, "flag": True, "text": "3", "none": None}) == {"x/y": 1.0}


def test_tracking_imports_no_mlflow_and_turns_its_telemetry_off() -> None:
    code = "import os, sys, xalign.tracking; print('mlflow' in sys.modules, os.environ['MLFLOW_DISABLE_TELEMETRY'])"
    bare = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW")}
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=bare)
    assert told.stdout.split() == ["False", "true"]


def test_nothing_is_written_to_the_current_folder(
    runs: Path, write_run: Writer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    write_run(result={})
    sync(runs)
    assert not list(elsewhere.iterdir())


def test_the_page_is_served_on_loopback_to_its_own_names_with_the_runs_artifacts(
    runs: Path, write_run: Writer, tmp_path: Path, unused_port: int
) -> None:
    run = write_run(result={"accuracy": 0.5})
    Mirror(run, runs).finish()
    run_id = json.loads((run / "tracking.json").read_text())["run_id"]
    command = ui_command(runs, port=unused_port)
    assert command[command.index("--host") + 1] == "127.0.0.1"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=elsewhere, start_new_session=True)
    try:
        address = f"http://127.0.0.1:{unused_port}/get-artifact?path=result.json&run_uuid={run_id}"
        assert json.loads(when_up(address)) == {"accuracy": 0.5}
        for host, status in ((f"localhost:{unused_port}", 200), ("rebound.example", 403), ("10.0.0.1", 403)):
            assert answer_to(host, unused_port) == status
        with socket.socket() as elsewhere_bound:  # every other address of this machine is still free
            elsewhere_bound.bind(("127.0.0.2", unused_port))
    finally:
        os.killpg(server.pid, 15)
        server.wait(30)
    assert not list(elsewhere.iterdir())


def answer_to(host: str, port: int) -> int:
    """The status of the page for a reader who believes it to be called `host`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/", headers={"Host": host})
    return connection.getresponse().status


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def when_up(address: str, seconds: float = 90.0) -> bytes:
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                return bytes(answer.read())
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def as_run(directory: Path, main: bool = True) -> Any:
    return SimpleNamespace(directory=directory, main=main)
