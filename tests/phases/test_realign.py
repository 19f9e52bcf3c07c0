"""Realignment as a phase: it raises the metric at its layer, its strategies, aligners, what it leaves and resuming."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny import PAIRS, sentence, tiny_data, tiny_encoder, words

from xalign.__main__ import run as command
from xalign.config import FinetuneConfig, RealignConfig, TransferConfig
from xalign.data.languages import parse_pair
from xalign.engine import loop
from xalign.errors import UsageError, XalignError
from xalign.methods.realignment_variants import aligner_name
from xalign.model_source import find_model
from xalign.naming import encoder_name
from xalign.phases.finetune import NO_LINEAGE, finetune
from xalign.phases.realign import realign
from xalign.phases.realignment_options import realigned_lineage
from xalign.phases.transfer import transfer
from xalign.runs import RunResult


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny data with a German-English dictionary, and an encoder."""
    root = tmp_path_factory.mktemp("inputs")
    data = tiny_data(root / "data")
    (data / "muse").mkdir()
    entries = zip(words("deu"), words("eng"), strict=True)
    (data / "muse" / "de-en.txt").write_text("".join(f"{first} {second}\n" for first, second in entries))
    tiny_encoder(root / "encoder", layers=2)
    return root


def run(inputs: Path, output: Path, **options: Any) -> RunResult:
    common: dict[str, Any] = {
        "task": "topic", "pair": "de-en", "realign_steps": 4, "realign_batch_size": 8, "realign_learning_rate": 1e-2,
        "seeds": (15,), "epochs": 1, "held_out": 40, "tracking": "none", "quiet": True, "learning_rate": 1e-3,
        "probe": False,
    }  # fmt: skip
    places = {"model": str(inputs / "encoder"), "data": str(inputs / "data"), "output": str(output)}
    if options.get("mode") == "linear":
        common.pop("learning_rate")
    return realign(RealignConfig(**(places | common | options)))


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_file(path / "model.safetensors")


def same(first: Path, second: Path) -> bool:
    one, other = weights(first), weights(second)
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def alignment(found: RunResult) -> list[dict[str, str]]:
    with (found.directory / "alignment.csv").open() as stream:
        return list(csv.DictReader(stream))


def test_realignment_raises_the_metric_at_its_layer(inputs: Path, tmp_path: Path) -> None:
    found = run(inputs, tmp_path / "run", realign_steps=40, layer="1/2")
    rows = [row for row in alignment(found) if row["layer"] == "1"]
    accuracy = {(row["state"], row["direction"]): float(row["accuracy"]) for row in rows}
    for direction in ("deu-eng", "eng-deu"):
        assert accuracy["realigned", direction] > accuracy["base", direction] + 0.3
    assert found.result["layer"] == 1 and found.result["alignment"]["realigned"] > 0.5
    states = {(row["state"], row["seed"]) for row in alignment(found)}
    assert states == {("base", ""), ("realigned", ""), ("finetuned", "15")} and len(alignment(found)) == 3 * 3 * 2


