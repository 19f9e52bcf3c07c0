"""The gradient analysis as a whole: its files, its marks, its refusals."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import tiny_data, tiny_encoder

from xalign import FinetuneConfig, GradientsConfig, finetune, gradients
from xalign.analysis import gradient_analysis
from xalign.analysis.gradient_views import COLUMNS
from xalign.config import AlignConfig
from xalign.config.fields import as_dict
from xalign.errors import UsageError, XalignError
from xalign.runs import RunResult

LANGUAGES = ("eng", "deu", "kaz")
LAYERS = 3


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, encoders that look aligned with and without M, and heads for the first of them."""
    folder = tmp_path_factory.mktemp("inputs")
    tiny_data(folder / "data")
    tiny_encoder(folder / "base", layers=LAYERS, width=8)
    for loss in ("S1W0M0", "S1W0M1"):
        aligned(folder, loss)
    for task in ("topic", "pos"):
        tune(folder, folder / "heads" / task, task=task)
    return folder


def aligned(folder: Path, loss: str) -> Path:
    """A directory that looks like a complete alignment run."""
    run = folder / "align" / loss
    tiny_encoder(run / "encoder", layers=LAYERS, width=8, seed=1)
    config = as_dict(AlignConfig(pair="de-en", loss=loss, output="", held_out=60, word_negatives=20, max_length=32))
    lineage = {"encoder": "tiny", "pair": "de-en", "loss": loss, "align_seed": 42, "align_step": 6000}
    record = {"phase": "align", "key": "k", "name": f"align/de-en/{loss}", "lineage": lineage, "config": config}
    (run / "run.json").write_text(json.dumps(record))
    (run / "result.json").write_text("{}")
    return run


def tune(folder: Path, output: Path, **options: Any) -> RunResult:
    common: dict[str, Any] = {
        "model": str(folder / "align/S1W0M0"), "data": str(folder / "data"), "output": str(output), "mode": "linear",
        "epochs": 3, "seeds": (15, 33), "tracking": "none", "quiet": True, "probe": True, "head_learning_rate": 3e-2,
    }  # fmt: skip
    return finetune(FinetuneConfig(**(common | options)))


def config(folder: Path, output: Path, **options: Any) -> GradientsConfig:
    common: dict[str, Any] = {
        "task": "topic", "model": str(folder / "align/S1W0M0"), "data": str(folder / "data"), "output": str(output),
        "languages": LANGUAGES, "blocks": 3, "batches": 2, "pairs_per_batch": 5, "sentences_per_batch": 3,
        "epochs": 2, "heads": str(folder / "heads" / options.get("task", "topic")), "tracking": "none", "quiet": True,
    }  # fmt: skip
    return GradientsConfig(**(common | options))


def read(run: Path, name: str = "gradients.csv") -> list[dict[str, str]]:
    with (run / name).open(newline="") as stream:
        return list(csv.DictReader(stream))


def chosen(lines: list[dict[str, str]], **values: str) -> list[dict[str, str]]:
    return [line for line in lines if all(line[name] == value for name, value in values.items())]


