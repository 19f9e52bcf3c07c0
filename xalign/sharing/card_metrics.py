"""The numbers of a model card: what the run that left an encoder measured of it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WILSON_Z = 1.959963984540054  # the 97.5 % quantile of the normal distribution


@dataclass(frozen=True)
class Metric:
    """A number with its 95 % interval where there is one, and what it was measured on."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    on: str = ""


def wilson(share: float, count: int) -> tuple[float, float]:
    """Limits of a share of `count` independent trials, with 95 % confidence (Wilson 1927)."""
    square = WILSON_Z**2 / count
    centre = (share + square / 2) / (1 + square)
    reach = WILSON_Z * math.sqrt(share * (1 - share) / count + square / (4 * count)) / (1 + square)
    return max(0.0, centre - reach), min(1.0, centre + reach)


def run_metrics(
    run: Path, config: Mapping[str, Any], result: Mapping[str, Any] | None, step: int | None, encoder: str
) -> Iterator[Metric]:
    """Held-out scores: of the whole run from its result, of a stage from the last validation before it."""
    scores = dict((result or {}).get("validation", {})) if step is None else _validation(run, step)
    held_out = (result or {}).get("pairs", {}).get("held_out", config.get("held_out"))
    count = min(config.get("eval_pairs") or 0, held_out or 0)
    on = f"{count:,} held-out pairs" if count else "held-out pairs"
    for name, value in scores.items():
        share = name.startswith("nn_")
        low, high = wilson(value, count) if share and count else (None, None)
        yield Metric(name, value, low, high, on)
    seed = encoder.removeprefix("encoder-seed") if encoder.startswith("encoder-seed") else None
    for name, value in (result or {}).items():
        if isinstance(value, dict) and seed is not None and isinstance(value.get(seed), int | float):
            yield Metric(name, float(value[seed]), on=f"seed {seed}")
    if encoder == "encoder":
        for state, value in ((result or {}).get("alignment") or {}).items():
            measured = (result or {}).get("measured_words")
            yield Metric(f"1-NN accuracy of words, {state}", value, on=f"{measured:,} words" if measured else "")


def _validation(run: Path, step: int) -> dict[str, float]:
    path = run / "metrics.jsonl"
    scores: dict[str, float] = {}
    for text in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            line = json.loads(text)
        except ValueError:  # being written when the process died
            break
        if line.get("step", 0) <= step and isinstance(line.get("validation"), dict):
            scores = line["validation"]
    return scores
