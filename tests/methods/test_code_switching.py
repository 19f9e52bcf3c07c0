"""Code-switching: which words are exchanged, what stays, and the phase from dictionaries to lineage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny import TAGS, WORDS_PER_TAG, tiny_data, tiny_encoder, word

from xalign import FinetuneConfig, finetune
from xalign.__main__ import run as command
from xalign.data.topics import TopicSentence
from xalign.data.treebank import TaggedSentence
from xalign.errors import UsageError
from xalign.methods.code_switching import CodeSwitcher
from xalign.runs import RunResult

GERMAN = {"the": ["der", "die"], "dog": ["hund"], "us": ["uns"], "new york": ["x"], "well": ["na ja"]}
SENTENCE = TaggedSentence(
    "s1", ["The", "dog", "saw", "US", "well", "."], ["DET", "NOUN", "VERB", "PROPN", "ADV", "PUNCT"]
)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data with a German dictionary and a Kazakh one that is turned the other way."""
    root = tmp_path_factory.mktemp("inputs")
    data = tiny_data(root / "data")
    concepts = [(tag, index) for tag in TAGS for index in range(WORDS_PER_TAG)]
    (data / "muse").mkdir()
    for name, first, second in (("en-de", "eng", "deu"), ("kk-en", "kaz", "eng")):
        lines = [f"{word(first, *concept)} {word(second, *concept)}" for concept in concepts[:60]]
        (data / "muse" / f"{name}.txt").write_text("\n".join(lines) + "\n")
    tiny_encoder(root / "encoder", width=8)
    return root


def tune(inputs: Path, output: Path, **options: Any) -> RunResult:
    common: dict[str, Any] = {
        "task": "pos", "mode": "linear", "model": str(inputs / "encoder"), "data": str(inputs / "data"),
        "output": str(output), "seeds": (15,), "epochs": 2, "tracking": "none", "quiet": True,
    }  # fmt: skip
    return finetune(FinetuneConfig(**(common | options)))


def test_every_word_with_a_translation_is_exchanged_at_share_one_and_tags_stay() -> None:
    found = CodeSwitcher([GERMAN], 1.0, 42)(SENTENCE)
    assert isinstance(found, TaggedSentence)
    assert found.words[0] in ("Der", "Die") and found.words[1:] == ["hund", "saw", "US", "well", "."]
    assert found.tags == SENTENCE.tags and found.id == SENTENCE.id


def test_running_text_keeps_what_stands_between_its_words() -> None:
    found = CodeSwitcher([GERMAN], 1.0, 42)(TopicSentence("1", "sports", "“The dog's  dog”, 3 (dog)."))
    assert isinstance(found, TopicSentence)
    assert found.text.replace("Der", "Die") == "“Die dog's  hund”, 3 (hund)." and found.topic == "sports"


def many(share: float, seed: int = 42) -> list[list[str]]:
    switcher = CodeSwitcher([GERMAN, {"dog": ["ит"]}], share, seed)
    return [switcher(TaggedSentence(str(n), ["dog", "cat"] * 5, ["NOUN"] * 10)).words for n in range(300)]  # type: ignore[union-attr]


def test_the_share_and_the_languages_are_met_and_cats_stay() -> None:
    words = [one for sentence in many(0.4) for one in sentence]
    exchanged = {one: words.count(one) / 1500 for one in ("hund", "ит")}
    assert sum(exchanged.values()) == pytest.approx(0.4, abs=0.05) and words.count("cat") == 1500
    assert exchanged["hund"] == pytest.approx(exchanged["ит"], abs=0.04)


def test_draws_depend_on_seed_sentence_and_place_alone_and_grow_with_the_share() -> None:
    few, more, other = many(0.2), many(0.6), many(0.2, seed=7)
    assert few == many(0.2) and few != other and few[0] != few[1]
    alone = CodeSwitcher([GERMAN, {"dog": ["ит"]}], 0.2, 42)(TaggedSentence("250", ["dog", "cat"] * 5, ["NOUN"] * 10))
    assert alone.words == few[250]  # type: ignore[union-attr]
    kept = [(a, b) for x, y in zip(few, more, strict=True) for a, b in zip(x, y, strict=True) if a in ("hund", "ит")]
    assert kept and all(a == b for a, b in kept)


@pytest.mark.parametrize(("task", "mode"), [("pos", "linear"), ("topic", "full")])
def test_a_run_reports_its_entries_and_stands_apart(inputs: Path, tmp_path: Path, task: str, mode: str) -> None:
    run = tune(inputs, tmp_path / "a", task=task, mode=mode, codeswitch=0.5, codeswitch_languages=("deu", "kaz"))
    result, record = run.result, json.loads((tmp_path / "a" / "run.json").read_text())
    assert result["dictionary_words"] == 120 and result["translations"] == result["parameters"] == 0
    assert 0.3 < result["exchanged_words"] / result["known_words"] < 0.7 and result["known_words"] < result["words"]
    assert record["lineage"]["method"] == "codeswitch-0.5-deu-kaz"
    assert record["name"] == f"finetune/{task}/{mode}/base+codeswitch-0.5-deu-kaz"
    assert {"muse/en-de.txt", "muse/kk-en.txt"} < set(record["inputs"]["data"])
    plain = tune(inputs, tmp_path / "b", task=task, mode=mode)
    assert "dictionary_words" not in plain.result
    heads = [(tmp_path / name / "head" / "seed15.safetensors").read_bytes() for name in "ab"]
    assert heads[0] != heads[1]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"codeswitch": 0.5, "codeswitch_languages": ("deu", "fra")}, "from eng to fra; there are some to: deu kaz"),
        ({"codeswitch": 0.5}, "go together"),
        ({"codeswitch_languages": ("deu",)}, "go together"),
        ({"codeswitch": 1.5, "codeswitch_languages": ("deu",)}, "out of range"),
        ({"codeswitch": 0.5, "codeswitch_languages": ("deu", "de")}, "twice"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    options: dict[str, Any], line: str, inputs: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=line):
        tune(inputs, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_the_command_builds_the_same_run(inputs: Path, tmp_path: Path) -> None:
    words = ["finetune", "--task", "topic", "--mode", "linear", "--codeswitch", "0.5", "--codeswitch-languages", "deu"]
    words += ["--model", str(inputs / "encoder"), "--data", str(inputs / "data"), "--output", str(tmp_path / "run")]
    assert command([*words, "--epochs", "1", "--tracking", "none", "--quiet"]) == 0
    config = json.loads((tmp_path / "run" / "run.json").read_text())["config"]
    assert config["codeswitch"] == 0.5 and config["codeswitch_languages"] == ["deu"]
