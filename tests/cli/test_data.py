"""``xalign data`` as its users meet it: licences first, one line for each failure, JSON and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import publishers
import pytest
from loopback import Site, serving

from xalign.__main__ import run
from xalign.data.fetching import catalogue as c
from xalign.data.fetching.catalogue import SOURCES
from xalign.references import cite


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(c, "FLORES_200_SHA256", "")
    monkeypatch.setenv("COLUMNS", "300")
    with serving() as running:
        publishers.publish(running)
        yield running


def words(site: Site, data: Path, *more: str) -> list[str]:
    return ["data", "fetch", "parallel", "sib200", "--data", str(data), "--mirror", site.address, *more]


def test_a_fetch_shows_licences_and_what_came_then_list_and_check_know_it(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words(site, tmp_path, "--pairs", "de-en", "--languages", "de,en")) == 0
    shown = capsys.readouterr().out
    assert shown.index("CC BY-SA 4.0") < shown.index("7 fetched") and "0 already there" in shown
    assert run(words(site, tmp_path, "--pairs", "de-en", "--languages", "de,en", "--quiet")) == 0
    assert "0 fetched (0 B), 7 already there" in capsys.readouterr().out
    assert run(["data", "list", "--data", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "multiccaligned" in shown and "deu eng" in shown
    assert [line.split()[:2] for line in shown.splitlines()[-2:]] == [["opus100", "1"], ["sib200", "6"]]
    assert run(["data", "check", "parallel", "sib200", "--languages", "de", "--data", str(tmp_path)]) == 0
    assert "3 pairs" in capsys.readouterr().out


def test_json_is_all_that_is_printed(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words(site, tmp_path, "--pairs", "de-en", "--languages", "de", "--json")) == 0
    done = json.loads(capsys.readouterr().out)
    assert [each["state"] for each in done] == ["fetched"] * 4 and all(each["licence"] for each in done)
    assert run(["data", "list", "--data", str(tmp_path), "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"sources", "holdings", "downloads"}
    assert run(["data", "list", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"sources"}
    assert run(["data", "check", "--data", str(tmp_path), "--json"]) == 0
    assert {each["kind"] for each in json.loads(capsys.readouterr().out)["checked"]} == {
        "parallel",
        "sib200",
        "sources",
    }


def test_each_failure_has_its_line_and_the_others_are_fetched(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in ("dev", "test"):
        site.files.pop(site.path(c.SIB_200.format(code="deu_Latn", split=split)))
    assert run(words(site, tmp_path, "--pairs", "de-en", "--languages", "de")) == 1
    errors = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[0] for line in errors] == ["failed", "failed", "xalign"]
    assert "2 of 4 files" in errors[-1] and (tmp_path / "parallel").is_dir()


def test_no_network_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "data"
    with serving() as gone:
        address = gone.address
    assert run(["data", "fetch", "flores200", "--data", str(target), "--mirror", address]) == 1
    errors = capsys.readouterr().err
    assert errors.startswith("xalign: 127.0.0.1: no connection") and errors.count("\n") == 1 and not target.exists()


def test_a_check_fails_only_for_what_was_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mono").mkdir()
    (tmp_path / "mono" / "de.txt").write_bytes(b"gut\n\xff\n")
    assert run(["data", "check", "--data", str(tmp_path)]) == 0
    assert "broken: " in capsys.readouterr().out
    assert run(["data", "check", "mono", "ud", "--languages", "de", "--data", str(tmp_path)]) == 1
    missing, broken, last = capsys.readouterr().err.splitlines()
    assert missing.startswith("missing: ") and "de.txt:2: not UTF-8" in broken and "1 missing, 1 broken" in last


def test_every_source_states_its_licence_and_can_be_cited() -> None:
    for source in SOURCES.values():
        assert source.licence and source.provenance and source.licence_url.startswith("https://")
        assert cite(source.cite)
