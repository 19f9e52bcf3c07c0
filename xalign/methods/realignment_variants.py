"""How realignments with other options than the default are told apart, in names and in reports."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xalign.config.realign import ALIGNERS, RealignConfig

DEFAULTS: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(RealignConfig)}
METHOD = "realign"


def variant(options: Mapping[str, Any], layer: int) -> str:
    """The options that change what realignment does and are not the default: ``upper-weak-k0.5``, or nothing.

    Args:
        options: of `RealignConfig`, by name; what is not there has its default.
        layer: the k of ``hidden_states[k]`` that the option `layer` stands for.
    """
    found: dict[str, Any] = {**DEFAULTS, **options}
    strategy = found["strategy"]
    if strategy == "baseline":
        return ""
    changed = {name: value for name, value in found.items() if name in DEFAULTS and value != DEFAULTS[name]}
    parts = [
        found["matching"] if "matching" in changed and found["aligner"] == "neural" else "",
        found["freeze"] if "freeze" in changed else "",
        found["negatives"] if "negatives" in changed else "",
        f"k{found['coefficient']:g}" if "coefficient" in changed and "during" in strategy else "",
        f"temperature{found['temperature']:g}" if "temperature" in changed else "",
        f"layer{layer}" if "layer" in changed else "",
        f"{found['realign_steps']}steps" if "realign_steps" in changed and strategy.startswith("before") else "",
        "identical" if "identical" in changed else "",
    ]
    return "-".join(part for part in parts if part)


def aligner_name(aligner: str) -> str:
    """An aligner's name; of a file of links its stem, which nothing in it may make look like another part of a name."""
    if aligner in ALIGNERS:
        return aligner
    stem = re.sub(r"[^\w.-]+", "_", Path(aligner).stem)
    return f"file-{stem}" if stem in ALIGNERS else stem


def methods_before(method: str | None) -> str:
    """What a lineage's method says was done before its last realignment, code-switching of its task included."""
    return f"+{method or ''}".rpartition(f"+{METHOD}-")[0].removeprefix("+")
