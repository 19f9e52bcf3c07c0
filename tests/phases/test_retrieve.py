"""`retrieve`: its files, what it reads and leaves out, and its refusals."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import tiny_data, tiny_encoder

from xalign import RetrieveConfig, retrieve
from xalign.analysis.retrieval import translation_scores
from xalign.analysis.vectors import Vectorizer
from xalign.data.flores import load_flores
from xalign.encoder import load_encoder
from xalign.errors import UsageError, XalignError
from xalign.frozen_features import Encoding
from xalign.model_source import find_model
from xalign.runs import RunResult

COLUMNS = (
    "source,target,layer,mean_cosine,mean_cosine_nontranslation,separation,recall_at_1,recall_at_5,recall_at_10,"
    "nn_weak,nn_strong,nn_weak_csls,margin,auc,xsim"
)
PAIRS = ("deu-eng", "kaz-eng")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder and data with FLORES metadata: four sentences an article, two domains."""
    folder = tmp_path_factory.mktemp("retrieve")
    tiny_encoder(folder / "encoder", width=8)
    tiny_data(folder / "data")
    write_metadata(folder / "data", 40)
    return folder


def write_metadata(data: Path, count: int) -> None:
    rows = [f"https://x/{i // 4}\t{'news' if i < 20 else 'travel'}" for i in range(count)]
    (data / "flores200_dataset" / "metadata_devtest.tsv").write_text("\n".join(["URL\tdomain", *rows]) + "\n")


def measure(folder: Path, output: Path, model: str = "encoder", data: Path | None = None, **options: Any) -> RunResult:
    common: dict[str, Any] = {"pairs": PAIRS, "tracking": "none", "quiet": True} | options
    path = str(data or folder / "data")
    return retrieve(RetrieveConfig(model=str(folder / model), data=path, output=str(output), **common))


def rows(run: RunResult, name: str = "retrieval.csv") -> list[dict[str, str]]:
    with (run.directory / name).open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_every_direction_and_layer_has_a_line_under_the_promised_columns(folder: Path, tmp_path: Path) -> None:
    run = measure(folder, tmp_path / "run")
    for name in ("retrieval.csv", "retrieval-centred.csv"):
        assert (run.directory / name).read_text().splitlines()[0] == COLUMNS
        directions = [(row["source"], row["target"], int(row["layer"])) for row in rows(run, name)]
        wanted = [("deu", "eng"), ("eng", "deu"), ("kaz", "eng"), ("eng", "kaz")]
        assert sorted(directions) == sorted((*pair, layer) for pair in wanted for layer in range(4))
    assert rows(run) != rows(run, "retrieval-centred.csv")
    assert run.result["sentences"] == 40 and run.result["excluded_sentences"] == 0 and run.result["main_layer"] == 2


def test_a_layer_s_line_is_about_that_layer(folder: Path, tmp_path: Path) -> None:
    """Against the vectors of a layer by name; off by one would show here and in the vectors' own tests."""
    run = measure(folder, tmp_path / "run")
    encoder = load_encoder(find_model(str(folder / "encoder")))
    vectorizer = Vectorizer(encoder, Encoding(8, torch.device("cpu")))
    flores = folder / "data" / "flores200_dataset" / "devtest"
    vectors = [vectorizer.compute(load_flores(flores / f"{code}.devtest")) for code in ("deu_Latn", "eng_Latn")]
    table = {(row["source"], row["target"], row["layer"]): row for row in rows(run)}
    for layer in range(encoder.depth + 1):
        expected = translation_scores(*(torch.from_numpy(side[layer]) for side in vectors))
        there, back = table["deu", "eng", str(layer)], table["eng", "deu", str(layer)]
        assert float(there["mean_cosine"]) == pytest.approx(expected["mean_cosine"], abs=1e-5)
        assert float(there["recall_at_1"]) == pytest.approx(expected["nn_source_to_target"])
        assert float(back["recall_at_1"]) == pytest.approx(expected["nn_target_to_source"])
    assert len({table["deu", "eng", str(layer)]["mean_cosine"] for layer in range(4)}) == 4


def test_the_result_has_means_over_pairs_and_directions_at_the_main_layer(folder: Path, tmp_path: Path) -> None:
    run = measure(folder, tmp_path / "run")
    chosen = [float(row["xsim"]) for row in rows(run) if row["layer"] == "2"]
    assert len(chosen) == 4 and run.result["means"]["xsim"] == pytest.approx(sum(chosen) / 4, abs=1e-6)


def test_graded_equivalence_needs_the_metadata_and_is_left_out_without(folder: Path, tmp_path: Path) -> None:
    run = measure(folder, tmp_path / "run")
    assert {row["layer"] for row in rows(run, "graded.csv")} == {"1", "2", "3"}
    assert all(-1 <= float(row["rho_weak"]) <= 1 for row in rows(run, "graded.csv"))
    shutil.copytree(folder / "data", tmp_path / "data")
    (tmp_path / "data" / "flores200_dataset" / "metadata_devtest.tsv").unlink()
    without = measure(folder, tmp_path / "without", data=tmp_path / "data")
    assert not (without.directory / "graded.csv").exists() and not without.result["graded"]
    assert rows(without) == rows(run)
    write_metadata(tmp_path / "data", 39)
    with pytest.raises(XalignError, match=r"metadata_devtest\.tsv: 39 lines for 40 sentences"):
        measure(folder, tmp_path / "short", data=tmp_path / "data")


