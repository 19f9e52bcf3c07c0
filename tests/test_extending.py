"""docs/extending.md, followed to the letter: its files on disk, its commands run, on a few invented sentences."""

from __future__ import annotations

import importlib
import json
import re
import runpy
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tiny import tiny_data, tiny_encoder

from xalign import AlignConfig, UsageError, XalignError, align, extensions
from xalign.__main__ import run
from xalign.config import FinetuneConfig
from xalign.data.labelled import load_labelled, load_tagged
from xalign.runs import Inputs, run_key

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")
FILES = re.findall(r"^`([\w./]+)`:\n\n```\w+\n(.*?)```", PAGE, re.S | re.M)
LINES = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.S) for line in block.splitlines()]


def install(package: Path, version: str) -> None:
    """Leave beside a package what `pip install` leaves of its pyproject.toml: a name, a version, entry points."""
    project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = package / f"{project['name'].replace('-', '_')}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {version}\n")
    groups = (
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in project["entry-points"].items()
    )
    (info / "entry_points.txt").write_text("\n".join(groups))
    importlib.invalidate_caches()
    extensions.entries.cache_clear()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the page's files, its package installed, and small data and encoder beside it."""
    root = tmp_path_factory.mktemp("extending")
    for name, text in FILES:
        (root / name).parent.mkdir(exist_ok=True)
        with (root / name).open("a", encoding="utf-8") as file:
            file.write(text)
    tiny_data(root / "data")
    tiny_encoder(root / "encoder")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(root / "my_xalign"))
        patch.chdir(root)
        install(root / "my_xalign", "1")
        patch.setattr(sys, "argv", ["make_data.py", "data"])
        runpy.run_path("make_data.py")
        yield root
    for name in ("my_xalign", "test_my_xalign"):
        sys.modules.pop(name, None)
    extensions.entries.cache_clear()


@pytest.fixture(scope="module")
def done(place: Path) -> dict[str, Path]:
    """The page's commands, run: output directory by the words that it ends in."""
    found = {}
    for line in LINES:
        words = shlex.split(line.replace('"$DATA"', "data").replace('"$MODEL"', "encoder"))
        if words[0] == "xalign":
            assert run([*words[1:], "--preset", "smoke", "--tracking", "none", "--quiet"]) == 0, line
            found[Path(words[words.index("--output") + 1]).name] = place / words[words.index("--output") + 1]
    return found


def result(directory: Path) -> dict[str, dict[str, float]]:
    return json.loads((directory / "result.json").read_text())


