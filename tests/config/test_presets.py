"""Defaults < preset < command line; every preset can be built; paper.yaml says what the defaults say."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from xalign.config import AlignConfig, FinetuneConfig, TransferConfig, build, parse_assignments, preset_names, show
from xalign.config.fields import MARKS, Declaration, declaration
from xalign.config.presets import read_preset
from xalign.config.registry import PHASES
from xalign.config.yaml_files import parse_yaml
from xalign.errors import UsageError

PAPER_PHASES = (
    "align", "finetune", "transfer", "retrieve", "distances", "gradients", "calibrate", "langalign", "realign",
    "joint", "advise", "grid",
)  # fmt: skip
LINE = re.compile(r"^  (?P<key>\w+):.*?\s# \[(?P<mark>\w+)\]\s*(?P<source>.*)$")
REQUIRED = {
    "align": {"pair": "de-en"},
    **{phase: {"task": "topic", "pair": "de-en"} for phase in ("langalign", "realign", "joint", "advise")},
    **{phase: {"task": "pos"} for phase in ("finetune", "gradients", "calibrate")},
}


@pytest.fixture
def preset(tmp_path: Path) -> Any:
    """Writes a preset file and returns its path."""

    def write(text: str) -> str:
        (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
        return str(tmp_path / "mine.yaml")

    return write


def paper_text() -> str:
    return (resources.files("xalign") / "presets" / "paper.yaml").read_text(encoding="utf-8")


def paper_comments() -> dict[str, dict[str, tuple[str, str]]]:
    """phase → option → (mark, source), as the comments of paper.yaml say."""
    found: dict[str, dict[str, tuple[str, str]]] = {}
    phase = ""
    for line in paper_text().splitlines():
        if re.match(r"^\w+:", line):
            phase = line.partition(":")[0]
        elif line.startswith("  "):
            match = LINE.match(line)
            assert match, f"a value without a mark: {line!r}"
            found.setdefault(phase, {})[match["key"]] = (match["mark"], match["source"].strip())
    return found


def identity_defaults(phase: str) -> Iterator[tuple[str, Any, Declaration]]:
    """(name, default, declaration) of each option that changes numbers and has a default."""
    for field in dataclasses.fields(PHASES[phase]):
        declared = declaration(field)
        if declared.kind == "identity" and field.default is not dataclasses.MISSING:
            yield field.name, declared.by if declared.by is not None else field.default, declared


def plain(value: Any) -> Any:
    """A default as YAML writes it."""
    if hasattr(value, "items"):
        return {key: plain(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize("phase", PAPER_PHASES)
def test_paper_yaml_equals_the_defaults_value_by_value(phase: str) -> None:
    written = yaml.safe_load(paper_text())[phase]
    expected = {name: plain(v) for name, v, _ in identity_defaults(phase)}
    assert written == expected
    for name, value in written.items():
        assert type(value) is type(expected[name]) or hasattr(value, "items"), f"{name}: {value!r}"


@pytest.mark.parametrize("phase", PAPER_PHASES)
def test_paper_yaml_equals_the_defaults_mark_by_mark(phase: str) -> None:
    expected = {name: (d.provenance.mark, d.provenance.source) for name, _, d in identity_defaults(phase)}
    assert paper_comments()[phase] == expected


def test_paper_yaml_explains_every_mark_that_it_uses() -> None:
    header = paper_text().partition("\n\nalign:")[0]
    used = {mark for phase in paper_comments().values() for mark, _ in phase.values()}
    assert used == set(re.findall(r"# \[(\w+)\]", header)) and used <= set(MARKS)


def test_config_show_prints_the_marks_of_paper_yaml() -> None:
    shown = {(phase, name): (p.mark, p.source) for phase, name, _, p in show("paper")}
    for phase, options in paper_comments().items():
        for name, provenance in options.items():
            assert shown[phase, name] == provenance, f"{phase}.{name}"


def test_the_paper_s_stated_values_stand() -> None:
    align, finetune = (
        build(AlignConfig, "paper", {"pair": "de-en", "output": "x"}),
        build(FinetuneConfig, "paper", {"task": "pos", "output": "x"}),
    )
    assert (align.steps, align.keep_steps, align.max_pairs) == (6000, (3000,), 100_000)
    assert build(AlignConfig, "paper", {"pair": "en-kk", "output": "x"}).max_pairs == 80_000
    assert (align.learning_rate, align.temperature, align.batch_size, align.layer) == (2e-5, 0.1, 32, "2/3")
    assert (finetune.batch_size, finetune.epochs, finetune.max_length, finetune.seeds) == (16, 15, 256, (15, 33, 42))
    assert len(build(TransferConfig, "paper", {"output": "x"}).languages) == 14


@pytest.mark.parametrize("name", preset_names())
@pytest.mark.parametrize("phase", PHASES)
def test_every_shipped_preset_builds_for_every_phase(name: str, phase: str) -> None:
    required = REQUIRED.get(phase, {}) | ({} if phase == "grid" else {"output": "x"})
    for task, mode in [("pos", "full"), ("topic", "linear")] if phase == "finetune" else [("", "")]:
        build(PHASES[phase], name, required | ({"task": task, "mode": mode} if task else {}))


@pytest.mark.parametrize("name", preset_names())
def test_config_show_gives_a_mark_and_every_option(name: str) -> None:
    rows = show(name)
    assert all(provenance.mark in MARKS for *_, provenance in rows)
    shown = {(phase, option) for phase, option, _, _ in rows}
    assert {(p, n) for p in PAPER_PHASES for n, _, _ in identity_defaults(p)} <= shown


def test_the_command_line_wins_over_the_preset_and_the_preset_over_the_default(preset: Any) -> None:
    path = preset("align: {steps: 10, temperature: 0.2}\n")
    given = {"pair": "de-en", "output": "x"}
    config = build(AlignConfig, path, given | {"steps": "20", "seed": None})
    assert (config.steps, config.temperature, config.seed, config.batch_size) == (20, 0.2, 42, 32)


def test_a_value_may_bring_its_mark_and_source(preset: Any) -> None:
    path = preset('align: {learning_rate: {value: 5.0e-4, mark: measured, source: "a sweep"}, steps: 6000, seed: 7}\n')
    assert build(AlignConfig, path, {"pair": "de-en", "output": "x"}).learning_rate == 5e-4
    rows = {name: (value, p.mark, p.source) for phase, name, value, p in show(path) if phase == "align"}
    assert rows["learning_rate"] == (5e-4, "measured", "a sweep")
    assert rows["steps"] == (6000, "paper", "appendix B")  # the same value keeps its provenance
    assert rows["seed"][:2] == (7, "chosen") and path in rows["seed"][2]
    assert rows["temperature"] == (0.1, "lineage", "Gaschi 2023; Wu & Dredze 2020")


def test_a_number_without_a_dot_is_the_same_number(preset: Any) -> None:
    """YAML 1.1 reads 2e-5 as text."""
    path = preset("align: {learning_rate: 2e-5}\n")
    assert build(AlignConfig, path, {"pair": "de-en", "output": "x"}).learning_rate == 2e-5
    rows = {name: (value, p.mark) for phase, name, value, p in show(path) if phase == "align"}
    assert rows["learning_rate"] == (2e-5, "lineage")


def test_values_by_task_and_mode_are_resolved_from_the_command_line(preset: Any) -> None:
    path = preset("finetune: {learning_rate: {full: 1.0e-4, linear: 0}, epochs: {value: {pos: 3, topic: 9}}}\n")

    def built(**given: str) -> tuple[float | None, int]:
        config = build(FinetuneConfig, path, {"output": "x", **given})
        return config.learning_rate, config.epochs

    assert built(task="pos", mode="linear") == (0.0, 3)
    assert built(task="topic", mode="full") == (1e-4, 9)
    assert built(task="topic") == (1e-4, 9)  # mode's own default


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("align: {stepz: 3}\n", r"align has no option 'stepz': did you mean steps\?"),
        ("alihn: {steps: 3}\n", r"unknown section 'alihn': did you mean align\?"),
        ("align: {steps: [\n", r"mine\.yaml:2: not valid YAML"),
        ("- align\n", "a preset is a mapping of phases"),
        ("align: [steps]\n", "align"),
        ("align: {learning_rate: {value: 1.0, mark: guessed}}\n", "guessed"),
    ],
)
def test_a_preset_that_says_something_unknown_is_refused(preset: Any, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_preset(preset(text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("align: {steps: many}\n", "steps='many' is not a valid int"),
        ("align: {steps: null}\n", "steps=None is not a valid int"),
        ("align: {steps: -1}\n", "steps=-1 is out of range"),
        ("align: {pooling: null}\n", "pooling=None"),
        ("align: {loss: S2W0M0}\n", "loss=S2W0M0 is unknown"),
    ],
)
def test_a_preset_with_an_impossible_value_is_refused(preset: Any, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(AlignConfig, preset(text), {"pair": "de-en", "output": "x"})


def test_many_configurations_parse_their_preset_once_and_a_changed_file_is_seen(
    preset: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[str] = []
    monkeypatch.setattr(
        "xalign.config.presets.parse_yaml", lambda text, name: parsed.append(text) or parse_yaml(text, name)
    )
    given = {"pair": "de-en", "output": "x"}
    for steps in (11, 11, 12):
        assert build(AlignConfig, preset(f"align: {{steps: {steps}}}\n"), given).steps == steps
    assert len(parsed) == 2


def test_an_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"preset 'papr' is neither a file nor one of: .*paper"):
        read_preset("papr")


def test_a_missing_required_option_is_named_as_on_the_command_line() -> None:
    with pytest.raises(UsageError, match="align: --pair is required"):
        build(AlignConfig, "paper", {"output": "x"})
    with pytest.raises(UsageError, match="align: --output is required"):
        build(AlignConfig, "paper", {"pair": "de-en"})


def test_an_unknown_task_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="task=ner is unknown: choose from pos, topic"):
        build(FinetuneConfig, "paper", {"task": "ner", "output": "x"})


def test_assignments_address_the_phase_itself_or_name_another() -> None:
    assert parse_assignments("align", ["steps=5", "align.seed=1", "finetune.epochs=2"]) == {"steps": "5", "seed": "1"}
    assert parse_assignments("finetune", ["finetune.epochs=2", "align.steps=5"]) == {"epochs": "2"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps", "write key=value"),
        ("stepz=3", r"align has no option 'stepz': did you mean steps\?"),
        ("alihn.steps=3", "unknown section 'alihn'"),
        ("finetune.steps=3", "finetune has no option 'steps'"),
    ],
)
def test_an_assignment_to_something_unknown_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_assignments("align", [text])
