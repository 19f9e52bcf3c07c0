"""All measured ratios in one picture: ``results/*.json`` to ``results/benchmarks.svg`` and ``.png``.

python benchmarks/figure.py
"""

from __future__ import annotations

from typing import Any

import matplotlib
from comparison import RESULTS

from xalign.storage import read_json

matplotlib.use("Agg")
import matplotlib.pyplot as plt

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#999999"  # Okabe and Ito: told apart by colour-blind readers


TICKS = (1, 2, 5, 10, 20, 50)


def advantage(entry: dict[str, Any], value: float) -> float:
    """How many times better ours is: costs are turned round."""
    return value if entry["higher_is_better"] else 1 / value


def main() -> None:
    """Draw."""
    files = [path for path in sorted(RESULTS.glob("*.json")) if "rehearsal" not in path.name]
    every = [entry for path in files for entry in read_json(path)]
    entries = [entry for entry in every if not entry["measure"].startswith("peak GB")]  # a table, not a race
    figure, axes = plt.subplots(figsize=(9, 1.2 + 0.62 * len(entries)), layout="constrained")
    for row, entry in enumerate(reversed(entries)):
        ratio, goal = (advantage(entry, entry[name]) for name in ("ratio", "goal"))
        low, high = sorted(advantage(entry, value) for value in entry["spread"]["ratio"])
        colour = BLUE if ratio >= goal else ORANGE
        axes.plot([low, high], [row, row], color=colour, linewidth=2)
        axes.plot(ratio, row, "o", color=colour, markersize=8)
        axes.plot(goal, row, "|", color=GREY, markersize=16, markeredgewidth=2)
        axes.annotate(f"{ratio:.2g} ×", (ratio, row), (0, 7), textcoords="offset points", ha="center", color=colour)
    axes.axvline(1, color=GREY, linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xticks(TICKS, [f"{tick:g} ×" for tick in TICKS])
    axes.minorticks_off()
    axes.set_xlabel("times better than the other side\ngrey bars: goals; lines: spread over rounds")
    axes.set_yticks(range(len(entries)), [_label(entry) for entry in reversed(entries)], fontsize=8)
    axes.set_ylim(-0.6, len(entries) - 0.3)
    axes.spines[["top", "right", "left"]].set_visible(False)
    for suffix in ("svg", "png"):
        figure.savefig(RESULTS / f"benchmarks.{suffix}", dpi=150)


def _label(entry: dict[str, Any]) -> str:
    head, _, rest = entry["measure"].partition(": ")
    return f"{head}\n{rest} · {entry['device']}"


if __name__ == "__main__":
    main()
