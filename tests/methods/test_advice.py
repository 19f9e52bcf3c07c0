"""Advice: planted agreement and conflict are found, confidence falls with noise, and the phase from files to JSON."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import tiny_data, tiny_encoder

from xalign.__main__ import run as command
from xalign.analysis.data_blocks import BlockOrder
from xalign.config import LOSSES, AdviseConfig
from xalign.errors import UsageError
from xalign.methods.advice import (
    ALLOWED,
    CHOICE,
    NEVER,
    NOTHING,
    RULE,
    WITHOUT_S,
    Advice,
    BlockProducts,
    advise_on,
    rule_on,
    shares_first,
)
from xalign.methods.advice_words import in_words
from xalign.objective import active_losses
from xalign.phases.advise import COLUMNS, advise
from xalign.runs import RunResult

WIDTH, BLOCKS = 60, 8


def planted(directions: dict[str, np.ndarray], noise: float, seed: int = 0) -> tuple[BlockProducts, dict[str, Any]]:
    """Products of noisy blocks whose means are a task's gradient (the first axis) and S, W, M as given."""
    draw = np.random.default_rng(seed)
    task = np.eye(WIDTH)[0] + noise * draw.normal(size=(BLOCKS, WIDTH))
    parts = {name: mean + noise * draw.normal(size=(BLOCKS, WIDTH)) for name, mean in directions.items()}
    blocks = {loss: sum(parts[name] for name in active_losses(loss)) for loss in LOSSES}
    products = BlockProducts(
        task @ task.T,
        {loss: task @ part.T for loss, part in blocks.items()},
        {loss: part @ part.T for loss, part in blocks.items()},
    )
    return products, {"task": task, **blocks}


AXES = np.eye(WIDTH)
FRIEND_AND_FOE = {"S": AXES[0] + 0.5 * AXES[1], "W": -AXES[0], "M": AXES[2]}


def advice(noise: float, seed: int = 0, task: str = "topic", directions: Any = None) -> Advice:
    return advise_on(task, planted(directions or FRIEND_AND_FOE, noise, seed)[0], draws=400, seed=1)


def places(found: Advice) -> dict[str, Any]:
    return {place.configuration: place for place in found.ranking}


def test_a_loss_whose_gradient_is_the_task_s_negative_is_found_to_conflict() -> None:
    found = advice(noise=0.02)
    ranked = places(found)
    assert found.ranking[-1].configuration == "S0W1M0" and ranked["S0W1M0"].score == pytest.approx(-1, abs=0.02)
    assert ranked["S0W1M0"].high < -0.9 and ranked["S0W1M0"].share_first == 0
    assert found.first.configuration == "S1W0M0" and found.sure and found.first.share_first == 1
    assert found.configuration == "S1W0M0"  # sure evidence goes before the rule


def test_scores_are_the_cosines_of_the_true_gradients() -> None:
    ranked = places(advice(noise=0.02))
    for loss in LOSSES:
        mean = sum(FRIEND_AND_FOE[name] for name in active_losses(loss))
        expected = mean[0] / np.linalg.norm(mean)
        assert ranked[loss].score == pytest.approx(expected, abs=0.05), loss


def test_where_every_alignment_conflicts_the_advice_is_to_do_nothing() -> None:
    found = advice(0.02, directions={name: -AXES[0] + AXES[place] for place, name in enumerate("SWM", start=1)})
    assert found.configuration == NOTHING and found.sure
    words = in_words(found, "de-en")
    assert "not to align" in words[0] and any("works against the task" in line for line in words)


def test_confidence_falls_with_noise_and_ends_in_not_sure_and_the_rule() -> None:
    shares = [np.mean([advice(noise, seed).first.share_first for seed in range(8)]) for noise in (0.02, 0.3, 1.5)]
    assert shares[0] > shares[1] > shares[2]
    noisy = [advice(0.6, seed, task) for seed, task in itertools.product(range(6), RULE)]
    unsure = [found for found in noisy if not found.sure]
    assert unsure and all(found.configuration in (RULE[found.task], found.first.configuration) for found in unsure)
    assert any(found.configuration == RULE[found.task] != found.first.configuration for found in unsure)


