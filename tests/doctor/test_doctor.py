"""The doctor: says what is missing, only where it was asked for, and quickly."""

from __future__ import annotations

import importlib.metadata
import json
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from xalign import model_source
from xalign.__main__ import run
from xalign.doctor import Finding, examine, machine, requested, surroundings
from xalign.doctor.machine import gpu


def about(topic: str, findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.topic.startswith(topic)]


def missing(findings: list[Finding]) -> list[str]:
    return [finding.text for finding in findings if finding.state == "missing"]


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "ACCELERATE_USE_DEEPSPEED", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def unreachable_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(model_source, "hub_reachable", lambda: False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def test_a_machine_without_requests_misses_nothing() -> None:
    findings = examine()
    assert missing(findings) == []
    assert {"python", "libraries", "devices", "threads", "launch", "g++", "ninja", "memory", "disk"} <= {
        finding.topic for finding in findings
    }
    assert not about("data", findings) and not about("model", findings) and not about("mlflow", findings)


def test_versions_are_those_installed_and_an_absent_library_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "LIBRARIES", ("torch", "no-such-library"))
    found, absent = about("libraries", examine())
    assert found.text == f"torch {importlib.metadata.version('torch')}"
    assert (absent.state, absent.text) == ("missing", "not installed: no-such-library")


@pytest.mark.parametrize(
    ("capability", "built_for", "state", "said"),
    [
        ((8, 0), ["sm_70", "sm_80"], "ok", "bf16"),
        ((8, 9), ["sm_80", "sm_90a"], "ok", "bf16"),
        ((12, 0), ["sm_80", "compute_90"], "ok", "bf16"),
        ((7, 0), ["sm_70", "sm_80"], "note", "fp16"),
        ((7, 5), ["sm_75"], "note", "fp16"),
        ((7, 0), ["sm_75", "sm_80", "compute_90"], "missing", "no code for it"),
        ((9, 0), ["sm_80"], "missing", "no code for it"),
    ],
)
def test_a_gpu_is_judged_by_its_capability_and_by_what_torch_was_built_for(
    capability: tuple[int, int], built_for: list[str], state: str, said: str
) -> None:
    finding = gpu(0, "a GPU", capability, built_for)
    assert finding.state == state
    assert said in finding.text
    assert ("cu126" in finding.advice) == (capability == (7, 0))


def test_the_ranks_of_a_launch_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert about("launch", examine())[0].text == "2 ranks"
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    assert about("launch", examine())[0].text == "DeepSpeed, 2 ranks"


def test_compilers_are_missing_only_under_deepspeed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert [finding.state for topic in ("g++", "ninja") for finding in about(topic, examine())] == ["note", "note"]
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    assert [finding.state for topic in ("g++", "ninja") for finding in about(topic, examine())] == [
        "missing",
        "missing",
    ]


def test_data_is_counted_by_kind_and_an_absent_kind_is_a_note(tmp_path: Path) -> None:
    pair = tmp_path / "parallel" / "de-en"
    pair.mkdir(parents=True)
    for language in ("de", "en"):
        (pair / f"tiny.de-en.{language}").write_text("a\n")
    (tmp_path / "flores200_dataset" / "devtest").mkdir(parents=True)
    (tmp_path / "flores200_dataset" / "devtest" / "deu_Latn.devtest").write_text("a\n")
    (tmp_path / "muse").mkdir()
    (tmp_path / "muse" / "en-de.txt").write_text("a b\n")
    findings = about("data", examine(data=tmp_path))
    assert {finding.text: finding.state for finding in findings} == {
        "parallel pairs: 1 (de-en)": "ok",
        "treebanks to train on: 0": "note",
        "treebanks to test on: 0": "note",
        "SIB-200 topics: 0": "note",
        "FLORES-200: 1 (deu)": "ok",
        "dictionaries: 1 (eng-deu)": "ok",
        "monolingual text: 0": "note",
    }
    (tmp_path / "TESTBED.json").write_text("{}")
    assert about("data (testbed)", examine(data=tmp_path))


@pytest.mark.parametrize("made", [False, True])
def test_data_that_was_asked_for_and_is_not_there_is_missing(tmp_path: Path, made: bool) -> None:
    folder = tmp_path / "corpora"
    if made:
        folder.mkdir()
    [text] = missing(examine(data=folder))
    assert str(folder) in text


