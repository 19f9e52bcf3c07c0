"""MODEL arguments: what each form resolves to, and how quickly and clearly the others are refused."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xalign import model_source
from xalign.errors import UsageError, XalignError
from xalign.model_source import ModelSource, find_model, hub_reachable


@pytest.fixture
def empty_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache that holds nothing, and no offline switch from outside."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "hub"


def model_directory(folder: Path, weights: bytes = b"1") -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def run_directory(folder: Path, *, phase: str = "align", complete: bool = True) -> Path:
    model_directory(folder / "encoder")
    model_directory(folder / "encoder-step3000", b"2")
    lineage = {"encoder": "mini", "pair": "de-en", "loss": "S1W0M1", "align_seed": 42, "align_step": 6000}
    (folder / "run.json").write_text(json.dumps({"phase": phase, "lineage": lineage, "key": "k" * 64}))
    if complete:
        (folder / "result.json").write_text("{}")
    return folder


def test_a_model_directory_is_itself(tmp_path: Path) -> None:
    folder = model_directory(tmp_path / "my-encoder")
    source = find_model(str(folder))
    assert (source.name, source.directory, source.lineage, source.upstream) == ("my-encoder", folder, {}, None)


def test_a_run_is_its_final_encoder_with_its_lineage(tmp_path: Path) -> None:
    run = run_directory(tmp_path / "run")
    source = find_model(str(run))
    assert source.directory == run / "encoder"
    assert source.name == "mini" and source.lineage["align_step"] == 6000
    assert source.upstream == {"path": str(run), "key": "k" * 64}
    assert find_model(str(run / "encoder")) == source


def test_an_encoder_kept_on_the_way_knows_its_step_even_before_the_run_is_complete(tmp_path: Path) -> None:
    run = run_directory(tmp_path / "run", complete=False)
    source = find_model(str(run / "encoder-step3000"))
    assert source.directory == run / "encoder-step3000"
    assert source.lineage["align_step"] == 3000 and source.lineage["partial"] and source.lineage["pair"] == "de-en"
    with pytest.raises(UsageError, match="this align run is not complete; finish it with --resume"):
        find_model(str(run))


def test_a_complete_run_without_its_encoder_is_a_failure(tmp_path: Path) -> None:
    run = run_directory(tmp_path / "run")
    (run / "encoder" / "config.json").unlink()
    with pytest.raises(XalignError, match="no encoder there; run 'xalign align' again with --overwrite") as caught:
        find_model(str(run))
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("make", "name", "message"),
    [
        (lambda root: run_directory(root / "ft", phase="finetune"), "ft", "give it to 'xalign transfer'"),
        (lambda root: (root / "empty").mkdir(), "empty", "neither a model .* nor a run"),
        (lambda root: None, "./nowhere", "nowhere: no such directory"),
        (lambda root: None, "some/deep/path", "no such directory"),
        (lambda root: (root / "file.txt").touch(), "file.txt", "neither a model"),
    ],
)
def test_what_is_no_model_is_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Any], name: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path)
    with pytest.raises(UsageError, match=message) as caught:
        find_model(name)
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)


def test_a_hub_name_without_a_network_is_refused_within_seconds(
    empty_hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(address: Any, timeout: float) -> socket.socket:
        assert timeout <= 5
        raise TimeoutError

    monkeypatch.setattr(model_source.socket, "create_connection", unreachable)
    began = time.monotonic()
    with pytest.raises(UsageError, match=r"model 'some-lab/some-encoder': .* the hub cannot be reached") as caught:
        find_model("some-lab/some-encoder")
    assert time.monotonic() - began < 6
    assert "\n" not in str(caught.value)


def test_the_network_is_not_asked_when_the_hub_is_switched_off(
    empty_hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(model_source.socket, "create_connection", lambda *_, **__: pytest.fail("asked the network"))
    assert not hub_reachable()


def test_a_name_that_no_hub_can_have_is_refused(empty_hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_source, "hub_reachable", lambda: False)
    with pytest.raises(UsageError, match="neither a directory nor a valid hub name"):
        find_model("what is this?")


def test_the_digest_follows_content_and_names_but_not_the_documentation(tmp_path: Path) -> None:
    first = model_directory(tmp_path / "a")
    second = model_directory(tmp_path / "b")
    before = ModelSource("a", first).digest
    assert ModelSource("other", second).digest == before
    (second / "README.md").write_text("words")
    (second / "checkpoints").mkdir()
    assert ModelSource("b", second).digest == before
    (second / "tokenizer.json").write_text("{}")
    assert ModelSource("b", second).digest != before
    (first / "model.safetensors").write_bytes(b"2")
    assert ModelSource("a", first).digest != before