def test_a_task_without_a_gradient_gets_the_rule_and_says_so() -> None:
    products, _ = planted(FRIEND_AND_FOE, 0.1)
    balanced = products.task - products.task.mean(axis=0) - products.task.mean(axis=1)[:, None] + products.task.mean()
    found = advise_on("pos", BlockProducts(balanced, products.cross, products.own), draws=50, seed=1)
    assert not found.detectable and not found.sure and found.configuration == RULE["pos"]
    assert any("cannot be told from noise" in line for line in in_words(found, "de-en"))


def test_half_samples_equal_a_loop_over_gradients() -> None:
    products, blocks = planted(FRIEND_AND_FOE, 0.5)
    found = shares_first(products, draws=60, seed=3)
    from xalign.randomness import generator

    random, wins = generator(3, "half-samples"), dict.fromkeys([NOTHING, *LOSSES], 0)
    chosen = [np.argsort(random.random((60, BLOCKS)), axis=1) < BLOCKS // 2 for _ in range(2)]
    for task, pairs in zip(*chosen, strict=True):
        scores = {NOTHING: 0.0}
        for loss in LOSSES:
            half = blocks[loss][pairs]
            square = np.mean([a @ b for a, b in itertools.permutations(half, 2)])
            inner = blocks["task"][task].mean(axis=0) @ half.mean(axis=0)
            scores[loss] = inner / np.sqrt(square) if square > 0 else 0.0
        wins[max(scores, key=lambda name: scores[name])] += 1
    assert found == pytest.approx({name: count / 60 for name, count in wins.items()})


def test_half_samples_vary_as_the_whole_varies_over_new_data() -> None:
    """How often the first of two equals comes first is then a coin's: neither over- nor underconfident on average."""
    equals = {"S": AXES[0], "W": AXES[0], "M": -AXES[0]}
    first = [shares_first(planted(equals, 0.3, seed)[0], draws=200, seed=1)["S1W0M0"] for seed in range(30)]
    assert 0.1 < np.mean(first) < 0.7 and np.std(first) > 0.05


@pytest.mark.parametrize(
    ("task", "configuration", "opinion"),
    [
        ("topic", "S1W0M1", CHOICE), ("topic", "S1W1M1", ALLOWED), ("topic", "S0W1M0", NEVER),
        ("topic", "S0W0M1", WITHOUT_S), ("pos", "S1W1M1", CHOICE), ("pos", "S1W0M1", ALLOWED), ("pos", "S0W1M0", NEVER),
        ("pos", "S0W1M1", WITHOUT_S), ("pos", NOTHING, WITHOUT_S),
    ],
)  # fmt: skip
def test_the_rule_includes_s_and_the_task_s_level_with_m_and_never_w_alone(
    task: str, configuration: str, opinion: str
) -> None:
    assert rule_on(task, configuration) == opinion


def test_strata_are_dealt_to_blocks_in_equal_shares() -> None:
    labels = np.random.default_rng(0).integers(0, 5, 203)
    order = BlockOrder(np.ones(203), blocks=8, per_block=25, batch_size=10, seed=4, strata=labels)
    blocks = [np.concatenate([order._parts[step] for step in order.steps(block)]) for block in range(8)]
    counts = np.array([np.bincount(labels[block], minlength=5) for block in blocks])
    assert len(set(np.concatenate(blocks))) == 200 and (np.ptp(counts, axis=0) <= 1).all()


# The phase


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("inputs")
    tiny_data(root / "data")
    tiny_encoder(root / "encoder", width=8)
    return root


def options(inputs: Path, output: Path, **given: Any) -> AdviseConfig:
    common: dict[str, Any] = {
        "task": "topic", "pair": "de-en", "held_out": 60, "word_negatives": 20, "seeds": (15, 33), "epochs": 2,
        "blocks": 4, "batches": 2, "task_batches": 2, "pairs_per_batch": 5, "sentences_per_batch": 3, "draws": 50,
        "head_learning_rate": 3e-2, "tracking": "none",
        "quiet": True, "model": str(inputs / "encoder"), "data": str(inputs / "data"), "output": str(output),
    }  # fmt: skip
    return AdviseConfig(**(common | given))


@pytest.fixture(scope="module")
def found(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return advise(options(inputs, tmp_path_factory.mktemp("advice") / "run", targets=True))


def test_json_and_csv_hold_the_same_ranking_of_all_configurations(found: RunResult) -> None:
    told = json.loads((found.directory / "advice.json").read_text())
    with (found.directory / "advice.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == list(COLUMNS) == list(told["ranking"][0])
    assert [row["configuration"] for row in rows] == [row["configuration"] for row in told["ranking"]]
    assert {row["configuration"] for row in rows} == {*LOSSES, NOTHING}
    assert set(told) == {
        "task", "pair", "model", "advice", "sure", "first", "share_first", "detectable", "rule", "words", "ranking",
    }  # fmt: skip
    assert told["rule"]["configuration"] == "S1W0M1" and told["rule"]["agrees"] == (told["advice"] == "S1W0M1")
    assert sum(row["share_first"] for row in told["ranking"]) == pytest.approx(1)
    assert found.result["advice"] == told["advice"] in {*LOSSES, NOTHING} and found.result["parameters"] == 0
    assert found.result["examples_per_block"].keys() == {"topic (eng)", "topic (deu)", "S1W1M1"}


def test_heads_and_gradients_read_different_sentences(found: RunResult) -> None:
    heads = json.loads((found.directory / "heads" / "run.json").read_text())
    assert heads["config"]["max_sentences"] == 28  # half of 56
    assert found.result["examples_per_block"]["topic (eng)"] * 4 <= 28


def test_a_complete_run_is_not_made_again_and_a_treebank_works_too(
    found: RunResult, inputs: Path, tmp_path: Path
) -> None:
    assert advise(options(inputs, found.directory, targets=True)).reused
    pos = advise(options(inputs, tmp_path / "run", task="pos", pair="en-kk"))
    assert pos.result["rule"] == "S1W1M1" and json.loads((pos.directory / "run.json").read_text())["name"] == (
        "advise/pos/en-kk/base"
    )


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"pair": "ja-kk"}, "ja-kk"),
        ({"pair": "xx-en"}, "xx"),
        ({"task": "pos", "targets": True}, "no pos dev data in the languages of de-en"),
        ({"blocks": 20, "held_out": 60}, "lower blocks"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    given: dict[str, Any], line: str, inputs: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=line):
        advise(options(inputs, tmp_path / "run", **given))
    assert not (tmp_path / "run").exists()


def test_an_unknown_task_and_an_aligned_encoder_are_refused(inputs: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="task=ner is unknown: choose from pos, topic"):
        options(inputs, tmp_path / "run", task="ner")
    aligned = tiny_encoder(tmp_path / "aligned" / "encoder").parent
    lineage = {"encoder": "tiny", "pair": "de-en", "loss": "S1W0M0"}
    (aligned / "run.json").write_text(json.dumps({"phase": "align", "key": "k", "lineage": lineage}))
    (aligned / "result.json").write_text("{}")
    with pytest.raises(UsageError, match="aligned already"):
        advise(options(inputs, tmp_path / "run", model=str(aligned)))


def test_the_command_prints_json_and_nothing_else(
    inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["advise", "--task", "topic", "--pair", "de-en", "--preset", "smoke", "--tracking", "none", "--json"]
    words += ["--model", str(inputs / "encoder"), "--data", str(inputs / "data"), "--set", "pairs_per_batch=4"]
    assert command(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["validation"]["validated"] is False and (tmp_path / "runs/advise/topic/de-en/base/advice.csv").is_file()
    (tmp_path / "empty").mkdir()
    assert command([*words[:-1][:10], *words[10:], "--runs", str(tmp_path / "empty")]) == 0
    assert "could not be checked" in json.loads(capsys.readouterr().out)["validation"]["verdict"]
    assert command([word for word in words if word != "--json"]) == 0
    assert "The paper's own rule" in (shown := capsys.readouterr().out) and "Nobody has checked" in shown
    assert command(["advise", "--validate"]) == 2 and "--runs" in capsys.readouterr().err
