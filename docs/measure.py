"""Run the worked examples of docs/examples.yaml one after the other, and put what they print into that file.

    python docs/measure.py                       # all, in the file's order: later ones read what earlier ones left
    python docs/measure.py --place DIR "runs list"   # only some, in a directory where the others have run

What belongs to a machine or a moment (times, rates, dates) becomes "…".
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import shlex
import shutil
import tempfile
from pathlib import Path
from typing import Any

import yaml
from generate import EXAMPLES

WIDTH = "110"
MOMENTS = (
    (r"[\d,.]+ ((?:pairs|sentences|tokens|words|texts)/s)", r"… \1"),
    (r"[\d.,]+ (?:[GT]FLOP/s)", "… TFLOP/s"),
    (r"\d+:\d\d(?::\d\d)? left", "… left"),
    (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(?::\d\d)?(?:\+\d\d:\d\d|Z)?", "…"),
    (r"(?<![\w.])[\d,.]+ (s|min|h|seconds|minutes|hours)\b", r"… \1"),
)


def run_example(line: str, place: Path) -> str:
    """Run one example in `place`; returns what it printed.

    Raises:
        RuntimeError: it ended with another code than 0.
    """
    from xalign.__main__ import run

    words = shlex.split(line)
    printed, before = io.StringIO(), Path.cwd()
    os.chdir(place)
    try:
        with contextlib.redirect_stdout(printed):
            code = run(words[1:])
    finally:
        os.chdir(before)
    if code != 0:
        raise RuntimeError(f"{line}: ended with {code}\n{printed.getvalue()}")
    return printed.getvalue()


def prepare(example: dict[str, Any], place: Path) -> None:
    """Copy what an example reads of the source tree beside it."""
    if (name := example.get("reads")) and not (place / name).exists():
        shutil.copytree(EXAMPLES.parents[1] / name, place / name, ignore=shutil.ignore_patterns("report"))


def settled(text: str, place: Path, example: dict[str, Any]) -> str:
    """Output without what belongs to a machine or a moment, and without the lines that the example drops."""
    text = text.replace(f"{place}/", "")
    for pattern, instead in (*MOMENTS, *example.get("replace", {}).items()):
        text = re.sub(pattern, instead, text, flags=re.MULTILINE)
    lines = [line.rstrip() for line in text.strip("\n").splitlines()]
    most = example.get("lines", 24)
    return "\n".join(lines if len(lines) <= most else [*lines[:most], "…"]) + "\n"


def files_of(directory: Path) -> list[str]:
    """What a run left, its encoders and other folders with a slash."""
    found = (path for path in directory.iterdir() if not path.name.startswith("."))
    return sorted(f"{path.name}/" if path.is_dir() else path.name for path in found)


def output_of(line: str) -> str | None:
    """The directory that an example writes as a run, if it names one."""
    words = shlex.split(line)
    return words[words.index("--output") + 1] if "--output" in words else None


class _Text(yaml.SafeDumper):
    """YAML with texts of several lines as blocks, as people write them."""


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Text.add_representer(str, _block)


def measure(names: list[str], place: Path) -> None:
    """Run the examples of `names` (all without names) and write their outputs into docs/examples.yaml."""
    os.environ |= {"COLUMNS": WIDTH, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TERM": "dumb"}
    header = "".join(line + "\n" for line in EXAMPLES.read_text(encoding="utf-8").splitlines() if line.startswith("#"))
    content = yaml.safe_load(EXAMPLES.read_text(encoding="utf-8"))
    for name, example in content["examples"].items():
        if example.get("unmeasured") or (names and name not in names):
            continue
        print(name, flush=True)
        prepare(example, place)
        example["output"] = settled(run_example(example["run"], place), place, example)
        directory = output_of(example["run"])
        if directory and (place / directory / "run.json").is_file():
            example["files"] = files_of(place / directory)
        body = yaml.dump(content, Dumper=_Text, sort_keys=False, allow_unicode=True, width=118)
        EXAMPLES.write_text(header + body, encoding="utf-8")


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="commands; all without one")
    parser.add_argument("--place", type=Path, help="directory to run in; default: a new temporary one")
    given = parser.parse_args()
    place = given.place or Path(tempfile.mkdtemp(prefix="xalign-examples-"))
    place.mkdir(parents=True, exist_ok=True)
    measure(given.names, place.resolve())


if __name__ == "__main__":
    main()