def test_a_model_directory_is_found_and_an_empty_one_is_missing(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert about("model", examine(model=str(tmp_path)))[0].state == "ok"
    (tmp_path / "config.json").unlink()
    assert about("model", examine(model=str(tmp_path)))[0].state == "missing"
    assert about("model", examine(model=str(tmp_path / "nowhere")))[0].state == "missing"


def test_a_hub_name_without_network_is_missing_and_with_it_a_download(
    unreachable_hub: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert about("model", examine(model="some/encoder"))[0].state == "missing"
    monkeypatch.setattr(model_source, "hub_reachable", lambda: True)
    assert about("model", examine(model="some/encoder"))[0].state == "note"


def test_a_hub_name_in_the_cache_needs_no_network(unreachable_hub: None, tmp_path: Path) -> None:
    cached = tmp_path / "hub" / "models--some--encoder"
    (cached / "snapshots" / "abc").mkdir(parents=True)
    (cached / "snapshots" / "abc" / "config.json").write_text("{}")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("abc")
    code = "from xalign.doctor.requested import reachable_model as look; print(look('some/encoder').state)"
    told = subprocess.run(
        [sys.executable, "-c", code], env={"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"},
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert told.stdout.split() == ["ok"]


def test_a_silent_network_is_waited_for_a_few_seconds_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent() -> bool:
        time.sleep(30)
        return True

    monkeypatch.setattr(model_source, "hub_reachable", silent)
    started = time.monotonic()
    assert not surroundings.hub_answers(seconds=0.2)
    assert time.monotonic() - started < 5


def test_the_store_of_the_runs_is_counted_or_declared_broken(tmp_path: Path) -> None:
    def store() -> Finding:
        return about("mlflow", examine(runs=tmp_path))[0]

    assert store().state == "ok"
    assert list(tmp_path.iterdir()) == []
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        connection.execute("CREATE TABLE runs (name TEXT)")
        connection.execute("INSERT INTO runs VALUES ('one')")
    assert store().text.endswith("mlflow.db: 1 runs")
    (tmp_path / "mlflow.db").write_text("not a database, but as long as one of these needs to be" * 20)
    assert store().state == "missing"


def test_looking_imports_no_heavy_library() -> None:
    code = (
        "import json, sys; from xalign.doctor import examine; examine();"
        "heavy = {'mlflow', 'deepspeed', 'transformers', 'datasets'};"
        "print(json.dumps(sorted(heavy & set(sys.modules))))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(told.stdout.splitlines()[-1]) == []


def test_optional_packages_that_are_absent_name_their_use_and_how_to_install_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(surroundings, "OPTIONAL", (("numpy", "all", "numpy"), ("no-such", "an option", "'it'")))
    found, absent = about("optional", examine())
    assert found.text.startswith("numpy ") and found.state == "ok"
    assert (absent.state, absent.text, absent.advice) == (
        "note", "not installed: no-such (an option)", "pip install 'it'",
    )  # fmt: skip


def test_the_cache_is_looked_at_and_not_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path / "not" / "yet"))
    assert about("cache", examine())[0].state == "ok"
    assert list(tmp_path.iterdir()) == []


def test_the_hub_is_asked_only_where_wanted_and_its_absence_is_a_note(unreachable_hub: None) -> None:
    assert not about("hub", examine())
    [found] = about("hub", examine(network=True))
    assert found.state in ("note", "ok") and missing([found]) == []


def test_a_tracking_server_that_does_not_answer_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = f"http://me:sesame@127.0.0.1:{listener.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        assert about("mlflow", examine(runs=tmp_path))[0].state == "ok"
    [found] = about("mlflow", examine(runs=tmp_path))
    assert found.state == "missing" and "sesame" not in found.text


def test_the_disk_of_a_plan_is_held_against_what_is_free(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def planned(target: str) -> Finding:
        return requested.planned_disk(target, "smoke", tmp_path / "runs", "mini", None)

    assert planned("align").state == "ok" and "GB free" in planned("align").text
    monkeypatch.setattr(requested.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    assert planned("align").state == "missing"
    assert planned("no-such-target").state == "missing"
    assert not (tmp_path / "runs").exists()


def test_the_doctors_json_is_all_that_it_prints(
    capsys: pytest.CaptureFixture[str], unreachable_hub: None, tmp_path: Path
) -> None:
    assert run(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"topic", "state", "text", "advice"} == set(found[0])
    assert run(["doctor", "--json", "--data", str(tmp_path / "none")]) == 1
    told = capsys.readouterr()
    assert any(each["state"] == "missing" for each in json.loads(told.out)) and told.err.startswith("xalign: missing")