def test_before_leaves_an_encoder_and_what_finetune_makes_of_it(inputs: Path, tmp_path: Path) -> None:
    found = run(inputs, tmp_path / "run", seeds=(15, 33))
    source = find_model(str(found.directory))
    assert source.directory == found.directory / "encoder" and not same(source.directory, inputs / "encoder")
    assert (source.lineage["pair"], source.lineage["loss"], source.lineage["method"]) == (
        "de-en", None, "realign-before-dictionary-4steps",
    )  # fmt: skip
    assert (found.result["parameters"], found.result["translations"]) == (0, 32)
    config = json.loads((found.directory / "run.json").read_text())["config"]
    shared = {name: config[name] for name in ("task", "epochs", "batch_size", "max_length", "learning_rate")}
    tuned = finetune(
        FinetuneConfig(**shared, model=str(found.directory), data=str(inputs / "data"), output=str(tmp_path / "tuned"),
                       seeds=(15, 33), tracking="none", quiet=True)
    )  # fmt: skip
    for seed in (15, 33):
        assert same(found.directory / f"encoder-seed{seed}", tuned.directory / f"encoder-seed{seed}")
    tested = transfer(
        TransferConfig(model=str(found.directory), data=str(inputs / "data"), output=str(tmp_path / "transfer"),
                       languages=("deu", "kaz"), tracking="none", quiet=True)
    )  # fmt: skip
    record = json.loads((tested.directory / "run.json").read_text())
    assert record["name"] == "transfer/topic/full/de-en+realign-before-dictionary-4steps"
    assert set(tested.result["accuracy"]["deu"]) == {"15", "33"}
    cards = {name: (found.directory / name / "README.md").read_text() for name in ("encoder", "encoder-seed15")}
    assert "**steps**: 4\n" in cards["encoder"] and "1-NN accuracy of words, realigned" in cards["encoder"]
    assert "**seed**: 15\n" in cards["encoder-seed15"] and "gaschi2023realignment" in cards["encoder-seed15"]


def test_baseline_is_plain_fine_tuning(inputs: Path, tmp_path: Path) -> None:
    found = run(inputs, tmp_path / "run", strategy="baseline", task="pos")
    plain = finetune(
        FinetuneConfig(task="pos", model=str(inputs / "encoder"), data=str(inputs / "data"), epochs=1, batch_size=32,
                       output=str(tmp_path / "plain"), max_length=96, learning_rate=1e-3, seeds=(15,),
                       tracking="none", quiet=True)
    )  # fmt: skip
    assert same(found.directory / "encoder-seed15", plain.directory / "encoder-seed15")
    assert found.result["translations"] == found.result["links"] == 0
    assert not (found.directory / "encoder").exists() and not (found.directory / "links.txt").exists()
    with pytest.raises(UsageError, match="a fine-tuned model"):
        find_model(str(found.directory))


