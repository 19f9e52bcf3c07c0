"""The command line that repeats a run, from its ``run.json``: what departs from the paper's preset, without paths."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from typing import Any

from xalign.config import build
from xalign.config.fields import declaration
from xalign.config.registry import PHASES
from xalign.errors import UsageError
from xalign.model_source import EMBEDDED, is_hub_name

PRESET = "paper"


def repeating_command(record: Mapping[str, Any]) -> str | None:
    """One shell line; directories are ``"$DATA"`` and ``"$MODEL"``. None for a phase that this version lacks."""
    config_class, config = PHASES.get(record["phase"]), record["config"]
    if config_class is None:
        return None
    fields = {field.name: field for field in dataclasses.fields(config_class)}
    required = [name for name, f in fields.items() if f.default is dataclasses.MISSING and name != "output"]
    given = {name: config[name] for name in required if name in config}
    try:
        usual = dataclasses.asdict(build(config_class, PRESET, given | {"output": "output"}))
    except UsageError:  # an option whose values have changed since
        return None
    words = ["xalign", record["phase"], *(f"--{name.replace('_', '-')} {_word(config[name])}" for name in given)]
    words += ["--preset", PRESET]
    for name, value in config.items():
        if name in given or name not in fields or declaration(fields[name]).kind != "identity":
            continue
        if _plain(value) != _plain(usual[name]):
            words.append(f"--set {_word(value, name)}")
    if record["phase"] != "pretrain":
        words.append(f"--model {_model(record)}")
    if config.get("data") is not None:
        words.append('--data "$DATA"')
    return " ".join([*words, "--output", "OUTPUT"])


def _model(record: Mapping[str, Any]) -> str:
    given = str(record["config"]["model"])
    if given == EMBEDDED or (is_hub_name(given) and given == record["lineage"].get("encoder")):
        return shlex.quote(given)
    return '"$MODEL"'


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _word(value: Any, name: str = "") -> str:
    """A value as a word of the shell, behind ``name=`` if there is one."""
    text = _text(value)
    if text.startswith(("/", "~")):  # some file on the machine that trained
        return f'{name}="$FILE"' if name else '"$FILE"'
    return shlex.quote(f"{name}={text}" if name else text)


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return str(value)
