"""LangAlign: maps against closed forms, controls that unmask a constant map, and the phase from files to tables."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.linear_model import Ridge
from tiny import tiny_data, tiny_encoder

from xalign.__main__ import run as command
from xalign.config import LangalignConfig, TransferConfig
from xalign.encoder import load_encoder
from xalign.engine.batch import BatchOrder
from xalign.errors import UsageError
from xalign.frozen_features import Encoding
from xalign.methods.langalign import Adapter, closeness, mean_shift, ridge
from xalign.methods.langalign import _ridge as ridge_of
from xalign.methods.translated_vectors import mutually_nearest, word_vectors
from xalign.methods.unfrozen_adapter import TranslationBatches, UnfrozenObjective
from xalign.model_source import ModelSource
from xalign.naming import encoder_name, langalign_name
from xalign.phases.langalign import langalign
from xalign.phases.langalign_material import exchanged
from xalign.phases.transfer import transfer
from xalign.runs import RunResult
from xalign.tasks.objective import Reader


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data whose German topics have training sentences that translate the English ones, and an encoder."""
    root = tmp_path_factory.mktemp("inputs")
    data = tiny_data(root / "data")
    annotated = data / "sib200" / "data" / "annotated"
    for split in ("train", "dev"):  # the tiny languages say the same under the same ids
        source = (annotated / "eng_Latn" / f"{split}.tsv").read_text()
        (annotated / "deu_Latn" / f"{split}.tsv").write_text(source)
    (annotated / "kaz_Cyrl" / "train.tsv").unlink()
    tiny_encoder(root / "encoder")
    return root


def study(inputs: Path, output: Path, **options: Any) -> RunResult:
    common: dict[str, Any] = {
        "task": "topic", "pair": "de-en", "skip_step1": True, "adapter_steps": 40, "seeds": (15, 33), "epochs": 2,
        "head_learning_rate": 1e-2, "tracking": "none", "quiet": True,
    }  # fmt: skip
    places = {"model": str(inputs / "encoder"), "data": str(inputs / "data"), "output": str(output)}
    return langalign(LangalignConfig(**places, **(common | options)))


def rows(run: RunResult, name: str = "langalign.csv") -> list[dict[str, str]]:
    with (run.directory / name).open() as stream:
        return list(csv.DictReader(stream))


# Maps


def linear_pairs(count: int = 300, width: int = 6, noise: float = 0.01) -> tuple[torch.Tensor, torch.Tensor]:
    draw = np.random.default_rng(0)
    source = draw.normal(size=(count, width)) + 2
    target = source @ draw.normal(size=(width, width)) + draw.normal(size=width)
    target += noise * draw.normal(size=source.shape)
    return torch.from_numpy(source).float(), torch.from_numpy(target).float()


@pytest.mark.parametrize("strength", [1e-3, 1.0])
def test_ridge_equals_scikit_learn_s(strength: float) -> None:
    source, target = linear_pairs()
    centred = source - source.mean(dim=0)
    penalty = strength * float((centred**2).sum(dim=0).mean())
    expected = Ridge(alpha=penalty).fit(source.double().numpy(), target.double().numpy()).predict(source.numpy())
    np.testing.assert_allclose(ridge_of(source, target, strength)(source).numpy(), expected, atol=1e-4)


def test_ridge_finds_a_linear_map_and_a_shift_moves_the_mean() -> None:
    source, target = linear_pairs()
    torch.testing.assert_close(ridge(source, target, seed=1)(source), target, atol=0.1, rtol=0.05)
    torch.testing.assert_close(mean_shift(source, target)(source).mean(dim=0), target.mean(dim=0))


@pytest.mark.parametrize(
    ("architecture", "layers", "sizes"),
    [("fc", 6, [(16, 16)] * 6), ("fc", 1, [(16, 16)]), ("ae", 6, [(16, 8), (8, 4), (4, 2), (2, 4), (4, 8), (8, 16)])],
)
def test_the_network_has_the_layers_that_it_says(architecture: str, layers: int, sizes: list[tuple[int, int]]) -> None:
    adapter = Adapter(architecture, 16, layers=layers, seed=1)
    linear = [part for part in adapter if isinstance(part, torch.nn.Linear)]
    assert [(part.in_features, part.out_features) for part in linear] == sizes
    assert isinstance(adapter[-1], torch.nn.Linear)  # nothing cuts off what leaves it
    again = Adapter(architecture, 16, layers=layers, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(adapter.parameters(), again.parameters(), strict=True))


