"""Options know their type, their range, whether they count, and what task, mode and pair make of them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from xalign.config import AlignConfig, FinetuneConfig, as_dict, identity
from xalign.config.fields import MARKS, check, coerce, declaration, option, pick
from xalign.config.registry import PHASES
from xalign.errors import UsageError


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        ("7", int, 7),
        ("1e3", int, 1000),
        (7.0, int, 7),
        ("2e-5", float, 2e-5),
        (3, float, 3.0),
        ("false", bool, False),
        (True, bool, True),
        (8, str, "8"),
        ("none", int | None, None),
        (None, float | None, None),
        ("5", int | None, 5),
        ("15,33,42", tuple[int, ...], (15, 33, 42)),
        ([1, "2"], tuple[int, ...], (1, 2)),
        (3000, tuple[int, ...], (3000,)),
        ("", tuple[int, ...], ()),
        ("deu,kaz", tuple[str, ...], ("deu", "kaz")),
    ],
)
def test_values_of_yaml_and_command_line_become_the_declared_type(value: Any, annotation: Any, expected: Any) -> None:
    found = coerce("x", value, annotation)
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        ("7.5", int),
        ("many", int),
        (True, int),
        (True, float),
        ("inf", int),
        (None, int),
        (None, float),
        ("perhaps", bool),
        (2, bool),
        ([1], int),
        ({"a": 1}, str),
        (["a"], str),
        ("1,x", tuple[int, ...]),
        ({"a": 1}, tuple[int, ...]),
    ],
)
def test_a_value_of_the_wrong_type_is_a_usage_error_that_names_the_option(value: Any, annotation: Any) -> None:
    with pytest.raises(UsageError, match=r"^steps="):
        coerce("steps", value, annotation)


def test_the_most_specific_recipe_wins() -> None:
    values = {"pos-full": 1, "pos": 2, "full": 3, "en-kk": 4, "other": 5}
    assert pick(values, task="pos", mode="full") == 1
    assert pick(values, task="pos", mode="linear") == 2
    assert pick(values, task="topic", mode="full") == 3
    assert pick(values, pair="en-kk") == 4
    assert pick(values, pair="de-en") == 5
    assert pick({"pos": 1}, task="topic", mode="linear") is None


@pytest.mark.parametrize(
    ("task", "mode", "expected"),
    [
        ("pos", "full", {"learning_rate": 2e-5, "head_learning_rate": 1e-3, "weight_decay": 0.01, "dropout": 0.1}),
        ("pos", "linear", {"learning_rate": 0.0, "head_learning_rate": 1e-3, "weight_decay": 0.01, "dropout": 0.0}),
        ("topic", "full", {"learning_rate": 2e-5, "head_learning_rate": 2e-5, "weight_decay": 0.0, "dropout": 0.1}),
        ("topic", "linear", {"learning_rate": 0.0, "head_learning_rate": 1e-3, "weight_decay": 0.0, "dropout": 0.0}),
    ],
)
def test_fine_tuning_defaults_follow_task_and_mode(task: str, mode: str, expected: dict[str, float]) -> None:
    config = FinetuneConfig(task=task, mode=mode, output="x")
    assert {name: getattr(config, name) for name in expected} == expected
    assert FinetuneConfig(task=task, mode=mode, output="x", dropout=0.3).dropout == 0.3


def test_the_cap_follows_the_pair() -> None:
    assert AlignConfig(pair="en-kk", output="x").max_pairs == 80_000
    assert AlignConfig(pair="ja-kk", output="x").max_pairs == 100_000
    assert AlignConfig(pair="en-kk", output="x", max_pairs=10).max_pairs == 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": "S0W0M0"}, "loss=S0W0M0 is unknown: choose from S0W0M1, S0W1M0"),
        ({"precision": "fp8"}, "precision=fp8 is unknown"),
        ({"steps": 0}, "steps=0 is out of range: at least 1"),
        ({"learning_rate": -1e-5}, "learning_rate=-1e-05 is out of range: at least 0"),
        ({"learning_rate": float("nan")}, "learning_rate=nan is out of range"),
        ({"warmup": 1.5}, "warmup=1.5 is out of range: at least 0 at most 1"),
        ({"temperature": 0.0}, "temperature=0.0 is out of range"),
        ({"keep_steps": (3000, 0)}, "keep_steps=0 is out of range"),
        ({"pooling": "max"}, "pooling=max is unknown: choose from mean, cls"),
    ],
)
def test_a_value_out_of_range_or_unknown_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        AlignConfig(**({"pair": "de-en", "output": "x"} | change))
    assert str(caught.value).startswith(message)


def test_an_unknown_task_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="task=ner is unknown: choose from pos, topic"):
        FinetuneConfig(task="ner", output="x")


def test_bounds_are_inclusive() -> None:
    @dataclasses.dataclass(frozen=True)
    class Example:
        share: float = option(0.0, low=0, high=1)

    check(Example(0.0))
    check(Example(1.0))
    with pytest.raises(UsageError):
        check(Example(1.0000001))


def test_where_a_run_stands_and_how_it_is_executed_do_not_make_another_run() -> None:
    config = AlignConfig(pair="de-en", output="x")
    same = dict(
        output="y", model="other", data="d", resume=True, overwrite=True, tracking="none", quiet=True, workers=3,
        save_every=7, eval_every=9, eval_pairs=11, timeout_seconds=5, log_checkpoints="none",
    )  # fmt: skip
    assert identity(dataclasses.replace(config, **same)) == identity(config)


@pytest.mark.parametrize(
    "change",
    [{"seed": 43}, {"precision": "fp32"}, {"accumulation": 2}, {"bucket_batches": 2}, {"loss": "S1W0M0"},
     {"pair": "en-kk"}, {"dropout": 0.0}, {"layer": "12"}, {"keep_steps": (1,)}, {"held_out": 10}, {"max_pairs": 10},
     {"clip": 0.5}],
)  # fmt: skip
def test_what_changes_numbers_makes_another_run(change: dict[str, Any]) -> None:
    config = AlignConfig(pair="de-en", output="x")
    assert identity(dataclasses.replace(config, **change)) != identity(config)


def test_all_options_become_plain_json() -> None:
    import json

    values = as_dict(AlignConfig(pair="de-en", output="x"))
    assert json.loads(json.dumps(values)) == values
    assert values["keep_steps"] == [3000]


@pytest.mark.parametrize("phase", PHASES)
def test_every_option_has_a_help_text_and_a_known_mark(phase: str) -> None:
    for field in dataclasses.fields(PHASES[phase]):
        declared = declaration(field)
        assert declared.help, field.name
        assert declared.provenance.mark in MARKS
    with pytest.raises(ValueError, match="unknown provenance mark"):
        option(1, mark="guessed")
