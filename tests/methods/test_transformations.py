"""Centring and Procrustes: closed forms against scipy, hooks against layers called by hand, text that is not tested."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.linalg import orthogonal_procrustes
from scipy.stats import ortho_group
from tiny import tiny_data, tiny_encoder

from xalign import FinetuneConfig, RetrieveConfig, TransferConfig, finetune, retrieve, transfer
from xalign.__main__ import run as command
from xalign.analysis.retrieval import translation_scores
from xalign.data.flores import load_flores
from xalign.data.languages import find
from xalign.data.layout import DataDirectory
from xalign.encoder import load_encoder
from xalign.errors import UsageError
from xalign.methods.transformation_text import FittingTexts
from xalign.methods.transformations import centring, method_name, nearest_rotation, procrustes
from xalign.methods.transformed_states import transformed
from xalign.model_source import ModelSource
from xalign.runs import RunResult
from xalign.tasks.objective import Reader

ENG, DEU, KAZ = find("eng"), find("deu"), find("kaz")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, an encoder, and heads for topics and POS on it."""
    root = tmp_path_factory.mktemp("transform")
    tiny_data(root / "data")
    tiny_encoder(root / "encoder", width=8)
    for task in ("topic", "pos"):
        finetune(
            FinetuneConfig(
                task=task, mode="linear", model=str(root / "encoder"), data=str(root / "data"),
                output=str(root / task), seeds=(15,), epochs=3, head_learning_rate=3e-2, tracking="none", quiet=True,
            )
        )  # fmt: skip
    return root


def evaluate(folder: Path, output: Path, task: str = "topic", **options: Any) -> RunResult:
    common: dict[str, Any] = {"languages": ("deu", "eng", "kaz"), "tracking": "none", "quiet": True} | options
    return transfer(TransferConfig(model=str(folder / task), data=str(folder / "data"), output=str(output), **common))


def measure(folder: Path, output: Path, **options: Any) -> RunResult:
    common: dict[str, Any] = {"pairs": ("deu-eng", "kaz-deu"), "tracking": "none", "quiet": True} | options
    return retrieve(
        RetrieveConfig(model=str(folder / "encoder"), data=str(folder / "data"), output=str(output), **common)
    )


# Closed forms