def test_a_constant_map_has_a_high_cosine_and_is_unmasked_by_the_wrong_translations() -> None:
    draw = torch.Generator().manual_seed(0)
    target = torch.randn(200, 16, generator=draw) * 0.2 + 1  # anisotropic: all point one way
    constant = closeness(target.mean(dim=0).expand(200, -1), target)
    assert constant.cosine > 0.95 and constant.cosine == pytest.approx(constant.wrong, abs=1e-9)
    assert constant.separation == pytest.approx(0, abs=1e-6) and constant.nearest <= 1 / 200
    right = closeness(target, target)
    assert right.cosine == pytest.approx(1) and right.nearest == 1 and right.separation > 1


def test_pieces_are_paired_where_each_is_the_other_s_nearest() -> None:
    first = torch.tensor([[1.0, 0], [0, 1], [0.9, 0.1]])
    second = torch.tensor([[0.0, 2], [3, 0]])
    left, right = mutually_nearest(first, second)
    assert left.tolist() == [0, 1] and right.tolist() == [1, 0]
    assert len(mutually_nearest(first[:0], second)[0]) == 0


def test_a_sentence_is_its_own_translation_piece_by_piece(inputs: Path) -> None:
    encoder = load_encoder(ModelSource("tiny", inputs / "encoder"), dropout=0.0)
    texts = (inputs / "data" / "flores200_dataset" / "devtest" / "eng_Latn.devtest").read_text().splitlines()[:5]
    source, target = word_vectors(encoder, texts, texts, Encoding(2, torch.device("cpu")), length=64)
    torch.testing.assert_close(source, target)
    assert len(source) >= 5


def test_exchanged_translations_are_wrong_and_all_still_there() -> None:
    texts = [str(number) for number in range(40)]
    found = exchanged(texts, 0.5, np.random.default_rng(0))
    assert sorted(found) == sorted(texts) and sum(a != b for a, b in zip(found, texts, strict=True)) == 20
    assert exchanged(texts, 0.0, np.random.default_rng(0)) == texts


# The phase


def test_every_method_has_a_row_for_each_seed_and_its_outcomes_add_up(inputs: Path, tmp_path: Path) -> None:
    found = study(inputs, tmp_path / "run")
    table = rows(found)
    methods = ["english-only", "mean-shift", "ridge", "fc", "translate-test", "translated", "native"]
    assert list(dict.fromkeys(row["method"] for row in table)) == methods and len(table) == 14
    outcomes = [json.loads(line) for line in (found.directory / "outcomes.jsonl").read_text().splitlines()]
    for row in table:
        own = [o for o in outcomes if o["method"] == row["method"] and o["seed"] == int(row["seed"])]
        assert sum(o["correct"] for o in own) / sum(o["total"] for o in own) == pytest.approx(float(row["accuracy"]))
    assert [row["map"] for row in rows(found, "closeness.csv")] == ["identity", "mean-shift", "ridge", "fc"]
    assert found.result["translations"] == 56 and found.result["parameters"] == 6 * (16 * 16 + 16)


def test_where_the_languages_are_one_every_useful_map_is_the_identity(inputs: Path, tmp_path: Path) -> None:
    """The German sentences of this data are the English ones: a good map changes nothing, and no accuracy."""
    found = study(inputs, tmp_path / "run", adapter_steps=5)
    by_map = {row["map"]: row for row in rows(found, "closeness.csv")}
    assert float(by_map["identity"]["cosine"]) == pytest.approx(1, abs=1e-6)
    assert float(by_map["mean-shift"]["cosine"]) == pytest.approx(1, abs=1e-6)
    accuracies = found.result["accuracy"]
    assert accuracies["native"] == accuracies["english-only"] == accuracies["mean-shift"]


def test_in_reverse_one_set_of_heads_reads_every_map(inputs: Path, tmp_path: Path) -> None:
    forward, back = study(inputs, tmp_path / "there"), study(inputs, tmp_path / "back", reverse=True)
    plain = [[row["accuracy"] for row in rows(run) if row["method"] == "english-only"] for run in (forward, back)]
    assert plain[0] == plain[1]
    labels = {json.loads(line).get("method") for line in (back.directory / "metrics.jsonl").read_text().splitlines()}
    assert labels == {"fc", "english-only", "translated", "native"}
    assert not (back.directory / "head").exists()  # its heads alone could not read the target language


