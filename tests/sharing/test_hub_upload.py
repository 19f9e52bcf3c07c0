"""Uploading an export: its files alone, private where asked, failures in one line, and never the token."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from architectures import write_encoder
from huggingface_hub import constants

from xalign import model_source
from xalign.__main__ import run as command
from xalign.errors import XalignError
from xalign.sharing import hub_upload
from xalign.sharing.hub_upload import upload

TOKEN = "hf_secretsecretsecret"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_encoder(tmp_path / "encoder", "bert")


@pytest.fixture
def words(folder: Path, tmp_path: Path) -> list[str]:
    return ["export", "--model", str(folder), "--output", str(tmp_path / "export"), "--push-to-hub", "some-lab/encoder"]


class Refusing(BaseHTTPRequestHandler):
    """A hub that answers every request with one status and echoes the credentials, as careless proxies do."""

    status = 401
    asked: list[str] = []  # noqa: RUF012

    def do_POST(self) -> None:
        self.asked.append(self.headers.get("authorization", ""))
        self.rfile.read(int(self.headers.get("content-length", 0)))
        body = json.dumps({"error": f"no rights for {self.asked[-1]}"}).encode()
        self.send_response(self.status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Refusing]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(model_source, "getproxies", dict)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    Refusing.asked.clear()
    yield Refusing
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("status", "advice"), [(401, "hf auth login"), (403, "the token's rights")])
def test_a_refusal_is_one_line_without_the_token_and_the_export_stays(
    status: int, advice: str, hub: type[Refusing], words: list[str], tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(hub, "status", status)
    assert command(words) == 1
    shown = capsys.readouterr()
    said = [line for line in shown.err.splitlines() if "push-to-hub" in line]
    assert len(said) == 1 and f"refuses ({status})" in said[0] and advice in said[0]
    assert hub.asked == [f"Bearer {TOKEN}"]  # it was sent, and yet
    assert TOKEN not in shown.out + shown.err and "Traceback" not in shown.err
    assert (tmp_path / "export" / "modules.json").is_file()


@pytest.mark.parametrize(("token", "message"), [(None, "no token for the hub"), (TOKEN, "the hub cannot be reached")])
def test_without_token_or_network_nothing_is_written_and_the_answer_takes_seconds(
    token: str | None, message: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: token)
    monkeypatch.setattr(model_source, "getproxies", dict)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    began = time.monotonic()
    assert command(words) == 1
    assert time.monotonic() - began < 5
    shown = capsys.readouterr()
    assert message in shown.err and TOKEN not in shown.out + shown.err
    assert not (tmp_path / "export").exists()


class Accepting:
    """Stands for `HfApi`: remembers what it was asked."""

    public = False

    def __init__(self, endpoint: str) -> None:
        self.calls = CALLS

    def create_repo(self, name: str, *, private: bool, exist_ok: bool) -> str:
        self.calls.append(("create", name, private))
        return f"https://hub/{name}"

    def repo_info(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(private=not self.public)

    def upload_folder(self, *, repo_id: str, folder_path: Path, allow_patterns: list[str], commit_message: str) -> None:
        self.calls.append(("upload", repo_id, {path: (folder_path / path).is_file() for path in allow_patterns}))


CALLS: list[tuple[Any, ...]] = []


@pytest.fixture
def accepting(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    CALLS.clear()
    monkeypatch.setattr(huggingface_hub, "HfApi", Accepting)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: TOKEN)
    monkeypatch.setattr(hub_upload, "hub_reachable", lambda: True)
    return CALLS


def test_the_files_of_the_export_are_uploaded_and_nothing_of_the_run(
    accepting: list[tuple[Any, ...]], words: list[str], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "optimizer.safetensors").write_bytes(b"state")
    (folder / "checkpoints").mkdir()
    assert command([*words, "--private"]) == 0
    shown = capsys.readouterr()
    assert "https://hub/some-lab/encoder" in shown.out and TOKEN not in shown.out + shown.err
    created, uploaded = accepting
    assert created == ("create", "some-lab/encoder", True)
    files = uploaded[2]
    assert all(files.values()) and {"README.md", "model.safetensors", "modules.json"} <= files.keys()
    assert not [name for name in files if "optimizer" in name or "checkpoint" in name or "run.json" in name]
    assert files.keys() == {p.relative_to(tmp_path / "export").as_posix() for p in (tmp_path / "export").rglob("*.*")}


def test_what_was_to_be_private_is_never_sent_to_a_public_repository(
    accepting: list[tuple[Any, ...]], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Accepting, "public", True)
    with pytest.raises(XalignError, match="that repository is public; nothing was uploaded"):
        upload(folder, "some-lab/encoder", private=True)
    assert [call[0] for call in accepting] == ["create"]
    upload(folder, "some-lab/encoder", private=False)
    assert accepting[-1][0] == "upload"


def test_a_transport_that_breaks_is_one_line(
    accepting: list[tuple[Any, ...]], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class ConnectError(Exception):  # as its transport's errors are: of no family that Python knows
        pass

    def broken(*_: Any, **__: Any) -> None:
        raise ConnectError(f"refused for {TOKEN}")

    monkeypatch.setattr(Accepting, "upload_folder", broken)
    with pytest.raises(XalignError, match=r"the upload broke off \(ConnectError\)") as caught:
        upload(folder, "some-lab/encoder", private=False)
    assert TOKEN not in str(caught.value) and "\n" not in str(caught.value)