def draws(count: int, width: int, *, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    draw = np.random.default_rng(seed)
    return tuple(torch.from_numpy(draw.normal(size=(count, width)) + shift) for shift in (3, -1))  # type: ignore[return-value]


def test_the_rotation_is_scipy_s() -> None:
    source, target = draws(200, 12)
    x, y = (side - side.mean(dim=0) for side in (source, target))
    expected, _ = orthogonal_procrustes(x.numpy(), y.numpy())
    found = procrustes(source, target)
    np.testing.assert_allclose(found.rotation, expected, atol=1e-12)
    np.testing.assert_allclose(found(source), x.numpy() @ expected + target.numpy().mean(axis=0), atol=1e-12)


@pytest.mark.parametrize("rows", [4, 60])
def test_the_rotation_is_orthogonal_and_keeps_distances_within_a_language(rows: int) -> None:
    """With four rows of sixteen dimensions the data leave most of it open."""
    source, target = draws(rows, 16)
    found = procrustes(source, target)
    assert found.rotation is not None
    torch.testing.assert_close(found.rotation @ found.rotation.T, torch.eye(16).double(), atol=1e-10, rtol=0)
    after, before = torch.nn.functional.pdist(found(source)), torch.nn.functional.pdist(source)
    torch.testing.assert_close(after, before)


def test_a_planted_rotation_is_recovered() -> None:
    source, _ = draws(100, 10)
    planted = torch.from_numpy(ortho_group.rvs(10, random_state=1))
    target = source @ planted + 5
    found = procrustes(source, target)
    torch.testing.assert_close(found.rotation, planted, atol=1e-10, rtol=0)
    torch.testing.assert_close(found(source), target)


def test_directions_that_the_data_leave_open_are_not_turned() -> None:
    """Rows in a plane, turned within it: all that is orthogonal to the plane stays where it is."""
    plane = torch.zeros(5, 6, dtype=torch.float64)
    plane[:, :2] = draws(5, 2)[0]
    turned = plane.clone()
    turned[:, 0], turned[:, 1] = -plane[:, 1], plane[:, 0]
    rotation = nearest_rotation(plane, turned)
    torch.testing.assert_close(plane @ rotation, turned)
    torch.testing.assert_close(rotation[2:, 2:], torch.eye(4).double())
    torch.testing.assert_close(nearest_rotation(plane * 0, turned), torch.eye(6).double())


def test_after_centring_the_means_of_the_languages_coincide() -> None:
    source, target = draws(50, 8)
    torch.testing.assert_close(centring(source, target[:30])(source).mean(dim=0), target[:30].mean(dim=0))


def test_centring_alone_raises_retrieval_where_languages_lie_apart() -> None:
    meaning, noise = draws(100, 8)[0], draws(100, 8, seed=1)
    source, target = meaning + 0.3 * noise[0], meaning + 0.3 * noise[1] + 4 * torch.eye(8)[0]
    fit, test = slice(0, 50), slice(50, 100)
    moved = centring(source[fit], target[fit])
    origin = moved.target
    before = translation_scores(source[test], target[test])
    after = translation_scores(moved(source[test]) - origin, target[test] - origin)
    assert after["nn_source_to_target"] > before["nn_source_to_target"] + 0.2


def test_a_method_s_name_says_what_is_not_the_default() -> None:
    assert method_name("centring", "topics") == "centring"
    assert method_name("procrustes", "flores", 8) == "procrustes-layer8-flores"


# Text that it is fitted on


def texts(folder: Path, kind: str, tested: dict[Any, list[str]], transform: str = "centring", most: int = 30) -> Any:
    return FittingTexts(DataDirectory(folder / "data"), kind, transform, [(DEU, ENG)], tested, most)


def test_a_sentence_that_is_tested_in_one_language_is_left_out_in_all(folder: Path) -> None:
    every = texts(folder, "topics", {}, most=1000)[DEU, ENG]
    german = every.source[3]
    left = texts(folder, "topics", {DEU: [f" {german} "]}, most=1000)[DEU, ENG]
    twice = {row for row, text in enumerate(every.source) if text == german}
    assert german not in left.source and left.paired
    assert left.target == [text for row, text in enumerate(every.target) if row not in twice]


def test_retrieval_is_fitted_on_nothing_of_devtest(folder: Path, tmp_path: Path) -> None:
    """English topic sentences put into devtest vanish from the text of a pair without English."""
    data = tmp_path / "data"
    shutil.copytree(folder / "data", data)
    flores, topics = data / "flores200_dataset" / "devtest", data / "sib200" / "data" / "annotated"

    def column(code: str) -> list[str]:
        return [row.split("\t")[2] for row in (topics / code / "train.tsv").read_text().splitlines()[1:]]

    file = flores / "eng_Latn.devtest"
    file.write_text("\n".join([*column("eng_Latn")[:10], *load_flores(file)[10:]]) + "\n")
    common = {"pairs": ("kaz-deu",), "transform": "procrustes", "tracking": "none", "quiet": True}
    run = retrieve(
        RetrieveConfig(model=str(folder / "encoder"), data=str(data), output=str(tmp_path / "run"), **common)
    )
    codes = ("eng_Latn", "kaz_Cyrl", "deu_Latn")
    tested = {code: load_flores(flores / f"{code}.devtest") for code in codes}
    expected = sum(
        not any(text in tested[code] for code, text in zip(codes, texts, strict=True))
        for texts in zip(*map(column, codes), strict=True)
    )
    assert expected <= 46 and run.result["translations"] == expected


@pytest.mark.parametrize("kind", ["parallel", "mono"])
def test_other_texts_are_capped_and_paired_where_they_are_translations(folder: Path, kind: str) -> None:
    found = texts(folder, kind, {})
    assert len(found[DEU, ENG].source) == len(found[DEU, ENG].target) == 30
    assert found[DEU, ENG].paired == (kind == "parallel")


def test_only_a_rotation_needs_translations(folder: Path) -> None:
    assert texts(folder, "parallel", {}, "procrustes").translations == 30
    assert texts(folder, "parallel", {}, "centring").translations == 0


def test_a_treebank_s_words_are_recognised_in_running_text(folder: Path) -> None:
    """Words joined by blanks, as a treebank has them, are the sentence that has none."""
    every = texts(folder, "topics", {}, most=1000)[DEU, ENG]
    apart = " ".join(every.source[3].replace(" ", "")) + " "
    assert every.source[3] not in texts(folder, "topics", {DEU: [apart]}, most=1000)[DEU, ENG].source


def test_text_that_does_not_suit_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="needs translations"):
        texts(folder, "mono", {}, "procrustes")
    with pytest.raises(UsageError, match="FLORES-200 dev"):
        texts(folder, "flores", {})
    every = texts(folder, "topics", {}, most=1000)[DEU, ENG]
    with pytest.raises(UsageError, match="0 sentences are left"):
        texts(folder, "topics", {ENG: every.target})