def test_step_1_fine_tunes_the_encoder_first_and_can_be_resumed(inputs: Path, tmp_path: Path) -> None:
    found = study(inputs, tmp_path / "run", skip_step1=False, learning_rate=1e-3)
    step_1 = tmp_path / "run" / "step1"
    assert json.loads((step_1 / "run.json").read_text())["config"]["mode"] == "full"
    tuned, before = (load_file(path) for path in (
        step_1 / "encoder-seed42" / "model.safetensors", inputs / "encoder" / "model.safetensors"))  # fmt: skip
    name = next(name for name in tuned if name.endswith("layer.0.output.dense.weight"))
    assert not torch.equal(tuned[name], before[name])
    (tmp_path / "run" / "result.json").unlink()  # as if interrupted after its last table
    again = study(inputs, tmp_path / "run", skip_step1=False, learning_rate=1e-3, resume=True)
    assert again.result["accuracy"] == found.result["accuracy"] and not again.reused


def test_words_are_mapped_with_general_translations(inputs: Path, tmp_path: Path) -> None:
    found = study(inputs, tmp_path / "run", task="pos", parallel="general", sentences=40, architecture="ae")
    assert found.result["translations"] == 40 and found.result["vectors"] > 40
    assert "native" not in found.result["accuracy"]  # the tiny German treebank has a test part alone


def test_translated_heads_are_the_native_ones_where_all_sentences_are_translated(inputs: Path, tmp_path: Path) -> None:
    whole = study(inputs, tmp_path / "whole").result
    few = study(inputs, tmp_path / "few", sentences=20).result
    assert whole["accuracy"]["translated"] == whole["accuracy"]["native"] == few["accuracy"]["native"]
    assert few["translations_by_method"] == {
        "english-only": 0, "mean-shift": 20, "ridge": 20, "fc": 20, "translate-test": 21, "translated": 20, "native": 0
    }  # fmt: skip


def test_costs_stand_beside_every_method(inputs: Path, tmp_path: Path) -> None:
    there, back = (study(inputs, tmp_path / str(way), reverse=way, seeds=(15,)).result for way in (False, True))
    counts = {"mean-shift": 16, "ridge": 16 * 17, "fc": 6 * 16 * 17}
    assert there["parameters"] == counts["fc"] and there["parameters_by_method"].items() >= counts.items()
    assert back["inference_parameters_by_method"].items() >= counts.items()
    assert not any(there["inference_parameters_by_method"].values())  # forward, the target's vectors bypass the network
    assert all(there["seconds_by_method"][name] > 0 for name in there["accuracy"])


def test_the_network_s_heads_are_tested_by_transfer(inputs: Path, tmp_path: Path) -> None:
    found = study(inputs, tmp_path / "run", adapter_steps=20, seeds=(15,))
    places = {"model": str(found.directory), "data": str(inputs / "data"), "output": str(tmp_path / "transfer")}
    again = transfer(TransferConfig(**places, languages=("deu",), max_length=128, tracking="none", quiet=True))
    assert np.mean(list(again.result["accuracy"]["deu"].values())) == pytest.approx(found.result["accuracy"]["fc"])
    lineage = json.loads((again.directory / "run.json").read_text())["lineage"]
    assert encoder_name(lineage) == "base+langalign-de-en-fc-steps20-no-step1"


# The ablation of the frozen encoder


