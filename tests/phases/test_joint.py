"""Joint training: what is shared and what is not, against fine-tuning alone, over micro-batches and processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from launching import run as launched
from safetensors.torch import load_file
from tiny import tiny_data, tiny_encoder

from xalign import FinetuneConfig, JointConfig, TransferConfig, finetune, joint, transfer
from xalign.__main__ import run as command
from xalign.engine import launch
from xalign.errors import UsageError
from xalign.phases.joint import _learns_from_translations, _method
from xalign.runs import Run, RunResult
from xalign.tasks.finetuned import read_finetuned

TASK: dict[str, Any] = {
    "task": "topic", "seeds": (15,), "epochs": 2, "learning_rate": 1e-3, "head_learning_rate": 1e-2, "tracking": "none",
    "quiet": True,
}  # fmt: skip
PAIRS: dict[str, Any] = {
    "pair": "de-en", "pairs_batch_size": 16, "held_out": 20, "eval_pairs": 20, "word_negatives": 20, "layer": "2",
}  # fmt: skip


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("inputs")
    tiny_data(root / "data")
    tiny_encoder(root / "encoder", layers=3)
    return root


def places(inputs: Path, output: Path) -> dict[str, str]:
    return {"model": str(inputs / "encoder"), "data": str(inputs / "data"), "output": str(output)}


def train(inputs: Path, output: Path, **options: Any) -> RunResult:
    return joint(JointConfig(**places(inputs, output), **(TASK | PAIRS | options)))


@pytest.fixture(scope="module")
def alone(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One process, one micro-batch a step."""
    output = tmp_path_factory.mktemp("runs") / "alone"
    train(inputs, output, combine="pcgrad", dropout=0.0, epochs=1)
    yield output


def name_of(**options: Any) -> str:
    return _method(JointConfig(task="topic", pair="de-en", output="unused", **options), depth=12)


def test_runs_that_differ_in_a_rule_s_settings_or_in_the_alignment_do_not_share_a_name() -> None:
    assert name_of(combine="cagrad", layer="8") == name_of(combine="cagrad", learning_rate=1e-3) == "joint-cagrad"
    assert name_of(combine="cagrad", cagrad_c=0.2) == "joint-cagrad-c0.2"
    assert name_of(combine="gradvac", gradvac_beta=0.1, align_weight=3) == "joint-gradvac-w3-b0.1"
    assert name_of(temperature=0.05, align_pooling="cls", layer="12") == "joint-pcgrad-t0.05-cls-layer12"
    assert name_of(objectives="each-loss", freeze="lower", layer="1/2") == "joint-pcgrad-each-lower-layer6"


@pytest.mark.parametrize(
    ("options", "used"),
    [
        ({}, True),
        ({"loss": "S0W0M1", "mlm_input": "tlm"}, True),
        ({"loss": "S1W0M1"}, True),
        ({"loss": "S0W0M1"}, False),
        ({"align_weight": 0.0}, False),
    ],
)
def test_translations_are_counted_where_something_is_learned_from_them(options: dict[str, Any], used: bool) -> None:
    config = JointConfig(task="topic", pair="de-en", output="unused", **options)
    assert _learns_from_translations(config) == used


@pytest.mark.parametrize("name", ["features", "probe"])
def test_options_of_a_frozen_encoder_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name}=true is for a head on a frozen encoder"):
        JointConfig(task="topic", pair="de-en", output="unused", **{name: True})  # type: ignore[arg-type]


