"""Sentence vectors of a file: those of the analyses, by the run's own layer and pooling, whatever the batches are."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from architectures import ARCHITECTURES, write_encoder
from safetensors.numpy import load_file
from tiny import sentence
from transformers import AutoModel, AutoTokenizer

from xalign.__main__ import run as command
from xalign.analysis.vectors import Vectorizer, open_vectors
from xalign.encoder import load_encoder
from xalign.errors import UsageError, XalignError
from xalign.frozen_features import Encoding
from xalign.model_source import find_model
from xalign.sharing.embed import EmbedOptions, embed

SENTENCES = [" ".join(sentence(language, number)[0]) for number in range(9) for language in ("deu", "eng")]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("\n".join(SENTENCES) + "\n", encoding="utf-8")
    return path


def vectors(model: Path, text: Path, **options: object) -> np.ndarray:
    output = text.parent / "vectors.npy"
    embed(EmbedOptions(model=str(model), input=str(text), output=str(output), quiet=True, **options))  # type: ignore[arg-type]
    found: np.ndarray = np.load(output, allow_pickle=False)
    return found


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_vectors_are_those_of_a_plain_loop_over_sentences(architecture: str, text: Path, tmp_path: Path) -> None:
    """In float64, one sentence at a time, without padding; special tokens taken off by position."""
    folder = write_encoder(tmp_path / "encoder", architecture)
    model, tokenizer = AutoModel.from_pretrained(folder).double().eval(), AutoTokenizer.from_pretrained(folder)
    for layer, pooling in ((2, "mean"), (3, "cls"), (1, "mean")):
        expected = []
        for line in SENTENCES:
            ids = tokenizer(line, return_tensors="pt").input_ids
            with torch.no_grad():
                states = model(input_ids=ids, output_hidden_states=True).hidden_states[layer][0]
            expected.append((states[1:-1].mean(0) if pooling == "mean" else states[0]).numpy())
        for batch_size in (1, 5, 64):
            found = vectors(folder, text, layer=str(layer), pooling=pooling, batch_size=batch_size)
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, expected, atol=2e-6)


def test_vectors_are_those_that_retrieve_compares(text: Path, tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "encoder", "xlm-roberta")
    analysis = Vectorizer(load_encoder(find_model(str(folder))), Encoding(64, torch.device("cpu")))
    np.testing.assert_array_equal(vectors(folder, text), open_vectors(analysis.keep(SENTENCES))[2])  # 2/3 of 3


@pytest.mark.parametrize(("asked", "expected"), [({}, (1, "cls")), ({"layer": "3", "pooling": "mean"}, (3, "mean"))])
def test_a_run_says_how_its_encoder_is_read_unless_the_user_does(
    asked: dict[str, str], expected: tuple[int, str], text: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    write_encoder(run / "encoder", "xlm-roberta")
    record = {"phase": "align", "key": "k", "config": {"layer": "1", "pooling": "cls"}, "lineage": {"encoder": "tiny"}}
    (run / "run.json").write_text(json.dumps(record))
    (run / "result.json").write_text("{}")
    for model in (run, run / "encoder"):
        options = EmbedOptions(model=str(model), input=str(text), output=str(tmp_path / "v.npy"), quiet=True, **asked)  # type: ignore[arg-type]
        summary = embed(options)
        assert (summary["layer"], summary["pooling"]) == expected
        assert summary["chosen_by"] == ("the command line" if asked else "its align run")


def test_both_formats_hold_the_same_and_normalized_vectors_have_length_one(text: Path, tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "encoder", "bert")
    plain = vectors(folder, text)
    output = tmp_path / "vectors.safetensors"
    embed(EmbedOptions(model=str(folder), input=str(text), output=str(output), normalize=True, quiet=True))
    unit = load_file(output)["vectors"]
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(unit, plain / np.linalg.norm(plain, axis=1, keepdims=True), atol=1e-6)


def test_standard_input_and_a_summary_that_is_json_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_encoder(tmp_path / "encoder", "xlm-roberta")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\n".join(SENTENCES).encode())))
    words = ["embed", "--model", str(folder), "--input", "-", "--output", str(tmp_path / "v.npy")]
    assert command([*words, "--language", "de", "--json"]) == 0
    shown = capsys.readouterr()
    summary = json.loads(shown.out)
    assert summary["sentences"] == len(SENTENCES) == len(np.load(tmp_path / "v.npy"))
    assert summary["language"] == "deu" and summary["cut"] == 0
    assert "embed" in shown.err  # progress is not where the summary is read


def test_long_sentences_are_cut_to_what_is_left_of_them_and_that_is_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_encoder(tmp_path / "encoder", "xlm-roberta")
    text = tmp_path / "text.txt"
    words = " ".join(SENTENCES).split()[:40]
    text.write_text("\n".join([" ".join(words), *SENTENCES, " ".join(words[:20])]) + "\n", encoding="utf-8")
    summary = embed(
        EmbedOptions(
            model=str(folder), input=str(text), output=str(tmp_path / "v.npy"), max_length=12, batch_size=1, quiet=True
        )
    )
    found = np.load(tmp_path / "v.npy")
    np.testing.assert_array_equal(found[0], found[-1])  # their first 10 tokens are the same
    assert summary["cut"] == 2
    shown = capsys.readouterr()
    assert shown.err.count("longer than 12 tokens and were cut") == 1 and not shown.out


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"one\n\nthree\n", "text.txt:2: an empty line"), (b"one\ntw\xff\n", "text.txt:2: not UTF-8"), (b"", "is empty")],
)
def test_text_without_a_sentence_on_each_line_is_refused_with_its_line(
    content: bytes, message: str, text: Path, tmp_path: Path
) -> None:
    text.write_bytes(content)
    with pytest.raises(XalignError, match=message):
        embed(EmbedOptions(model="mini", input=str(text), output=str(tmp_path / "v.npy")))
    assert not (tmp_path / "v.npy").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": "vectors.pickle"}, ".npy or .safetensors"),
        ({"output": "nowhere/vectors.npy"}, "no such directory"),
        ({"pooling": "max"}, "choose from mean, cls"),
        ({"layer": "99"}, "has layers 1 to"),
        ({"language": "qqq"}, "unknown language"),
        ({"input": "nowhere.txt"}, "cannot be read"),
        ({"batch_size": 0}, "at least 1"),
    ],
)
def test_what_cannot_be_embedded_is_a_usage_error(
    options: dict[str, object], message: str, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    usual: dict[str, object] = {"model": "mini", "input": str(text), "output": "v.npy"}
    with pytest.raises(UsageError, match=message):
        embed(EmbedOptions(**usual | options))  # type: ignore[arg-type]
    assert {path.name for path in tmp_path.iterdir()} == {"text.txt"}
