"""Files are whole or absent, and a directory has one writer."""

from __future__ import annotations

import hashlib
import math
import multiprocessing
import os
from pathlib import Path

import pytest

from xalign import storage
from xalign.errors import UsageError, XalignError
from xalign.storage import (
    cache_directory,
    digest_file,
    digest_json,
    locked,
    read_json,
    remove_partials,
    replacing_directory,
    write_json,
    write_text,
)


def fail_on_rename(*_: object) -> None:
    raise OSError("power cut")


def test_text_is_written_as_it_is(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "қайық\nBoot\n")
    assert (tmp_path / "a.txt").read_bytes() == "қайық\nBoot\n".encode()
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("content", ["half\ud800written", "whole"])
def test_a_write_that_fails_in_the_middle_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    if content == "whole":
        monkeypatch.setattr(storage.os, "fsync", fail_on_rename)
    with pytest.raises((UnicodeEncodeError, OSError)):
        write_text(path, content)
    assert path.read_text() == "old"
    remove_partials(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_json_is_read_back_and_refuses_what_json_has_not(tmp_path: Path) -> None:
    value = {"b": [1, 2.5, None], "a": "ű"}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"loss": math.nan})
    assert read_json(tmp_path / "a.json") == value


def test_broken_json_names_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": 1,\n "b": }')
    with pytest.raises(XalignError, match=r"a\.json:2: not valid JSON"):
        read_json(tmp_path / "a.json")
    (tmp_path / "b.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(XalignError, match=r"b\.json:1: not valid JSON"):
        read_json(tmp_path / "b.json")
    with pytest.raises(XalignError, match=r"c\.json: no such file"):
        read_json(tmp_path / "c.json")


def test_a_directory_appears_whole(tmp_path: Path) -> None:
    with replacing_directory(tmp_path / "below" / "run") as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "a").write_text("1")
        assert not (tmp_path / "below" / "run").exists()
    assert (tmp_path / "below" / "run" / "sub" / "a").read_text() == "1"
    assert [p.name for p in (tmp_path / "below").iterdir()] == ["run"]


def test_a_directory_that_fails_in_the_middle_leaves_the_old_one(tmp_path: Path) -> None:
    final = tmp_path / "run"
    with replacing_directory(final) as folder:
        (folder / "a").write_text("old")
    with pytest.raises(RuntimeError), replacing_directory(final) as folder:
        (folder / "a").write_text("new")
        raise RuntimeError
    assert (final / "a").read_text() == "old"
    with replacing_directory(final) as folder:
        assert list(folder.iterdir()) == []  # what the failed attempt left is gone
        (folder / "b").write_text("new")
    assert [p.name for p in final.iterdir()] == ["b"]
    remove_partials(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_no_half_deleted_directory_ever_stands_under_the_final_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    final = tmp_path / "run"
    with replacing_directory(final) as folder:
        (folder / "a").write_text("old")
    deleted: list[Path] = []
    monkeypatch.setattr(storage.shutil, "rmtree", lambda path, **_: deleted.append(path))
    with replacing_directory(final) as folder:
        (folder / "a").write_text("new")
    assert final not in deleted
    assert (final / "a").read_text() == "new"


def test_partials_are_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".partial-x").mkdir()
    (tmp_path / ".partial-x" / "a").touch()
    (tmp_path / ".partial-y.json").touch()
    (tmp_path / "kept.json").touch()
    remove_partials(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["kept.json"]


def try_lock(path: Path, answers: multiprocessing.Queue[str]) -> None:
    try:
        with locked(path):
            answers.put("held")
    except UsageError as error:
        answers.put(str(error))


def ask_another_process(path: Path) -> str:
    context = multiprocessing.get_context("fork")
    answers: multiprocessing.Queue[str] = context.Queue()
    process = context.Process(target=try_lock, args=(path, answers))
    process.start()
    answer = answers.get(timeout=30)
    process.join()
    return answer


def test_a_second_process_is_refused_while_the_lock_is_held(tmp_path: Path) -> None:
    with locked(tmp_path / ".lock"):
        answer = ask_another_process(tmp_path / ".lock")
    assert answer.startswith(f"{tmp_path}: another process is writing here")
    assert ask_another_process(tmp_path / ".lock") == "held"


def test_the_lock_is_released_by_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), locked(tmp_path / ".lock"):
        raise RuntimeError
    assert ask_another_process(tmp_path / ".lock") == "held"


def test_digests_are_sha256_of_content(tmp_path: Path) -> None:
    content = os.urandom(storage.CHUNK_BYTES + 17)
    (tmp_path / "a").write_bytes(content)
    assert digest_file(tmp_path / "a") == hashlib.sha256(content).hexdigest()
    assert digest_json({"a": 1, "b": [2]}) == digest_json({"b": [2], "a": 1})
    assert digest_json({"a": 1}) != digest_json({"a": "1"})


def test_the_cache_directory_can_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path / "deep" / "cache"))
    assert cache_directory() == tmp_path / "deep" / "cache"
    assert cache_directory().is_dir()