# Inside of an encoder


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_states_above_the_mapped_layer_are_what_its_layers_make_of_mapped_ones(folder: Path, layer: int) -> None:
    """Against the layers called one by one; special tokens stay as they are."""
    encoder = load_encoder(ModelSource("tiny", folder / "encoder"), dropout=0.0)
    reader = Reader(encoder, pooling="mean", frozen=True).eval()
    text = load_flores(folder / "data" / "flores200_dataset" / "devtest" / "deu_Latn.devtest")[0]
    ids = encoder.tokenizer(text, return_tensors="pt")["input_ids"]
    change = procrustes(*draws(40, 8))
    with torch.no_grad():
        plain = encoder.base(input_ids=ids, output_hidden_states=True).hidden_states
        states = plain[layer].clone()
        states[:, 1:-1] = change(states[:, 1:-1])
        for above in encoder.base.encoder.layer[layer:]:
            out = above(states)
            states = out[0] if isinstance(out, tuple) else out
        padded = torch.cat([ids, torch.full((1, 3), reader.padding)], dim=1)
        with transformed(reader, change, layer):
            found = reader({"input_ids": padded})
        torch.testing.assert_close(found, states[:, 1:-1].mean(dim=1), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(reader({"input_ids": padded}), plain[-1][:, 1:-1].mean(dim=1))  # and it is over


def test_only_the_first_token_is_mapped_where_it_is_the_sentence(folder: Path) -> None:
    encoder = load_encoder(ModelSource("tiny", folder / "encoder"), dropout=0.0)
    reader = Reader(encoder, pooling="cls", frozen=True).eval()
    ids = torch.tensor([[0, 7, 8, 2], [0, 9, 2, reader.padding]])
    change = centring(*draws(40, 8))
    plain = reader({"input_ids": ids})
    with transformed(reader, change, reader.depth):
        torch.testing.assert_close(reader({"input_ids": ids}), change(plain))


# The phases


@pytest.mark.parametrize("task", ["topic", "pos"])
@pytest.mark.parametrize("transform", ["centring", "procrustes"])
def test_english_stays_and_the_others_are_mapped(folder: Path, tmp_path: Path, task: str, transform: str) -> None:
    plain, found = evaluate(folder, tmp_path / "a", task), evaluate(folder, tmp_path / "b", task, transform=transform)
    assert found.result["accuracy"]["eng"] == plain.result["accuracy"]["eng"]
    measures = ("accuracy", "macro_f1", "probe_accuracy")
    assert any(found.result[of][code] != plain.result[of][code] for of in measures for code in ("deu", "kaz"))
    assert found.result["parameters"] == 2 * (8 + (64 if transform == "procrustes" else 0))
    assert "parameters" not in plain.result
    record = json.loads((tmp_path / "b" / "run.json").read_text())
    assert record["lineage"]["method"] == transform
    assert record["name"] == f"transfer/{task}/linear/base+{transform}"
    assert set(record["inputs"]["data"]) > set(json.loads((tmp_path / "a" / "run.json").read_text())["inputs"]["data"])


def test_where_the_languages_are_one_both_maps_are_the_identity(folder: Path, tmp_path: Path) -> None:
    """German is given English's sentences: no map may change a prediction, at any layer."""
    data = tmp_path / "data"
    shutil.copytree(folder / "data", data)
    annotated = data / "sib200" / "data" / "annotated"
    for split in ("train", "test"):
        shutil.copy(annotated / "eng_Latn" / f"{split}.tsv", annotated / "deu_Latn" / f"{split}.tsv")
    for number, options in enumerate(({"transform": "centring"}, {"transform": "procrustes", "transform_layer": "1"})):
        found = transfer(
            TransferConfig(
                model=str(folder / "topic"), data=str(data), output=str(tmp_path / str(number)), tracking="none",
                languages=("deu", "eng"), quiet=True, **options,
            )
        )  # fmt: skip
        assert found.result["accuracy"]["deu"] == found.result["accuracy"]["eng"]


def test_centring_takes_away_what_all_sentences_of_a_language_share(folder: Path, tmp_path: Path) -> None:
    runs = {name: measure(folder, tmp_path / name, transform=name) for name in ("none", "centring")}
    apart = {name: run.result["means"]["mean_cosine_nontranslation"] for name, run in runs.items()}
    assert abs(apart["centring"]) < 0.2 * abs(apart["none"])
    centred = [run.result["means_centred"]["recall_at_1"] for run in runs.values()]
    assert centred[0] == pytest.approx(centred[1])  # what a shift did is undone by the next one
    assert json.loads((tmp_path / "centring" / "run.json").read_text())["name"] == "retrieve/base+centring"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"transform": "centring", "languages": ("eng",)}, "name one"),
        ({"transform": "centring", "transform_layer": "9"}, "layers 1 to 3"),
        ({"transform": "procrustes", "transform_text": "mono"}, "needs translations"),
        ({"transform": "whitening"}, "choose from none, centring, procrustes"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    options: dict[str, Any], line: str, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=line):
        evaluate(folder, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_the_commands_take_the_options(folder: Path, tmp_path: Path) -> None:
    places = ["--data", str(folder / "data"), "--tracking", "none", "--quiet", "--transform", "centring"]
    places += ["--transform-text", "mono"]
    words = ["transfer", "--model", str(folder / "topic"), "--languages", "deu", "--transform-layer", "1/3"]
    assert command([*words, *places, "--output", str(tmp_path / "t")]) == 0
    words = ["retrieve", "--model", str(folder / "encoder"), "--pairs", "deu-eng"]
    assert command([*words, *places, "--output", str(tmp_path / "r")]) == 0
    names = [json.loads((tmp_path / run / "run.json").read_text())["name"] for run in "tr"]
    assert names == ["transfer/topic/linear/base+centring-layer1-mono", "retrieve/base+centring-mono"]
