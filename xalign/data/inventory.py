"""What a data directory holds, kind by kind, by the names of its files alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from xalign.data.layout import DataDirectory

SUFFIXES = (".txt", ".txt.gz", ".txt.xz")


@dataclass(frozen=True)
class Holding:
    """One kind of data: the languages or pairs that there are, and the bytes of the folder that holds them."""

    kind: str
    folder: str
    names: list[str]
    bytes: int


def inventory(data: DataDirectory) -> list[Holding]:
    """All kinds that xalign reads, also those of which there is nothing."""
    kinds: tuple[tuple[str, str, Callable[[], list[str]]], ...] = (
        ("parallel pairs", "parallel", data.available_pairs),
        ("treebanks to train on", "ud", lambda: [language.code for language in data.treebank_languages("train")]),
        ("treebanks to test on", "ud", lambda: [language.code for language in data.treebank_languages("test")]),
        ("SIB-200 topics", "sib200", lambda: [language.code for language in data.topic_languages("test")]),
        ("FLORES-200", "flores200_dataset", lambda: [each.code for each in data.flores_languages("devtest")]),
        ("dictionaries", "muse", lambda: ["-".join(each.code for each in pair) for pair in data.dictionaries()]),
        ("monolingual text", "mono", lambda: monolingual_files(data.path)),
    )
    return [Holding(kind, folder, names(), _bytes(data.path / folder)) for kind, folder, names in kinds]


def monolingual_files(path: Path) -> list[str]:
    """The codes of `mono/`, as its files name them."""
    names = (file.name for file in (path / "mono").glob("*") if file.is_file())
    return sorted({name.partition(".")[0] for name in names if name.endswith(SUFFIXES)})


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
