"""Fine-tuning: what it leaves, that seeds do not touch each other, and that stored features change nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny import tiny_data, tiny_encoder

from xalign import FinetuneConfig, finetune
from xalign.errors import UsageError
from xalign.runs import RunResult
from xalign.tasks import training

TASKS = ("pos", "topic")
RATES = {"learning_rate": 1e-3, "head_learning_rate": 2e-2}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    tiny_encoder(folder / "encoder", layers=2, width=8)
    tiny_data(folder / "data")
    return folder


def run(inputs: Path, output: Path, **options: Any) -> RunResult:
    common: dict[str, Any] = {
        "model": str(inputs / "encoder"), "data": str(inputs / "data"), "output": str(output), "mode": "linear",
        "epochs": 3, "seeds": (15,), "tracking": "none", "quiet": True, "probe": False,
    }  # fmt: skip
    return finetune(FinetuneConfig(**(common | RATES | options)))


def heads(run: Path) -> dict[str, dict[str, torch.Tensor]]:
    return {path.stem: load_file(path) for path in sorted((run / "head").glob("*.safetensors"))}


def equal(first: Path, second: Path) -> bool:
    ours, theirs = heads(first), heads(second)
    return ours.keys() == theirs.keys() and all(
        torch.equal(ours[name][part], theirs[name][part]) for name in ours for part in ("weight", "bias")
    )


def metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def aligned_run(inputs: Path, folder: Path, *, steps: tuple[str, ...] = ()) -> Path:
    """A directory that looks like a complete alignment run around the tiny encoder."""
    folder.mkdir(parents=True)
    lineage = {"encoder": "tiny", "pair": "de-en", "loss": "S1W0M1", "align_seed": 42, "align_step": 6000}
    (folder / "run.json").write_text(json.dumps({"phase": "align", "key": "k", "lineage": lineage}))
    (folder / "result.json").write_text("{}")
    for name in ("encoder", *steps):
        tiny_encoder(folder / name, layers=1, width=8)
    return folder


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("accumulation", [1, 2])
def test_heads_trained_together_are_those_that_were_trained_alone(
    inputs: Path, tmp_path: Path, task: str, accumulation: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"task": task, "seeds": (15, 33, 42), "accumulation": accumulation, "clip": 0.05, "batch_size": 10}
    together = run(inputs, tmp_path / "together", **options)
    monkeypatch.setattr("xalign.tasks.all_seeds._may_train_together", lambda setting: False)
    alone = run(inputs, tmp_path / "alone", **options)
    for name, head in heads(alone.directory).items():
        for part in ("weight", "bias"):
            torch.testing.assert_close(heads(together.directory)[name][part], head[part], rtol=1e-5, atol=1e-6)
    assert together.result["dev_accuracy"] == alone.result["dev_accuracy"]
    lines = [
        {(line["seed"], (line["step"] - 1) % alone.result["steps"]): line for line in metrics(found.directory)
         if "loss" in line} for found in (together, alone)
    ]  # fmt: skip
    assert lines[0].keys() == lines[1].keys()
    for where, line in lines[0].items():
        for value in ("loss", "gradient_norm", "learning_rate"):
            assert line[value] == pytest.approx(lines[1][where][value], rel=1e-4), (where, value)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_stored_features_give_the_head_of_the_plain_loop(
    inputs: Path, tmp_path: Path, task: str, dropout: float
) -> None:
    results = [run(inputs, tmp_path / str(on), task=task, features=on, dropout=dropout) for on in (True, False)]
    stored, plain = (heads(result.directory)["seed15"] for result in results)
    for part in ("weight", "bias"):
        torch.testing.assert_close(stored[part], plain[part], rtol=1e-5, atol=1e-5)
    assert results[0].result["dev_accuracy"] == results[1].result["dev_accuracy"]
    assert stored["weight"].abs().max() > 0.05  # it did train


def test_linear_mode_leaves_heads_and_a_reference_but_no_encoder(inputs: Path, tmp_path: Path) -> None:
    found = run(inputs, tmp_path / "run", task="pos", seeds=(15, 33), probe=True)
    left = {path.relative_to(found.directory).as_posix() for path in found.directory.rglob("*") if path.is_file()}
    assert {"head/seed15.safetensors", "head/seed33.safetensors", "head/probe.safetensors"} < left
    assert not any(name.startswith(("encoder-", "checkpoints")) for name in left)
    reference = json.loads((found.directory / "head" / "encoder.json").read_text())
    record = json.loads((found.directory / "run.json").read_text())
    assert reference["digest"] == record["inputs"]["weights"]
    assert Path(reference["path"]) == (inputs / "encoder").resolve()
    description = json.loads((found.directory / "head" / "head.json").read_text())
    assert (description["task"], description["label_on"], len(description["labels"])) == ("pos", "first", 17)
    assert found.result["probe"]["dev_accuracy"] > 0.4 and found.result["sentences"] == 48


@pytest.mark.parametrize("task", TASKS)
def test_full_mode_leaves_an_encoder_for_each_seed(inputs: Path, tmp_path: Path, task: str) -> None:
    from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

    found = run(inputs, tmp_path / "run", task=task, mode="full", seeds=(15, 33), epochs=2)
    base = AutoModelForMaskedLM.from_pretrained(inputs / "encoder").state_dict()
    trained = {}
    for seed in (15, 33):
        folder = found.directory / f"encoder-seed{seed}"
        AutoModel.from_pretrained(folder)
        assert f"**seed**: {seed}\n" in (folder / "README.md").read_text(encoding="utf-8")
        assert AutoTokenizer.from_pretrained(folder).get_vocab()
        trained[seed] = AutoModelForMaskedLM.from_pretrained(folder).state_dict()
    inside = "roberta.encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(trained[15][inside], base[inside])
    assert not torch.equal(trained[15][inside], trained[33][inside])
    assert torch.equal(trained[15]["lm_head.dense.weight"], base["lm_head.dense.weight"])


@pytest.mark.parametrize("mode", ["linear", "full"])
def test_a_seed_does_not_depend_on_the_seeds_before_it(inputs: Path, tmp_path: Path, mode: str) -> None:
    both = run(inputs, tmp_path / "both", task="topic", mode=mode, seeds=(15, 33), epochs=1)
    alone = run(inputs, tmp_path / "alone", task="topic", mode=mode, seeds=(33,), epochs=1)
    first, second = heads(both.directory)["seed33"], heads(alone.directory)["seed33"]
    assert torch.equal(first["weight"], second["weight"])
    assert not torch.equal(first["weight"], heads(both.directory)["seed15"]["weight"])


def test_steps_count_on_over_seeds_and_each_epoch_is_validated(inputs: Path, tmp_path: Path) -> None:
    found = run(inputs, tmp_path / "run", task="topic", seeds=(15, 33), epochs=3, batch_size=20, features=False)
    lines = metrics(found.directory)
    assert found.result["steps"] == 9  # 56 sentences: two batches of 20 and one of 16
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, 19))
    validated = [(line["step"], line["seed"]) for line in lines if "validation" in line]
    assert validated == [(3, 15), (6, 15), (9, 15), (12, 33), (15, 33), (18, 33)]
    assert {line["seed"] for line in lines if line["step"] <= 9} == {15}
    last = [line["validation"] for line in lines if "validation" in line][-1]
    assert found.result["dev_accuracy"]["33"] == last["dev_accuracy"]
    assert found.result["dev_macro_f1"]["33"] == last["dev_macro_f1"]


class Interruption(Exception):
    """What ends a run in the middle."""


def interrupt(monkeypatch: pytest.MonkeyPatch, after_validations: int) -> None:
    original, left = training.macro_f1, [after_validations]

    def counted(*arguments: Any) -> float:
        left[0] -= 1
        if left[0] < 0:
            raise Interruption
        return original(*arguments)

    monkeypatch.setattr(training, "macro_f1", counted)


RESUMED: dict[str, Any] = {
    "task": "topic", "mode": "full", "seeds": (15, 33), "epochs": 2, "save_every": 4, "batch_size": 20,
}  # fmt: skip


@pytest.fixture(scope="module")
def uninterrupted(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return run(inputs, tmp_path_factory.mktemp("uninterrupted") / "run", **RESUMED)


@pytest.mark.parametrize("validations", [1, 2, 3])
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uninterrupted: RunResult, validations: int
) -> None:
    with monkeypatch.context() as patch:
        interrupt(patch, validations)
        with pytest.raises(Interruption):
            run(inputs, tmp_path / "run", **RESUMED)
    first_head = tmp_path / "run" / "head" / "seed15.safetensors"
    before = first_head.stat().st_mtime_ns if validations > 1 else None
    resumed = run(inputs, tmp_path / "run", resume=True, **RESUMED)
    assert equal(uninterrupted.directory, resumed.directory)
    for seed in (15, 33):
        encoders = [
            load_file(one.directory / f"encoder-seed{seed}" / "model.safetensors") for one in (uninterrupted, resumed)
        ]
        assert all(torch.equal(encoders[0][name], encoders[1][name]) for name in encoders[0])
    assert resumed.result["dev_accuracy"] == uninterrupted.result["dev_accuracy"]
    steps = [[line["step"] for line in metrics(one.directory)] for one in (uninterrupted, resumed)]
    assert steps[0] == steps[1]
    assert resumed.result["resumed_from"] == {1: [4], 2: [6], 3: [10]}[validations]
    if before is not None:
        assert first_head.stat().st_mtime_ns == before


def test_a_resumed_run_keeps_the_best_epoch_of_before(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"task": "topic", "epochs": 4, "save_every": 4, "batch_size": 20, "select": "best-dev"}
    made_up = [0.9, 0.1, 0.2, 0.3]  # the best epoch lies before the interruption

    def score(accuracies: list[float]) -> None:
        rest = iter(accuracies)
        monkeypatch.setattr(training, "accuracy", lambda *_: next(rest))

    score(made_up)
    whole = run(inputs, tmp_path / "whole", **options)
    score(made_up)
    with monkeypatch.context() as patch:
        interrupt(patch, 2)
        with pytest.raises(Interruption):
            run(inputs, tmp_path / "parts", **options)
    score(made_up[2:])
    resumed = run(inputs, tmp_path / "parts", resume=True, **options)
    assert resumed.result["resumed_from"] == [8]
    assert resumed.result["dev_accuracy"] == whole.result["dev_accuracy"] == {"15": 0.9}
    assert equal(resumed.directory, whole.directory)


def test_best_dev_keeps_the_epoch_with_the_highest_dev_accuracy(inputs: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"task": "topic", "epochs": 10, "seeds": (15, 33), "head_learning_rate": 0.1}
    best = run(inputs, tmp_path / "best", select="best-dev", **options)
    last = run(inputs, tmp_path / "last", select="last", **options)
    differs = False
    for seed in (15, 33):
        accuracies = [
            line["validation"]["dev_accuracy"]
            for line in metrics(best.directory)
            if "validation" in line and line["seed"] == seed
        ]
        assert best.result["dev_accuracy"][str(seed)] == max(accuracies)
        differs |= max(accuracies) > last.result["dev_accuracy"][str(seed)]
    assert differs and not equal(best.directory, last.directory)


def test_the_two_rates_go_to_encoder_and_head(inputs: Path, tmp_path: Path) -> None:
    still = run(inputs, tmp_path / "still", task="topic", mode="full", learning_rate=0.0, weight_decay=0.0, epochs=1)
    base = load_file(inputs / "encoder" / "model.safetensors")
    kept = load_file(still.directory / "encoder-seed15" / "model.safetensors")
    assert all(torch.equal(base[name], kept[name]) for name in base)
    fixed = run(inputs, tmp_path / "fixed", task="topic", mode="full", head_learning_rate=0.0, epochs=1)
    moved = load_file(fixed.directory / "encoder-seed15" / "model.safetensors")
    assert any(not torch.equal(base[name], moved[name]) for name in base)
    assert not heads(fixed.directory)["seed15"]["bias"].any()


def test_a_complete_run_is_not_run_again(inputs: Path, tmp_path: Path) -> None:
    first = run(inputs, tmp_path / "run", task="topic", epochs=1)
    again = run(inputs, tmp_path / "run", task="topic", epochs=1)
    assert again.reused and again.result == first.result
    with pytest.raises(UsageError, match="epochs is 1 there, 2 here"):
        run(inputs, tmp_path / "run", task="topic", epochs=2)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("aligned", "finetune/topic/linear/de-en/S1W0M1"),
        ("aligned/encoder-step3000", "finetune/topic/linear/de-en/S1W0M1-step3000"),
    ],
)
def test_a_run_is_named_after_the_encoder_it_came_from(inputs: Path, tmp_path: Path, model: str, name: str) -> None:
    aligned_run(inputs, tmp_path / "aligned", steps=("encoder-step3000",))
    found = run(inputs, tmp_path / "run", task="topic", epochs=1, model=str(tmp_path / model))
    record = json.loads((found.directory / "run.json").read_text())
    assert record["name"] == name
    assert record["lineage"] | {"task": "topic", "mode": "linear", "pair": "de-en"} == record["lineage"]
    assert record["upstream"] == [{"path": str(tmp_path / "aligned"), "key": "k"}]


def test_an_encoder_that_was_not_aligned_is_the_base(inputs: Path, tmp_path: Path) -> None:
    found = run(inputs, tmp_path / "run", task="pos", epochs=1)
    record = json.loads((found.directory / "run.json").read_text())
    assert record["name"] == "finetune/pos/linear/base"
    assert record["lineage"]["pair"] is None and record["lineage"]["encoder"] == "encoder"


def test_rates_follow_task_and_mode() -> None:
    rates = {
        (task, mode): (config.learning_rate, config.head_learning_rate, config.weight_decay, config.dropout)
        for task in TASKS
        for mode in ("full", "linear")
        for config in [FinetuneConfig(task=task, mode=mode, output="unused")]
    }
    assert rates == {
        ("pos", "full"): (2e-5, 1e-3, 0.01, 0.1),
        ("pos", "linear"): (0.0, 1e-3, 0.01, 0.0),
        ("topic", "full"): (2e-5, 2e-5, 0.0, 0.1),
        ("topic", "linear"): (0.0, 1e-3, 0.0, 0.0),
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "pos", "language": "kaz"}, "UD train for Kazakh"),
        ({"task": "topic", "language": "fra"}, "SIB-200 train for French"),
        ({"task": "topic", "treebank": "English-EWT"}, "concerns the task pos"),
        ({"task": "pos", "treebank": "English-Nowhere"}, "no such file"),
        ({"task": "pos", "batch_size": 15, "accumulation": 2}, "does not divide"),
        ({"task": "pos", "seeds": (15, 15)}, "each seed once"),
        ({"task": "pos", "model": "/nowhere/at/all"}, "no such directory"),
    ],
)
def test_a_bad_request_is_refused_before_anything_is_written(
    inputs: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        run(inputs, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_best_dev_is_refused_under_deepspeed(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(UsageError, match="use select=last"):
        run(inputs, tmp_path / "run", task="pos", select="best-dev")
