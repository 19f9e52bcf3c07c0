"""`sources.json` in a data directory: where each file is from, under which licence, and what it must still be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from xalign.errors import XalignError
from xalign.storage import digest_file, read_json, write_json

NAME = "sources.json"
VERSION = 1
EVERYTHING = "*"


@dataclass
class Entry:
    """One download and the files that it gave.

    Attributes:
        source: the data set's name in the catalogue.
        url: the publisher's address, also where a mirror gave the file.
        selection: what was taken from it (pairs, languages, treebanks), or `*` for all.
        sha256: of what was downloaded.
        stated: whether that digest was known before; else it is the first download's.
        bytes: of what was downloaded.
        version: the server's mark of the version, if it gave one.
        date: of the download, UTC, ISO 8601.
        files: path below the data directory → SHA-256 and bytes.
    """

    source: str
    url: str
    selection: list[str]
    sha256: str
    stated: bool
    bytes: int
    version: str
    date: str
    licence: str
    licence_url: str
    citation: list[str]
    files: dict[str, dict[str, Any]] = field(default_factory=dict)

    def has(self, data: Path, wanted: Iterable[str]) -> bool:
        """Whether everything wanted was taken, and its files are still there at their sizes."""
        taken = EVERYTHING in self.selection or set(wanted) <= set(self.selection)
        return taken and all(_size(data / path) == noted["bytes"] for path, noted in self.files.items())


def read_record(data: Path) -> dict[str, Entry]:
    """The downloads of a data directory by address; none if nothing was fetched into it.

    Raises:
        XalignError: the file is damaged, or of a later version.
    """
    path = data / NAME
    if not path.is_file():
        return {}
    content = read_json(path)
    try:
        if content["version"] != VERSION:
            raise XalignError(f"{path}: version {content['version']}, but this xalign knows {VERSION}; renew xalign")
        return {entry["url"]: Entry(**entry) for entry in content["downloads"]}
    except (KeyError, TypeError):
        raise XalignError(f"{path}: not a record of downloads; delete it, and fetch again") from None


def write_record(data: Path, entries: dict[str, Entry]) -> None:
    """Replace the record, in the order of sources and addresses."""
    ordered = sorted(entries.values(), key=lambda entry: (entry.source, entry.url))
    write_json(data / NAME, {"version": VERSION, "downloads": [asdict(entry) for entry in ordered]})


@dataclass(frozen=True)
class Total:
    """All downloads of one data set: how many, their bytes, the last one's date, the licence."""

    source: str
    downloads: int
    bytes: int
    last: str
    licence: str


def totals(entries: Iterable[Entry]) -> list[Total]:
    """The downloads by data set."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.source, []).append(entry)
    return [
        Total(name, len(each), sum(one.bytes for one in each), max(one.date for one in each), each[0].licence)
        for name, each in sorted(found.items())
    ]


def changed_files(data: Path) -> list[str]:
    """The fetched files that are gone or have other bytes now, one line each."""
    found = []
    for entry in read_record(data).values():
        for name, noted in entry.files.items():
            path = data / name
            if not path.is_file():
                found.append(f"{path}: was fetched, but is gone; fetch {entry.source} again")
            elif _size(path) != noted["bytes"] or digest_file(path) != noted["sha256"]:
                found.append(f"{path}: not the bytes that were fetched; fetch {entry.source} again with --renew")
    return found


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1
