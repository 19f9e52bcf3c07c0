"""Exports: sentence-transformers and transformers read from them the vectors that `xalign embed` writes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from architectures import ARCHITECTURES, write_encoder
from safetensors import safe_open
from tiny import sentence
from transformers import AlbertConfig, AlbertForMaskedLM, AutoModel, AutoModelForMaskedLM, AutoTokenizer

from xalign.encoder import Encoder, load_encoder
from xalign.errors import UsageError
from xalign.model_source import find_model
from xalign.sharing.embed import EmbedOptions, embed
from xalign.sharing.export import ExportOptions, export, truncate
from xalign.sharing.sentence_vectors_layout import write_modules

SENTENCES = [" ".join(sentence(language, number)[0]) for number in range(7) for language in ("deu", "eng")]
SENTENCES.append(" ".join(SENTENCES))  # longer than the encoders have positions for


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("encoders")
    return {name: write_encoder(root / name, name) for name in ARCHITECTURES}


def embedded(model: Path, folder: Path, **options: Any) -> np.ndarray:
    (folder / "text.txt").write_text("\n".join(SENTENCES), encoding="utf-8")
    output = folder / "vectors.npy"
    embed(EmbedOptions(model=str(model), input=str(folder / "text.txt"), output=str(output), quiet=True, **options))
    found: np.ndarray = np.load(output)
    return found


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("truncated", "pooling"), [(True, "mean"), (False, "mean"), (True, "cls")])
def test_sentence_transformers_finds_the_vectors_of_embed(
    architecture: str, truncated: bool, pooling: str, encoders: dict[str, Path], tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    output = tmp_path / "export"
    export(ExportOptions(model=str(encoders[architecture]), output=str(output), truncate=truncated, pooling=pooling))
    expected = embedded(encoders[architecture], tmp_path, layer="2", pooling=pooling)
    model = SentenceTransformer(str(output), device="cpu", local_files_only=True)
    for batch_size in (1, 32):
        np.testing.assert_allclose(model.encode(SENTENCES, batch_size=batch_size), expected, atol=1e-5)
    # It matters which tokens the mean is over: all of them give other vectors.
    if pooling == "mean":
        del model[-2]
        assert abs(model.encode(SENTENCES) - expected).max() > 1e-3


def test_the_layout_needs_no_sentence_transformers(
    encoders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)  # importing it is now an error
    summary = export(ExportOptions(model=str(encoders["bert"]), output=str(tmp_path / "export")))
    assert summary["modules"] == ["Transformer", "WordWeights", "Pooling"]
    modules = json.loads((tmp_path / "export" / "modules.json").read_text())
    assert all((tmp_path / "export" / module["path"]).is_dir() for module in modules)
    assert not list((tmp_path / "export").rglob("*.py"))  # nobody has to trust code


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_truncated_encoder_ends_in_the_layer_that_was_asked_for(
    architecture: str, encoders: dict[str, Path], tmp_path: Path
) -> None:
    source, output = encoders[architecture], tmp_path / "export"
    export(ExportOptions(model=str(source), output=str(output), format="transformers", layer="1"))
    batch = AutoTokenizer.from_pretrained(source)(SENTENCES[:4], padding=True, return_tensors="pt")
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    whole, cut = (AutoModel.from_pretrained(folder).eval() for folder in (source, output))
    assert cut.config.num_hidden_layers == 1 and whole.config.num_hidden_layers == 3
    with torch.no_grad():
        expected = whole(**inputs, output_hidden_states=True).hidden_states[1]
        torch.testing.assert_close(cut(**inputs).last_hidden_state, expected)
    with safe_open(output / "model.safetensors", "pt") as weights:
        assert not [name for name in weights.keys() if ".1." in name or "lm_head" in name]  # noqa: SIM118
    assert not list(output.glob("*.bin"))


def test_a_whole_encoder_keeps_its_layers_and_its_head(encoders: dict[str, Path], tmp_path: Path) -> None:
    source, output = encoders["xlm-roberta"], tmp_path / "export"
    export(ExportOptions(model=str(source), output=str(output), format="transformers", truncate=False))
    first, second = (AutoModelForMaskedLM.from_pretrained(folder).state_dict() for folder in (source, output))
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("truncated", [True, False])
def test_an_export_is_read_back_the_way_it_says(truncated: bool, encoders: dict[str, Path], tmp_path: Path) -> None:
    output = tmp_path / "export"
    options = ExportOptions(
        model=str(encoders["bert"]), output=str(output), layer="1", pooling="cls", truncate=truncated
    )
    assert export(options)["layers"] == (1 if truncated else 3)
    again = embedded(output, tmp_path)
    np.testing.assert_allclose(again, embedded(encoders["bert"], tmp_path, layer="1", pooling="cls"), atol=1e-6)


def test_a_word_that_is_a_special_token_but_for_its_case_counts_in_the_mean(
    encoders: dict[str, Path], tmp_path: Path
) -> None:
    from sentence_transformers.models import WordWeights

    encoder = load_encoder(find_model(str(encoders["xlm-roberta"])))
    names = encoder.tokenizer.convert_ids_to_tokens(list(range(len(encoder.tokenizer))))
    names[7] = "</S>"

    class Renamed:
        def __len__(self) -> int:
            return len(names)

        def __getattr__(self, name: str) -> Any:
            return getattr(encoder.tokenizer, name)

        def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
            return [names[index] for index in ids]

    renamed = Encoder(encoder.model, Renamed(), True, encoder.source)  # type: ignore[arg-type]
    write_modules(tmp_path, renamed, layer=3, pooling="mean", max_length=64)
    weights = WordWeights.load(str(tmp_path), subfolder="1_WordWeights").emb_layer.weight.flatten()
    assert weights.tolist() == [0.0 if index in encoder.special_ids.tolist() else 1.0 for index in range(len(names))]


def test_an_architecture_that_cannot_be_cut_says_so(encoders: dict[str, Path]) -> None:
    encoder = load_encoder(find_model(str(encoders["bert"])))
    config = AlbertConfig(vocab_size=50, embedding_size=8, hidden_size=8, num_attention_heads=2, intermediate_size=8)
    other = Encoder(AlbertForMaskedLM(config), encoder.tokenizer, True, encoder.source)
    with pytest.raises(UsageError, match=r"albert: .* cut it at layer 8; export it with --full"):
        truncate(other, 8)
    truncate(other, 12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "onnx"}, "choose from sentence-transformers, transformers"),
        ({"layer": "9"}, "has layers 1 to 3"),
        ({"private": True}, "--private does nothing without --push-to-hub"),
        ({"output": "mine"}, "holds something that is no export"),
        ({"push_to_hub": "what is this?"}, "not a name that the hub takes"),
    ],
)
def test_what_cannot_be_exported_is_refused_before_anything_is_written(
    options: dict[str, Any], message: str, encoders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    Path("mine/thesis.tex").write_text("words")
    usual: dict[str, Any] = {"model": str(encoders["bert"]), "output": "export"}
    with pytest.raises(UsageError, match=message):
        export(ExportOptions(**usual | options))
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "thesis.tex"]


def test_an_export_that_stands_there_is_replaced_whole(encoders: dict[str, Path], tmp_path: Path) -> None:
    output = tmp_path / "export"
    export(ExportOptions(model=str(encoders["bert"]), output=str(output)))
    export(ExportOptions(model=str(encoders["xlm-roberta"]), output=str(output), format="transformers"))
    assert not (output / "modules.json").exists() and not (output / "1_WordWeights").exists()
    assert AutoModel.from_pretrained(output).config.model_type == "xlm-roberta"