def test_an_encoder_that_learns_gets_gradients_on_both_sides_and_the_same_loss(inputs: Path) -> None:
    encoder = load_encoder(ModelSource("tiny", inputs / "encoder"), dropout=0.0)
    reader, adapter = Reader(encoder, frozen=False), Adapter("fc", 16, layers=2, dropout=0.0, seed=1)
    texts = (inputs / "data" / "flores200_dataset" / "devtest" / "eng_Latn.devtest").read_text().splitlines()[:6]
    sides = [[np.array([0, *ids, 2]) for ids in encoder.tokenizer(part, add_special_tokens=False)["input_ids"]]
             for part in (texts[:3], texts[3:])]  # fmt: skip
    order = BatchOrder(np.ones(3), 3, seed=1)
    for places in (None, [(np.array([1]), np.array([2]))] * 3):
        [batch] = TranslationBatches(*sides, places, order, padding=reader.padding).micro_batches(0)
        found = UnfrozenObjective(reader, adapter)(batch.tensors, torch.tensor([1 / 3]))["adapter"]
        errors = []
        for row in batch.examples:  # one sentence at a time, read from the model itself
            states = [encoder.base(input_ids=torch.from_numpy(side[row])[None]).last_hidden_state[0] for side in sides]
            pair = [state[1:-1].mean(dim=0) for state in states] if places is None else [states[0][1], states[1][2]]
            errors.append(((adapter(pair[0]) - pair[1]) ** 2).mean())
        torch.testing.assert_close(found, torch.stack(errors).mean(), rtol=1e-4, atol=1e-6)
        found.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in adapter.parameters())
    assert reader.model.get_input_embeddings().weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    "options", [{"reverse": True}, {"task": "pos", "parallel": "general", "sentences": 30, "max_sentences": 20}]
)
def test_unfrozen_is_a_further_method_that_leaves_the_others_alone(
    options: dict[str, Any], inputs: Path, tmp_path: Path
) -> None:
    common = {"adapter_steps": 12, "learning_rate": 1e-3, **options}
    plain, more = study(inputs, tmp_path / "plain", **common), study(inputs, tmp_path / "more", unfrozen=True, **common)
    assert set(more.result["accuracy"]) - set(plain.result["accuracy"]) == {"fc-unfrozen"}
    assert all(more.result["accuracy"][name] == value for name, value in plain.result["accuracy"].items())
    near = {row["map"]: row for row in rows(more, "closeness.csv")}
    assert near["fc-unfrozen"]["cosine"] != near["fc"]["cosine"]


def test_runs_that_differ_have_names_that_differ(inputs: Path) -> None:
    given = {"task": "topic", "pair": "de-en", "output": "here"}
    changes: list[dict[str, Any]] = [
        {}, {"architecture": "ae"}, {"reverse": True}, {"skip_step1": True}, {"parallel": "general"}, {"sentences": 50},
        {"noise": 0.1}, {"unfrozen": True}, {"adapter_layers": 4}, {"adapter_dropout": 0.5}, {"adapter_steps": 9},
        {"seed": 1},
    ]  # fmt: skip
    names = [langalign_name("topic", "de-en", "base", LangalignConfig(**given, **one).variant) for one in changes]
    assert len(set(names)) == len(names) and names[0] == "langalign/topic/de-en/base/fc"
    assert not any(Path(one) in Path(other).parents for one in names for other in names)  # no run inside another


def test_runs_share_one_fine_tuned_encoder(inputs: Path, tmp_path: Path) -> None:
    options = {"skip_step1": False, "step1": str(tmp_path / "step1"), "learning_rate": 1e-3, "adapter_steps": 5}
    first = study(inputs, tmp_path / "first", **options)
    written = (tmp_path / "step1" / "result.json").stat().st_mtime_ns
    second = study(inputs, tmp_path / "second", reverse=True, **options)
    assert (tmp_path / "step1" / "result.json").stat().st_mtime_ns == written
    assert first.result["accuracy"]["english-only"] == second.result["accuracy"]["english-only"]
    assert not (tmp_path / "first" / "step1").exists()
    with pytest.raises(UsageError, match="holds another run"):
        study(inputs, tmp_path / "third", **options | {"learning_rate": 2e-3})
    assert not (tmp_path / "third").exists()


def test_a_complete_run_is_not_made_again(inputs: Path, tmp_path: Path) -> None:
    study(inputs, tmp_path / "run")
    assert study(inputs, tmp_path / "run").reused


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"pair": "kk-ko"}, "choose a pair with en"),
        ({"task": "pos"}, "use --parallel general"),
        ({"architecture": "ae", "adapter_layers": 5}, "even number"),
        ({"sentences": 1000}, "only 56 translations"),
        ({"pair": "en-kk"}, "no topic training data in kaz"),
        ({"step1": "somewhere"}, "skip_step1 does without"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    options: dict[str, Any], line: str, inputs: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=line):
        study(inputs, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_the_command_builds_the_same_run(inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["langalign", "--task", "topic", "--pair", "de-en", "--skip-step1", "--architecture", "ae", "--quiet"]
    words += ["--model", str(inputs / "encoder"), "--data", str(inputs / "data"), "--output", str(tmp_path / "run")]
    assert command([*words, "--set", "adapter_steps=20", "--set", "epochs=1", "--tracking", "none"]) == 0
    assert "english-only" in capsys.readouterr().out
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["config"]["architecture"] == "ae" and record["config"]["skip_step1"] is True
