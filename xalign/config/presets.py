"""Defaults < preset < command line: building a configuration, and saying where each value came from.

A preset is one YAML file with a section for each phase. A value stands alone, or as
``{value: 5e-4, mark: measured, source: "…"}`` where the preset departs from the defaults;
a mapping keyed by task, mode or pair (``{pos: 0.01, topic: 0.0}``) is resolved when these are known.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import typing
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from xalign.config.fields import MARKS, Provenance, coerce, declaration, pick
from xalign.config.registry import PHASES
from xalign.config.yaml_files import parse_yaml, read_text
from xalign.errors import UsageError

Config = TypeVar("Config")
Section = dict[str, tuple[Any, Provenance | None]]
LONGEST_NAME = 100  # characters that are held against known names: the comparison takes their square


def preset_names() -> list[str]:
    """The presets that ship with the package."""
    folder = resources.files("xalign") / "presets"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def read_preset(name: str) -> dict[str, Section]:
    """Read a shipped preset, or a YAML file of the user's, as phase → option → (value, provenance or None).

    Raises:
        UsageError: no such preset, not YAML, an unknown section or an unknown key (with the nearest known one).
    """
    if name in preset_names():
        path = Path(str(resources.files("xalign") / "presets" / f"{name}.yaml"))
    elif _is_file(name):
        path = Path(name)
    else:
        raise UsageError(f"preset {name!r} is neither a file nor one of: {', '.join(preset_names())}")
    return _sections(read_text(path, name), name)


@functools.lru_cache(maxsize=8)  # a grid builds the configuration of each of its runs from one text
def _sections(text: str, name: str) -> dict[str, Section]:
    content = parse_yaml(text, name)
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise UsageError(f"{name}: a preset is a mapping of phases, for example 'align: {{steps: 100}}'")
    return {str(phase): _section(str(phase), values, name) for phase, values in content.items()}


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except OSError:  # a name that no file can have
        return False


def _section(phase: str, values: Any, where: str) -> Section:
    if phase not in PHASES:
        raise UsageError(f"{where}: unknown section {phase!r}: {_nearest(phase, PHASES)}")
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise UsageError(f"{where}: the section {phase} is not a mapping; write '{phase}: {{option: value}}'")
    hints = typing.get_type_hints(PHASES[phase])
    section: Section = {}
    for key, value in values.items():
        key = str(key)
        known_option(phase, key, where)
        provenance = None
        if isinstance(value, dict) and "value" in value:
            provenance = Provenance(str(value.get("mark", "chosen")), str(value.get("source", where)))
            if provenance.mark not in MARKS:
                raise UsageError(f"{where}: {phase}.{key}: mark {provenance.mark!r} is none of {', '.join(MARKS)}")
            value = value["value"]
        try:
            if isinstance(value, dict):
                section[key] = {str(kind): coerce(key, item, hints[key]) for kind, item in value.items()}, provenance
            else:
                section[key] = None if value is None else coerce(key, value, hints[key]), provenance
        except UsageError as error:
            raise UsageError(f"{where}: {phase}: {error}") from None
    return section


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name[:LONGEST_NAME], list(known), n=1)
    return f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"


def known_option(phase: str, key: str, where: str) -> dataclasses.Field[Any]:
    """The field `key` of a phase; an unknown one is a usage error that names the nearest."""
    fields = {field.name: field for field in dataclasses.fields(PHASES[phase])}
    if key not in fields:
        raise UsageError(f"{where}: {phase} has no option {key!r}: {_nearest(key, fields)}")
    return fields[key]


def parse_assignments(phase: str, assignments: Iterable[str]) -> dict[str, str]:
    """Read ``--set key=value`` (or ``align.key=value``), keeping those that address `phase`."""
    values: dict[str, str] = {}
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set {text}: write key=value")
        section, dot, name = key.rpartition(".")
        if dot and section not in PHASES:
            raise UsageError(f"--set {text}: unknown section {section!r}: {_nearest(section, PHASES)}")
        target = section or phase
        known_option(target, name, f"--set {text}")
        if target == phase:
            values[name] = value
    return values


def build(config: type[Config], preset: str, given: Mapping[str, Any]) -> Config:
    """Build the configuration of a phase.

    Args:
        config: one of the dataclasses of `xalign.config.phases`.
        preset: a shipped preset's name or a YAML file.
        given: options from the command line; ``None`` means not given.

    Raises:
        UsageError: an unknown option, a value of the wrong type or out of range, a required option that is missing.
    """
    phase = next(name for name, known in PHASES.items() if known is config)
    values = {name: value for name, (value, _) in read_preset(preset).get(phase, {}).items()}
    for name, value in given.items():
        known_option(phase, name, phase)
        if value is not None:
            values[name] = value
    hints = typing.get_type_hints(config)
    resolved: dict[str, Any] = {}
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
        declared = declaration(field)
        value = values.get(field.name)
        if isinstance(value, Mapping):
            recipe = {"mode": "full"} | {key: each for key, each in values.items() if isinstance(each, str)}
            value = pick(value, **{key: recipe.get(key, "") for key in ("task", "mode", "pair")})
        if value is None and field.name not in values:
            if field.default is dataclasses.MISSING:
                raise UsageError(f"{phase}: --{field.name.replace('_', '-')} is required ({declared.help})")
            value = field.default
        resolved[field.name] = coerce(field.name, value, hints[field.name])
    return config(**resolved)


def show(preset: str) -> list[tuple[str, str, Any, Provenance]]:
    """Every value of a preset as (phase, option, value, provenance), phase by phase in the order of the fields."""
    sections = read_preset(preset)
    rows: list[tuple[str, str, Any, Provenance]] = []
    for phase, config in PHASES.items():
        for field in dataclasses.fields(config):
            declared = declaration(field)
            if declared.kind == "place" or field.default is dataclasses.MISSING:
                continue
            default = declared.by if declared.by is not None else field.default
            value, provenance = sections.get(phase, {}).get(field.name, (default, None))
            same = _plain(value) == _plain(default)
            fallback = declared.provenance if same else Provenance("chosen", f"preset {preset}")
            rows.append((phase, field.name, value, provenance or fallback))
    return rows


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def default_preset(model: Any, data: Any) -> str:
    """``paper``, or ``demo`` where data and model are the embedded ones (or a run that was made from them)."""
    embedded = model in (None, "mini") or (Path(str(model)) / "run.json").is_file()
    return "demo" if data is None and embedded else "paper"