def steps(run: Path) -> list[dict[str, float]]:
    """The training lines without what depends on time."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if "per_second" not in k} for line in lines if "loss" in line]


def encoder(run: Path, seed: int = 15) -> dict[str, torch.Tensor]:
    return load_file(run / f"encoder-seed{seed}" / "model.safetensors")


def assert_same_encoders(first: Path, second: Path, **tolerance: float) -> None:
    ours, theirs = encoder(first), encoder(second)
    for name, tensor in ours.items():
        if "attention.self.key.bias" not in name:  # it has gradient 0; Adam turns rounding into steps
            torch.testing.assert_close(tensor, theirs[name], **{"rtol": 0, "atol": 0} | tolerance, msg=name)


def test_with_a_weight_of_0_the_task_is_trained_as_finetune_trains_it(inputs: Path, tmp_path: Path) -> None:
    """Also beside M, whose head nothing else reaches: it is not trained, and has no part in clipping."""
    theirs = tmp_path / "finetune"
    options: dict[str, Any] = TASK | {"task": "pos", "epochs": 1, "dropout": 0.0, "clip": 0.1}
    finetune(FinetuneConfig(**places(inputs, theirs), **options, mode="full"))
    for loss in ("S1W0M0", "S1W0M1"):
        mine = tmp_path / loss
        found = train(inputs, mine, combine="sum", align_weight=0.0, loss=loss, **options).result
        assert found["translations"] == 0 and found["cosine"]["task_align"] != 0
        assert_same_encoders(mine, theirs, atol=1e-6)
        heads = [load_file(run / "head" / "seed15.safetensors") for run in (mine, theirs)]
        torch.testing.assert_close(*heads, rtol=1e-4, atol=1e-6)


def test_transfer_reads_what_is_left_and_the_record_says_what_conflicted(inputs: Path, tmp_path: Path) -> None:
    options = {"loss": "S1W1M1", "objectives": "each-loss", "combine": "cagrad"}
    found = train(inputs, tmp_path / "run", epochs=1, seeds=(15, 33), **options)
    assert set(found.result["conflict"]) == {"15", "33"} and found.result["translations"] == 4 * 16
    cosines = [line["cosine_task_W"] for line in steps(found.directory)]
    assert len(cosines) == 8 and found.result["cosine"]["task_W"] == pytest.approx(sum(cosines) / 8)
    assert list(found.result["weight"]) == ["task", "S", "W", "M"] and len(found.result["cosine"]) == 6
    assert all(0 < found.result["pairs_recall_at_1"][seed] <= 1 for seed in ("15", "33"))
    model = read_finetuned(found.directory)
    assert set(model.heads) == {"15", "33"} and model.record["name"].startswith("joint/topic/de-en/")
    tested = transfer(
        TransferConfig(model=str(found.directory), data=str(inputs / "data"), output=str(tmp_path / "transfer"),
                       languages=("deu", "kaz"), tracking="none", quiet=True)
    )  # fmt: skip
    assert set(tested.result["accuracy"]["kaz"]) == {"15", "33"}
    name = json.loads((tmp_path / "transfer" / "run.json").read_text())["name"]
    assert name == "transfer/topic/full/de-en/S1W1M1+joint-cagrad-each"
    card = (found.directory / "encoder-seed33" / "README.md").read_text(encoding="utf-8")
    assert "**seed**: 33\n" in card and "L = L_S + L_W + L_M" in card and "pairs_recall_at_1" in card
    assert "{liu2021cagrad" in card and "**method**: joint-cagrad-each" in card


def test_each_layer_follows_the_objectives_that_reach_it(inputs: Path, alone: Path, tmp_path: Path) -> None:
    """S reaches two of three layers; the third, which only the task reaches, is trained as well."""
    before = load_file(inputs / "encoder" / "model.safetensors")
    upper = tmp_path / "upper"
    train(inputs, upper, combine="sum", freeze="lower", align_weight=0.3, epochs=1)
    for run, frozen in ((alone, ()), (upper, ("embeddings", "layer.0."))):
        after = encoder(run)
        for part in ("word_embeddings", "layer.0.output", "layer.1.output", "layer.2.output"):
            name = next(name for name in after if part in name and name.endswith("weight"))
            assert torch.equal(before[name], after[name]) == any(each in name for each in frozen), name
        assert all(torch.equal(before[name], after[name]) for name in after if "lm_head.dense" in name)
    assert json.loads((upper / "run.json").read_text())["lineage"]["method"] == "joint-sum-w0.3-lower"
    assert {line["weight_align"] for line in steps(upper)} == {0.3}


def test_a_run_that_ended_early_goes_on_bit_for_bit(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"combine": "gradvac", "dropout": 0.1, "save_every": 3, "gradvac_beta": 0.5}
    train(inputs, tmp_path / "whole", **options)
    log = Run.log

    def failing(run: Run, line: dict[str, Any]) -> None:
        if line["step"] == 6:
            raise RuntimeError("the disk is full")
        log(run, line)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="disk"):
        patch.setattr(Run, "log", failing)
        train(inputs, tmp_path / "cut", **options)
    assert train(inputs, tmp_path / "cut", resume=True, **options).result["resumed_from"] == [3]
    assert_same_encoders(tmp_path / "whole", tmp_path / "cut")
    assert steps(tmp_path / "whole") == steps(tmp_path / "cut")
    assert len({line["weight_task"] for line in steps(tmp_path / "whole")}) > 1


def test_the_rows_of_the_embedding_table_that_no_batch_reads_need_not_be_there(inputs: Path, tmp_path: Path) -> None:
    """Not even for the control, whose random direction has no room where gradients are zero."""
    for vocabulary in ("used", "whole"):
        train(inputs, tmp_path / vocabulary, combine="random", epochs=1, vocabulary=vocabulary)
    assert_same_encoders(tmp_path / "used", tmp_path / "whole", atol=1e-6)
    first, second = (steps(tmp_path / name) for name in ("used", "whole"))
    assert [line["loss"] for line in first] == pytest.approx([line["loss"] for line in second])
    assert any(line["conflict"] for line in first)


def assert_same_weights(first: Path, second: Path) -> None:
    ours, theirs = steps(first), steps(second)
    assert len(ours) == len(theirs) == 4
    for mine, other in zip(ours, theirs, strict=True):
        for name in ("loss", "cosine_task_align", "weight_task", "weight_align", "gradient_norm"):
            assert mine[name] == pytest.approx(other[name], rel=2e-3, abs=1e-4), name
    assert len({line["weight_task"] for line in ours}) > 1  # something was in conflict
    assert_same_encoders(first, second, atol=1e-4)


def test_micro_batches_change_nothing_where_the_contrast_covers_all(inputs: Path, alone: Path, tmp_path: Path) -> None:
    train(inputs, tmp_path / "parts", combine="pcgrad", dropout=0.0, epochs=1, accumulation=2, grad_cache=True)
    assert_same_weights(alone, tmp_path / "parts")


def test_two_processes_find_the_weights_of_one(inputs: Path, alone: Path, tmp_path: Path) -> None:
    words = ["joint", "--combine", "pcgrad", "--preset", "smoke"]
    for name, value in (TASK | PAIRS | places(inputs, tmp_path / "ddp") | {"dropout": 0, "epochs": 1}).items():
        if name == "seeds":
            value = "15"
        if name in ("task", "pair", "model", "data", "output", "tracking"):
            words += [f"--{name}", str(value)]
        else:
            words += ["--set", f"{name}={value}"]
    smoke = {"max_sentences": "none", "max_length": 256, "pairs_max_length": 128, "max_pairs": 100_000}
    launched(*words, *(f"--set={name}={value}" for name, value in smoke.items()), launch="multi_cpu")
    assert json.loads((tmp_path / "ddp" / "environment.json").read_text())["num_processes"] == 2
    assert_same_weights(alone, tmp_path / "ddp")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"pairs_batch_size": 15, "accumulation": 2, "batch_size": 16}, "pairs_batch_size=15 does not divide"),
        ({"layer": "1", "freeze": "lower"}, "raise layer"),
        ({"pairs_batch_size": 1000}, "fewer than one batch of 1000"),
        ({"loss": "S0W1M0", "word_negatives": 10_000}, "word_negatives=10000"),
        ({"pair": "kk-ko"}, "kk-ko"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    options: dict[str, Any], line: str, inputs: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=line):
        train(inputs, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_deepspeed_is_refused(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "under_deepspeed", lambda: True)
    with pytest.raises(UsageError, match="launch with DDP"):
        train(inputs, tmp_path / "run")


def test_an_aligned_encoder_is_refused(inputs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "aligned"
    folder.mkdir()
    lineage = {"encoder": "tiny", "pair": "de-en", "loss": "S1W0M0", "align_seed": 42, "align_step": 6000}
    (folder / "run.json").write_text(json.dumps({"phase": "align", "key": "k", "lineage": lineage}))
    (folder / "result.json").write_text("{}")
    (folder / "encoder").symlink_to(inputs / "encoder")
    with pytest.raises(UsageError, match="aligned on de-en already"):
        joint(JointConfig(**(places(inputs, tmp_path / "run") | {"model": str(folder)}), **TASK, **PAIRS))


def test_the_command_builds_the_same_run_and_a_complete_one_is_not_made_again(
    inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["joint", "--task", "topic", "--pair", "de-en", "--combine", "sum", "--align-weight", "0.3", "--quiet"]
    words += [part for name, value in places(inputs, tmp_path / "run").items() for part in (f"--{name}", value)]
    words += ["--preset", "smoke", "--tracking", "none"]
    assert command(words) == 0 and "conflict: 15" in capsys.readouterr().out
    config = json.loads((tmp_path / "run" / "run.json").read_text())["config"]
    assert (config["combine"], config["align_weight"], config["loss"]) == ("sum", 0.3, "S1W0M0")
    assert command(words) == 0 and "already complete" in capsys.readouterr().out