def test_lineage_and_name_come_from_the_encoder_s_run(folder: Path, tmp_path: Path) -> None:
    aligned = tmp_path / "align" / "de-en" / "S1W0M1"
    shutil.copytree(folder / "encoder", aligned / "encoder")
    shutil.copytree(folder / "encoder", aligned / "encoder-step3000")
    lineage = {"encoder": "tiny", "pair": "de-en", "loss": "S1W0M1", "align_seed": 42, "align_step": 6000}
    (aligned / "run.json").write_text(json.dumps({"phase": "align", "key": "k", "lineage": lineage}))
    with pytest.raises(UsageError, match="this align run is not complete"):
        measure(tmp_path, tmp_path / "run", model=str(aligned), data=folder / "data")
    (aligned / "result.json").write_text("{}")
    run = measure(tmp_path, tmp_path / "run", model=str(aligned), data=folder / "data")
    record = json.loads((run.directory / "run.json").read_text())
    assert record["name"] == "retrieve/de-en/S1W0M1" and record["upstream"] == [{"path": str(aligned), "key": "k"}]
    assert record["lineage"] == {**lineage, "task": None, "mode": None}
    step = measure(tmp_path, tmp_path / "step", model=str(aligned / "encoder-step3000"), data=folder / "data")
    assert json.loads((step.directory / "run.json").read_text())["name"] == "retrieve/de-en/S1W0M1-step3000"


def test_the_default_pairs_are_those_that_the_data_has(folder: Path, tmp_path: Path) -> None:
    default = RetrieveConfig(output="unused").pairs
    run = measure(folder, tmp_path / "run", pairs=default)
    assert run.result["pairs"] == ["deu-eng", "kaz-eng"]
    assert run.result["missing_pairs"] == [pair for pair in default if pair not in PAIRS]


def test_pairs_that_were_asked_for_must_exist_and_be_named_once(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"kas_Deva\.devtest: no such file .*; there is: deu_Latn eng_Latn kaz_Cyrl"):
        measure(folder, tmp_path / "run", pairs=("deu-eng", "deu-kas"))
    with pytest.raises(UsageError, match="name each pair once, in one direction"):
        measure(folder, tmp_path / "run", pairs=("deu-eng", "en-de"))
    with pytest.raises(UsageError, match="is not two codes"):
        measure(folder, tmp_path / "run", pairs=("deueng",))
    assert not (tmp_path / "run").exists()


def test_languages_with_different_sentence_counts_are_one_line(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "data", tmp_path / "data")
    path = tmp_path / "data" / "flores200_dataset" / "devtest" / "eng_Latn.devtest"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(XalignError, match=r"eng_Latn\.devtest: 39 sentences where deu_Latn\.devtest has 40"):
        measure(folder, tmp_path / "run", data=tmp_path / "data")
    assert not (tmp_path / "run").exists()


def test_a_complete_run_is_reused_until_a_sentence_changes(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "data", tmp_path / "data")
    assert not measure(folder, tmp_path / "run", data=tmp_path / "data", max_sentences=12).reused
    assert measure(folder, tmp_path / "run", data=tmp_path / "data", max_sentences=12, batch_size=5).reused
    path = tmp_path / "data" / "flores200_dataset" / "devtest" / "eng_Latn.devtest"
    path.write_text("changed\n" + path.read_text().partition("\n")[2])
    with pytest.raises(UsageError, match="made from other data"):
        measure(folder, tmp_path / "run", data=tmp_path / "data", max_sentences=12)


def test_damaged_weights_name_the_checkpoint(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "encoder", tmp_path / "encoder")
    weights = load_file(tmp_path / "encoder" / "model.safetensors")
    name = next(name for name in weights if name.endswith("layer.1.output.dense.weight"))
    weights[name][0, 0] = torch.nan
    save_file(weights, tmp_path / "encoder" / "model.safetensors", {"format": "pt"})
    with pytest.raises(XalignError, match=rf"{tmp_path / 'encoder'}: .* holds NaN or infinity; take an earlier"):
        measure(tmp_path, tmp_path / "run", data=folder / "data")
    assert not (tmp_path / "run").exists()


def test_fine_tuned_models_and_several_processes_are_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tuned").mkdir()
    (tmp_path / "tuned" / "run.json").write_text(json.dumps({"phase": "finetune", "key": "", "lineage": {}}))
    with pytest.raises(UsageError, match="a fine-tuned model"):
        measure(tmp_path, tmp_path / "run", model="tuned", data=folder / "data")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="run it without accelerate launch"):
        measure(folder, tmp_path / "run")
