"""The pages about commands are what the commands say, and what their examples say to type works."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"


def module(name: str) -> ModuleType:
    """A script of docs/, which is no package."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


generate = module("generate")
measure = module("measure")
EXAMPLES: dict[str, dict[str, Any]] = generate.read_examples()


def test_the_pages_are_what_the_command_line_says_now() -> None:
    made = generate.pages()
    kept = {path.name: path.read_text(encoding="utf-8") for path in (DOCS / "commands").glob("*.md")}
    stale = sorted(name for name in made.keys() | kept.keys() if made.get(name) != kept.get(name))
    assert not stale, f"stale: {', '.join(stale)}; run 'make docs'"


def test_a_command_without_an_example_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    fewer = {name: example for name, example in EXAMPLES.items() if name != "grid run"}
    monkeypatch.setattr(generate, "read_examples", lambda: fewer)
    with pytest.raises(ValueError, match=r"no worked example for: grid run; .*measure\.py"):
        generate.pages()


def test_a_file_of_a_run_that_nothing_explains_is_named() -> None:
    with pytest.raises(ValueError, match=r"explains new\.csv"):
        generate.meaning("new.csv", {"old.csv": "old"})
    assert generate.meaning("encoder-step75/", {"encoder-step*/": "on the way"}) == "on the way"


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_command_line_of_an_example_is_understood(name: str) -> None:
    words = shlex.split(EXAMPLES[name]["run"])
    assert words[: 1 + len(name.split())] == ["xalign", *name.split()]
    generate.commands()[name].make_context(name, words[1 + len(name.split()) :])


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_output_of_an_example_was_measured_and_holds_nothing_of_a_machine(name: str) -> None:
    output = EXAMPLES[name]["output"]
    assert output.strip(), "run docs/measure.py"
    assert not re.search(r"/(home|tmp|work|root|usr|Users)/|\d (s|min|hours)\b|\d (tokens|pairs|sentences)/s", output)


@pytest.mark.parametrize("page", [*DOCS.glob("*.md"), *DOCS.glob("commands/*.md")], ids=lambda page: page.name)
def test_the_files_that_a_page_links_to_exist(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    links = re.findall(r"\]\((?!https?:)([^)#]*)(#[^)]+)?\)", text)
    assert all((page.parent / file).exists() for file, _ in links if file), links


def test_the_index_names_every_page() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    pages = [path.relative_to(DOCS).as_posix() for path in (*DOCS.glob("commands/*.md"), *DOCS.glob("*.md"))]
    assert not [page for page in pages if page != "README.md" and f"]({page})" not in index]


@pytest.mark.timeout(3600)
@pytest.mark.full("takes minutes")
def test_the_examples_run_in_their_order_and_leave_what_the_pages_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", {**os.environ, "COLUMNS": measure.WIDTH, "HF_HUB_OFFLINE": "1"})
    for name, example in EXAMPLES.items():
        if example.get("unmeasured"):
            continue
        measure.prepare(example, tmp_path)
        assert measure.run_example(example["run"], tmp_path).strip(), name
        if "files" in example:
            assert measure.files_of(tmp_path / measure.output_of(example["run"])) == example["files"], name
    shutil.rmtree(tmp_path)