def test_a_loss_of_a_package_trains_beside_the_paper_s(done: dict[str, Path]) -> None:
    lines = [json.loads(line) for line in (done["de-en-D"] / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "loss" in line]
    assert steps and all(0 < line["loss_D"] < 4 and line["loss_M"] > 0 for line in steps)


def test_tasks_of_a_package_are_trained_and_tested_in_other_languages(done: dict[str, Path]) -> None:
    for task, unit in (("ner", "label_on"), ("inference", "pooling")):
        assert set(result(done[f"{task}-transfer"])["accuracy"]) == {"eng", "deu", "kaz"}
        head = json.loads((done[task] / "head" / "head.json").read_text())
        assert head["task"] == task and head[unit] is not None
    assert head["labels"] == ["follows", "other"] and head["label_on"] is None


def test_the_page_s_own_tests_pass(place: Path, tmp_path: Path) -> None:
    module = importlib.import_module("test_my_xalign")
    module.test_equal_directions_cost_nothing_and_opposite_ones_four()
    module.test_words_and_tags_are_read_and_an_unknown_tag_is_refused(tmp_path)
    module.test_both_texts_of_an_item_are_read(tmp_path)


def test_accumulation_leaves_a_loss_of_a_package_as_it_is(place: Path) -> None:
    def last(accumulation: int) -> float:
        config = AlignConfig(
            pair="de-en", loss="S0W0M0D1", model="encoder", data="data", output=f"runs/accumulated-{accumulation}",
            steps=3, keep_steps=(), batch_size=8, max_length=32, held_out=20, learning_rate=1e-3, dropout=0.0,
            accumulation=accumulation, precision="fp32", tracking="none", quiet=True,
        )  # fmt: skip
        lines = (align(config).directory / "metrics.jsonl").read_text().splitlines()
        return next(value for line in reversed(lines) if (value := json.loads(line).get("loss_D")) is not None)

    assert last(1) == pytest.approx(last(4), rel=1e-5)


def test_the_version_of_a_package_belongs_to_the_identity_of_runs_that_use_it(place: Path) -> None:
    def keys() -> tuple[str, str, str]:
        configs = [FinetuneConfig(task=task, output="x") for task in ("ner", "pos")]
        aligned = AlignConfig(pair="de-en", loss="S1W0M0D1", output="x")
        first, second = (run_key("finetune", config, Inputs()) for config in configs)
        return first, run_key("align", aligned, Inputs()), second

    before = keys()
    install(place / "my_xalign", "2")
    after = keys()
    install(place / "my_xalign", "1")
    assert before[0] != after[0] and before[1] != after[1] and before[2] == after[2]


def test_a_task_of_a_package_has_the_defaults_of_its_kind(place: Path) -> None:
    ner, inference = (FinetuneConfig(task=task, output="x") for task in ("ner", "inference"))
    pos, topic = (FinetuneConfig(task=task, output="x") for task in ("pos", "topic"))
    assert (ner.weight_decay, ner.head_learning_rate) == (pos.weight_decay, pos.head_learning_rate)
    assert (inference.weight_decay, inference.head_learning_rate) == (topic.weight_decay, topic.head_learning_rate)


def test_what_is_unknown_or_does_not_fit_is_refused_by_name(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="choose from pos, topic, inference, ner"):
        FinetuneConfig(task="nerr", output="x")
    with pytest.raises(UsageError, match="S1W1M1D1"):
        AlignConfig(pair="de-en", loss="S1W0M0X1", output="x")
    module = importlib.import_module("my_xalign")
    monkeypatch.setattr(module.Ner, "labels", ("O", "O"))
    with pytest.raises(UsageError, match=r"my_xalign:Ner: labels = .*each once"):
        extensions.load_task("ner")
    monkeypatch.delattr(module, "Inference")
    with pytest.raises(UsageError, match=r"my_xalign:Inference of my-xalign 1 cannot be imported"):
        extensions.load_task("inference")


def test_a_loss_with_another_shape_than_one_value_a_pair_is_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module("my_xalign")
    monkeypatch.setattr(module, "distance_losses", lambda source, target: torch.dist(source, target))
    words = "align --pair de-en --loss S1W0M0D1 --preset smoke --data data --model encoder --tracking none --quiet"
    assert run([*words.split(), "--output", "runs/wrong"]) == 1
    assert "one value for each pair" in json.loads((place / "runs" / "wrong" / "failed.json").read_text())["error"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Ada\n", ":1: 1 tab-separated columns where 2"),
        ("Ada\tO\n\n\tO\n", ":3: an empty word"),
        ("# sent_id = a\nAda\tO\n\n# sent_id = a\nAda\tO\n", ":5: the sentence id 'a' occurs twice"),
        ("\n", "no words"),
    ],
)
def test_damaged_words_and_tags_are_named_by_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "test.tsv").write_text(text)
    with pytest.raises(XalignError, match=re.escape(said)):
        load_tagged(tmp_path / "test.tsv", ("O", "B"))


def test_columns_of_conllu_are_read_without_ranges_and_empty_nodes(tmp_path: Path) -> None:
    rows = [("1-2", "im", "_"), ("1", "in", "O"), ("2", "dem", "B"), ("2.1", "x", "_")]
    lines = ["# sent_id = s", *("\t".join([number, word, *"_" * 7, tag]) for number, word, tag in rows), ""]
    (tmp_path / "test.conllu").write_text("\n".join(lines))
    [sentence] = load_tagged(tmp_path / "test.conllu", ("O", "B"), word=1, tag=9)
    assert (sentence.id, sentence.words, sentence.tags) == ("s", ["in", "dem"], ["O", "B"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id\ttext\n", ":1: the header is not"),
        ("id\tlabel\ttext\n1\tyes\n", ":2: 2 tab-separated columns where the header has 3"),
        ("id\tlabel\ttext\n1\tmaybe\tx\n", ":2: unknown label 'maybe'"),
        ("id\tlabel\ttext\tsecond\n1\tyes\tx\t \n", ":2: the second is empty"),
        ("id\tlabel\ttext\n1\tyes\tx\n1\tno\ty\n", ":3: the id 1 occurs twice"),
        ("id\tlabel\ttext\n", "no texts"),
    ],
)
def test_damaged_texts_are_named_by_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "test.tsv").write_text(text)
    with pytest.raises(XalignError, match=re.escape(said)):
        load_labelled(tmp_path / "test.tsv", ("yes", "no"))
