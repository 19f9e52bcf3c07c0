"""Alignment with S over XLM-R's 250,002 embeddings: training the rows that the data use, against training all.

    python benchmarks/vocabulary.py [--width 128] [--data DIR] [--steps 20] [--rounds 2]

Both sides are ``xalign align`` on the same sentences of OPUS's lengths in batches of 32, on the last of 12 layers; the
weights that they leave are the same. *Theirs* is ``--set vocabulary=whole``, which is what every other trainer does.
What it saves is memory first (see `memory.py`), and time where the optimizer's share of a step is large: on GPUs, in
small batches.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import alignment
import xlmr
from comparison import compare, write


def measure(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Both sides in turns."""
    with tempfile.TemporaryDirectory() as folder:
        given.model = xlmr.write_model(Path(folder) / "xlm-r", width=given.width)
        given.data = xlmr.write_pairs(Path(folder) / "data", data=given.data, pairs=2000)

        def rate(vocabulary: str) -> float:
            lines = alignment.step_lines(given, layer="1/1", vocabulary=vocabulary)
            return len(lines) / sum(1 / line["pairs_per_second"] for line in lines)

        entry = compare(
            f"alignment with S, pairs/s, against training all embeddings: de-en, 12 × {given.width}, 250,002 rows",
            lambda: rate("used"), lambda: rate("whole"),
            goal=1.0, ratio="ours / theirs", rounds=given.rounds, warm_up=False,
        )  # fmt: skip
    return [entry]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--data", help="data directory; default: the embedded testbed")
    parser.add_argument("--pair", default="de-en")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=2)
    write("vocabulary", measure(parser.parse_args()))


if __name__ == "__main__":
    main()