def test_during_learns_both_in_the_same_steps(inputs: Path, tmp_path: Path) -> None:
    found = run(inputs, tmp_path / "run", strategy="during", freeze="upper", negatives="weak", epochs=2)
    lines = [json.loads(line) for line in (found.directory / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "loss" in line]
    assert len(steps) == found.result["steps"] == 4
    assert all(line["loss"] == pytest.approx(line["loss_task"] + line["loss_realign"]) for line in steps)
    nothing = run(inputs, tmp_path / "nothing", strategy="during", coefficient=0.0, epochs=2)
    baseline = run(inputs, tmp_path / "baseline", strategy="baseline", epochs=2)
    tuned, idle, plain = (weights(each.directory / "encoder-seed15") for each in (found, nothing, baseline))
    inside = "roberta.encoder.layer.0.output.dense.weight"
    torch.testing.assert_close(idle[inside], plain[inside], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(tuned[inside], plain[inside], rtol=1e-4, atol=1e-5)
    record = json.loads((found.directory / "run.json").read_text())
    assert record["name"] == "realign/topic/full/de-en+realign-during-dictionary-upper-weak"


@pytest.mark.parametrize(("half", "still"), [("lower", ("embeddings", "layer.0.")), ("upper", ("layer.1.",))])
def test_realignment_leaves_the_frozen_half_as_it_was(
    inputs: Path, tmp_path: Path, half: str, still: tuple[str, ...]
) -> None:
    found = run(inputs, tmp_path / "run", freeze=half, mode="linear")
    after, before = weights(found.directory / "encoder"), weights(inputs / "encoder")
    inside = [name for name in before if name.startswith("roberta.") and "position" not in name]
    for name in inside:
        assert torch.equal(after[name], before[name]) or not any(part in name for part in still), name
    assert any(not torch.equal(after[name], before[name]) for name in inside)
    reference = json.loads((found.directory / "head" / "encoder.json").read_text())
    assert reference["path"] == "encoder"  # beside the head, wherever the run is moved


@pytest.mark.parametrize(("strategy", "stop"), [("before", 2), ("before+during", 5)])
def test_a_resumed_run_is_the_uninterrupted_one(
    inputs: Path, tmp_path: Path, strategy: str, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped within realignment (of 4 steps), or within the fine-tuning that follows."""
    options = {"strategy": strategy, "epochs": 2, "save_every": 1}
    whole = run(inputs, tmp_path / "whole", **options)
    original: Callable[..., Any] = loop._after_step

    def interrupted(*arguments: Any) -> None:
        original(*arguments)
        _, _, _, _, _, training, done, *_ = arguments
        if training.offset + done == stop:
            raise XalignError("stopped by the test")

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_after_step", interrupted)
        with pytest.raises(XalignError, match="stopped by the test"):
            run(inputs, tmp_path / "run", **options)
    again = run(inputs, tmp_path / "run", **options, resume=True)
    assert again.result["resumed_from"] == [stop]
    steps_read = {"before": 4, "before+during": 4 + 4}[strategy]  # each stage reads the pairs in an order of its own
    assert again.result["translations"] == 8 * steps_read
    for name in ("encoder", "encoder-seed15"):
        assert same(again.directory / name, whole.directory / name)
    steps = [json.loads(line).get("step") for line in (again.directory / "metrics.jsonl").read_text().splitlines()]
    assert sorted(set(steps)) == list(range(1, 9))


def test_other_aligners_link_other_words_but_are_measured_on_the_same(inputs: Path, tmp_path: Path) -> None:
    links = tmp_path / "links.txt"
    links.write_text(
        "".join(" ".join(f"{i}-{i}" for i in range(len(sentence("deu", n)[0]))) + "\n" for n in range(PAIRS))
    )
    found = {
        aligner: run(inputs, tmp_path / name, aligner=aligner, mode="linear")
        for name, aligner in (("d", "dictionary"), ("n", "neural"), ("f", str(links)))
    }
    measured = {(each.directory / "links-held-out.txt").read_text() for each in found.values()}
    assert len(measured) == 1 and {each.result["measured_by"] for each in found.values()} == {"dictionary"}
    # All words of the file are linked, a few words of the neural one, and of the dictionary those without a double.
    assert (
        found[str(links)].result["links"] >= found["dictionary"].result["links"] > found["neural"].result["links"] > 0
    )
    names = {json.loads((each.directory / "run.json").read_text())["lineage"]["method"] for each in found.values()}
    assert names == {f"realign-before-{name}-4steps" for name in ("dictionary", "neural", "links")}


def test_links_are_drawn_once_and_kept(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An aligner that draws at random may not be asked again by a resumed run."""
    from xalign.methods.word_aligners import DictionaryAligner

    monkeypatch.setattr(
        "xalign.phases.realign.train_models", lambda *a, **k: (_ for _ in ()).throw(XalignError("stop"))
    )
    with pytest.raises(XalignError, match="stop"):
        run(inputs, tmp_path / "run")
    monkeypatch.undo()
    monkeypatch.setattr(DictionaryAligner, "align", lambda *a: pytest.fail("linked again"))
    assert run(inputs, tmp_path / "run", resume=True).result["links"] > 0


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"pair": "en-kk"}, "no dictionary leads from eng to kaz"),
        ({"aligner": "fastalign"}, "neither a file of links nor one of dictionary, statistical, neural"),
        ({"strategy": "during", "mode": "linear"}, "use --mode full"),
        ({"freeze": "lower", "layer": "1"}, "freeze=lower leaves nothing to realign at layer 1 of 2"),
        ({"freeze": "upper", "layer": "1"}, "freeze=upper freezes nothing that is realigned at layer 1 of 2"),
        (
            {"strategy": "during", "freeze": "upper", "gradient_checkpointing": True},
            "freeze=upper during fine-tuning does not go with gradient_checkpointing",
        ),
        ({"strategy": "baseline", "freeze": "lower"}, "freeze=lower does nothing with strategy=baseline"),
        ({"strategy": "baseline", "negatives": "weak"}, "negatives=weak does nothing with strategy=baseline"),
        ({"strategy": "baseline", "temperature": 0.5}, "temperature=0.5 does nothing with strategy=baseline"),
        (
            {"strategy": "baseline", "aligner": "neural", "matching": "itermax"},
            "matching=itermax does nothing with strategy=baseline",
        ),
        ({"matching": "itermax"}, "matching=itermax does nothing with aligner=dictionary"),
        ({"coefficient": 0.5}, "coefficient=0.5 does nothing with strategy=before"),
        (
            {"codeswitch": 0.5, "codeswitch_languages": ("deu",)},
            "codeswitch does not go with strategy=before: realign without it, then code-switch in 'xalign finetune",
        ),
        ({"layer": "5"}, "layers 1 to 2"),
        ({"realign_batch_size": 9, "accumulation": 2}, "realign_batch_size=9 does not divide"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    options: dict[str, Any], line: str, inputs: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=line):
        run(inputs, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_held_out_pairs_without_links_stop_the_run_before_it_trains(inputs: Path, tmp_path: Path) -> None:
    links = tmp_path / "links.txt"
    links.write_text("\n" * PAIRS)
    data = tmp_path / "data"
    shutil.copytree(inputs / "data", data, ignore=shutil.ignore_patterns("muse"))
    with pytest.raises(XalignError, match=r"links 0 words in 40 held-out sentence pairs.*raise held_out, or use anoth"):
        run(inputs, tmp_path / "run", aligner=str(links), data=str(data))
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


@pytest.mark.parametrize(
    ("options", "base", "aligned"),
    [
        ({}, "", ""),
        ({"strategy": "during", "coefficient": 0.5}, "-k0.5", "-k0.5"),
        ({"layer": "1/2", "temperature": 0.5}, "-temperature0.5-layer6", "-temperature0.5-layer6"),
        ({"realign_steps": 500, "identical": True}, "-500steps-identical", "-500steps-identical"),
        ({"realign_seed": 43}, "", "-seed43"),  # of a first realignment the seed stands before the method
        ({"strategy": "during", "realign_steps": 500, "realign_seed": 43}, "", ""),  # they do nothing there
    ],
)
def test_realignments_with_other_options_have_other_names(options: dict[str, Any], base: str, aligned: str) -> None:
    config = RealignConfig(task="topic", pair="de-en", output="", **options)
    corpus = SimpleNamespace(languages=parse_pair("de-en"))
    for lineage, end in ((NO_LINEAGE, base), ({**NO_LINEAGE, "pair": "de-en", "loss": "S1W0M0"}, aligned)):
        found = realigned_lineage(config, lineage, corpus, 6)  # type: ignore[arg-type]
        assert found["method"] == f"realign-{config.strategy}-dictionary{end}"
    if config.strategy == "before":
        found = realigned_lineage(config, NO_LINEAGE, corpus, 6)  # type: ignore[arg-type]
        assert ("-seed43" in encoder_name(found)) == (config.realign_seed == 43)


def test_a_file_of_links_is_called_by_its_stem() -> None:
    assert aligner_name("/some/where/fast+align de.txt") == "fast_align_de"
    assert (aligner_name("neural"), aligner_name("links/neural.txt")) == ("neural", "file-neural")


def test_the_command_builds_the_same_run(inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["realign", "--task", "topic", "--pair", "de-en", "--strategy", "before", "--negatives", "weak", "--quiet"]
    line += ["--model", str(inputs / "encoder"), "--data", str(inputs / "data"), "--output", str(tmp_path / "run")]
    assert command([*line, "--preset", "smoke", "--set", "realign_steps=2", "--tracking", "none"]) == 0
    assert "alignment: base" in capsys.readouterr().out
    assert json.loads((tmp_path / "run" / "run.json").read_text())["config"]["negatives"] == "weak"
    again = run(inputs, tmp_path / "other")
    assert run(inputs, tmp_path / "other").reused and not again.reused