@pytest.fixture(scope="module")
def found(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return gradients(config(inputs, tmp_path_factory.mktemp("checkpoint") / "run"))


def test_the_three_files_have_their_columns_and_views(found: RunResult) -> None:
    lines = read(found.directory)
    assert (found.directory / "gradients.csv").read_text().splitlines()[0] == ",".join(COLUMNS)
    pairs = {(x["view"], x["first"], x["second"]) for x in lines}
    assert pairs == {
        ("task-alignment", "topic", "S1W0M0"), ("task-alignment", "topic", "S"),
        ("task-alignment", "topic@train", "S1W0M0@train"), ("task-alignment", "topic@train", "S@train"),
        ("task-language", "eng", "deu"), ("task-language", "eng", "kaz"), ("task-language", "deu", "kaz"),
        *(
            ("mlm-language", f"{first}@{mark}", f"{second}@{mark}")
            for mark in ("stale", "refitted") for first, second in (("eng", "deu"), ("eng", "kaz"), ("deu", "kaz"))
        ),
    }  # fmt: skip
    groups = [x["group"] for x in chosen(lines, view="task-alignment", first="topic", second="S")]
    assert groups == ["shared", "all", "embeddings", "layer1", "layer2", "layer3"]
    assert {x["view"] for x in read(found.directory, "updates.csv")} == {"task-alignment"}
    ahead = read(found.directory, "lookahead.csv")
    assert [x["language"] for x in ahead] == ["eng", "deu", "kaz"]
    assert {(x["task"], x["loss"], x["step_size"]) for x in ahead} == {("topic", "S1W0M0", "2e-05")}


def test_a_layer_that_a_loss_does_not_reach_has_empty_cells(found: RunResult) -> None:
    (line,) = chosen(read(found.directory), first="topic", second="S", group="layer3")  # S reads hidden_states[2]
    assert line.pop("reach") == "0"
    assert {line[name] for name in COLUMNS[4:-1]} == {""}
    (below,) = chosen(read(found.directory), first="topic", second="S", group="layer2")
    assert math.isfinite(float(below["cosine"])) and int(below["reach"]) > 0


def test_the_tied_decoder_is_apart_where_a_masked_lm_loss_is(found: RunResult) -> None:
    lines = read(found.directory)
    for view, apart in (("mlm-language", True), ("task-language", False), ("task-alignment", False)):
        groups = {x["group"] for x in chosen(lines, view=view)}
        assert ({"embeddings-input", "embeddings-decoder"} <= groups) is apart


def test_the_result_holds_the_main_lines_as_numbers(found: RunResult) -> None:
    result = found.result
    main = {x["second"]: x for x in chosen(read(found.directory), first="topic", group="shared")}
    for measure in ("cosine", "cosine_corrected", "noise_ceiling"):
        seen = {second: float(x[measure]) for second, x in main.items() if x[measure]}
        assert result[measure] == pytest.approx(seen, rel=1e-4)
    assert result["pair"] == "de-en" and result["loss"] == "S1W0M0" and result["heads"] == 2  # the probe is no head
    assert result["masked_lm_loss"]["refitted"] < result["masked_lm_loss"]["stale"]


def test_nothing_temporary_is_left(found: RunResult) -> None:
    left = {path.name for path in found.directory.iterdir()}
    assert left == {
        ".lock", "run.json", "environment.json", "gradients.csv", "updates.csv", "lookahead.csv", "result.json",
    }  # fmt: skip


def test_a_complete_analysis_is_not_made_again(found: RunResult, inputs: Path) -> None:
    assert gradients(config(inputs, found.directory)).reused


def test_its_name_and_lineage_are_those_of_the_model_and_the_task(found: RunResult, inputs: Path) -> None:
    record = json.loads((found.directory / "run.json").read_text())
    assert record["name"] == "gradients/topic/de-en/S1W0M0"
    assert record["lineage"]["task"] == "topic" and record["lineage"]["loss"] == "S1W0M0"
    assert [entry["path"] for entry in record["upstream"]] == [
        str(inputs / "align/S1W0M0"), str(inputs / "heads/topic")
    ]  # fmt: skip
    assert record["config"]["pair"] is None  # as given, or the grid would take the run for stale


def test_heads_are_trained_where_none_are_given_and_with_m_there_is_no_stale_head(inputs: Path, tmp_path: Path) -> None:
    found = gradients(
        config(inputs, tmp_path / "run", task="pos", model=str(inputs / "align/S1W0M1"), heads=None, sketch=64)
    )
    assert json.loads((found.directory / "heads" / "run.json").read_text())["config"]["mode"] == "linear"
    assert found.result["heads"] == 3
    lines = read(found.directory)
    assert {x["first"] for x in chosen(lines, view="mlm-language")} == {"eng", "deu"}
    assert {x["second"] for x in chosen(lines, view="task-alignment", first="pos")} == {"S1W0M1", "S", "M"}
    decoder = chosen(lines, first="pos", second="M", group="embeddings-decoder")
    assert decoder and decoder[0]["cosine"]
    assert chosen(lines, first="pos", second="S", group="layer3")[0]["cosine"] == ""
    assert chosen(lines, first="pos", second="S1W0M1", group="layer3")[0]["cosine"] != ""
    assert read(found.directory, "updates.csv") == []  # a sketch cannot be divided number by number


def test_a_sketch_estimates_the_exact_analysis(found: RunResult, inputs: Path, tmp_path: Path) -> None:
    rough = gradients(config(inputs, tmp_path / "run", sketch=1024))
    for exact, sketched in zip(read(found.directory), read(rough.directory), strict=True):
        assert exact["reach"] == sketched["reach"]
        if exact["cosine"]:
            assert float(sketched["cosine"]) == pytest.approx(float(exact["cosine"]), abs=0.2)
            assert float(sketched["norm_first"]) == pytest.approx(float(exact["norm_first"]), rel=0.15)


def test_lookahead_is_the_change_after_a_step_of_signs(inputs: Path, tmp_path: Path) -> None:
    """A large step down the task's own gradient would lower its loss; here the model comes back as it was, too."""
    found = gradients(config(inputs, tmp_path / "run", step_size=1e-3))
    for line in read(found.directory, "lookahead.csv"):
        change = float(line["loss_after"]) - float(line["loss_before"])
        assert change == pytest.approx(float(line["change"]), abs=1e-5)
        assert float(line["low"]) <= float(line["change"]) <= float(line["high"])
        assert abs(change) > 1e-6
    same = gradients(config(inputs, tmp_path / "again", step_size=0.0))
    for line in read(same.directory, "lookahead.csv"):
        assert float(line["change"]) == pytest.approx(0, abs=1e-7)
    masked = [chosen(read(run.directory), view="mlm-language") for run in (found, same)]
    assert masked[0] == masked[1]  # measured after the steps


def test_along_finetuning_follows_the_cosine_by_epoch(inputs: Path, tmp_path: Path, found: RunResult) -> None:
    along = gradients(config(inputs, tmp_path / "run", protocol="along-finetuning"))
    lines = read(along.directory)
    assert {x["first"] for x in lines} == {f"topic@epoch{epoch}" for epoch in range(3)}
    assert {x["view"] for x in lines} == {"task-alignment"}
    at_start = chosen(lines, first="topic@epoch0", second="S1W0M0", group="shared")[0]
    checkpoint = chosen(read(found.directory), first="topic", second="S1W0M0", group="shared")[0]
    assert at_start["cosine"] == checkpoint["cosine"]
    assert chosen(lines, first="topic@epoch2", second="S", group="shared")[0]["cosine"] != at_start["cosine"]
    assert set(along.result["cosine"]) == {"epoch0", "epoch1", "epoch2"}
    assert not (along.directory / "checkpoints").exists()


def test_an_interrupted_analysis_goes_on_with_its_heads(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = config(inputs, tmp_path / "run", heads=None, languages=("eng",))
    with monkeypatch.context() as patch:
        patch.setattr(gradient_analysis.GradientAnalysis, "task_language", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            gradients(options)
    with pytest.raises(UsageError, match="unfinished; continue it with --resume"):
        gradients(options)
    before = (tmp_path / "run/heads/result.json").stat().st_mtime_ns
    gradients(dataclasses.replace(options, resume=True))
    assert (tmp_path / "run/heads/result.json").stat().st_mtime_ns == before


def refused(options: GradientsConfig, message: str, kind: type[XalignError] = UsageError) -> None:
    with pytest.raises(kind, match=message) as error:
        gradients(options)
    assert type(error.value) is kind and "\n" not in str(error.value)
    assert not Path(options.output).exists()


def test_sharded_gradients_are_refused(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("ACCELERATE_USE_DEEPSPEED", "true"), ("WORLD_SIZE", "2")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            refused(config(inputs, tmp_path / "run"), r"sharded over processes \(ZeRO\).*without accelerate launch")


def test_an_unaligned_model_needs_a_pair_and_a_loss(inputs: Path, tmp_path: Path) -> None:
    base = str(inputs / "base")
    refused(config(inputs, tmp_path / "run", model=base), "not aligned.*give --pair and --loss, for example")
    refused(config(inputs, tmp_path / "run", model=base, pair="de-en"), "give --loss, for example")
    named = config(inputs, tmp_path / "run", model=base, pair="en-kk", loss="S0W0M1", heads=None, languages=("eng",))
    found = gradients(named)
    assert found.result["pair"] == "en-kk"
    assert json.loads((found.directory / "run.json").read_text())["name"] == "gradients/topic/base"
    assert chosen(read(found.directory), view="mlm-language") == []  # one language is no pair


def test_heads_of_another_task_encoder_or_kind_are_refused(inputs: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    refused(config(inputs, output, heads=str(inputs / "heads/pos")), "heads for pos, not for topic")
    refused(config(inputs, output, model=str(inputs / "align/S1W0M1"), heads=str(tune_base(inputs))), "another encoder")
    refused(config(inputs, output, heads=str(inputs / "align/S1W0M0")), "not heads on a frozen encoder")
    refused(config(inputs, output, heads=str(inputs / "nowhere")), "no such directory; --heads takes")


def tune_base(inputs: Path) -> Path:
    if not (inputs / "heads/base").exists():
        tune(inputs, inputs / "heads/base", task="topic", model=str(inputs / "base"), probe=False)
    return inputs / "heads/base"


def test_unfinished_and_stale_heads_are_refused(inputs: Path, tmp_path: Path) -> None:
    copy = tmp_path / "heads" / "topic"
    shutil.copytree(inputs / "heads/topic", copy)
    (copy / "result.json").unlink()
    refused(config(inputs, tmp_path / "run", heads=str(copy)), "incomplete; finish it with --resume", XalignError)


def test_nan_weights_are_refused(inputs: Path, tmp_path: Path) -> None:
    model = tmp_path / "broken"
    shutil.copytree(inputs / "align/S1W0M0", model)
    weights = load_file(model / "encoder/model.safetensors")
    next(iter(weights.values())).fill_(torch.nan)
    save_file(weights, model / "encoder/model.safetensors", {"format": "pt"})
    refused(config(inputs, tmp_path / "run", model=str(model), heads=None), "holds NaN or infinity", XalignError)


def test_languages_without_data_and_unequal_translations_are_refused(inputs: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    refused(config(inputs, output, languages=("eng", "fra")), "no such file")
    refused(config(inputs, output, languages=("eng", "eng")), "name each language once")
    data = tmp_path / "data"
    shutil.copytree(inputs / "data", data)
    path = data / "flores200_dataset/devtest/kaz_Cyrl.devtest"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    refused(config(inputs, output, data=str(data)), "39 lines where .*eng_Latn.devtest has 40", XalignError)


def test_more_blocks_than_data_is_refused_in_one_line(inputs: Path, tmp_path: Path) -> None:
    few = {"languages": ("eng",), "pairs_per_batch": 2}
    refused(config(inputs, tmp_path / "run", blocks=15, **few), r"14 sentences \(topic, dev\) do not give 15 blocks")
    refused(config(inputs, tmp_path / "run", pairs_per_batch=21), r"60 pairs of de-en do not give 3 blocks of at least")
