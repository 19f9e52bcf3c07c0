"""Under which licence a data file stands and what to cite for it, as far as the data directory's own records say.

A data directory may hold JSON records of where its files come from, as ``sources.json`` does. JSON files at its top are
read for objects that have a ``licence`` (or ``license``) and say what they are about: ``path``, ``file``,
``directory`` (a string) or ``paths``, ``files`` (several), relative to the data directory; or the key that the object
stands under. A folder's licence is its files' licence. ``citation``, a list of names that `xalign cite` knows, is read
too. Nothing else is asked of the records, so that any writer's will do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from xalign.errors import XalignError
from xalign.storage import read_json

UNKNOWN = "licence unknown: see the publisher"
CONSTRUCTED = "constructed text, Apache-2.0 as xalign"
LICENCE = ("licence", "license")
ABOUT = ("path", "file", "directory", "folder", "paths", "files")
LARGEST_RECORD_BYTES = 4 << 20


@dataclass(frozen=True)
class Terms:
    """Under which licence a file stands, and what to cite for it."""

    licence: str
    citation: tuple[str, ...] = ()


def recorded_terms(data: Path, files: Iterable[str]) -> dict[str, Terms]:
    """The terms of each file that the records of a data directory know; files without any are left out.

    Args:
        data: the data directory; it need not exist any more.
        files: paths relative to it.
    """
    if (data / "TESTBED.json").is_file():
        return dict.fromkeys(files, Terms(CONSTRUCTED))
    known: dict[PurePosixPath, Terms] = {}
    for path in sorted(data.glob("*.json")) if data.is_dir() else ():
        try:
            if path.stat().st_size <= LARGEST_RECORD_BYTES:
                known |= dict(_recorded(read_json(path), ""))
        except (OSError, XalignError):  # not a record of ours, and a card must not fail for it
            continue
    found = {}
    for file in files:
        place = PurePosixPath(file)
        terms = next((known[part] for part in (place, *place.parents) if part in known), None)
        if terms is not None:
            found[file] = terms
    return found


def _recorded(value: Any, under: str) -> Iterator[tuple[PurePosixPath, Terms]]:
    if isinstance(value, list):
        for item in value:
            yield from _recorded(item, under)
    if not isinstance(value, Mapping):
        return
    licence = next((value[name] for name in LICENCE if isinstance(value.get(name), str) and value[name]), None)
    if licence is not None:
        said = value.get("citation")
        citation = tuple(name for name in said if isinstance(name, str)) if isinstance(said, list) else ()
        for place in _places(value, under):
            yield PurePosixPath(place), Terms(licence, citation)
    for key, item in value.items():
        yield from _recorded(item, str(key))


def _places(value: Mapping[str, Any], under: str) -> list[str]:
    places: list[str] = []
    for name in ABOUT:
        said = value.get(name)
        if isinstance(said, str):
            places.append(said)
        elif isinstance(said, Mapping):  # path → digest
            places += map(str, said)
        elif isinstance(said, list):
            places += [item if isinstance(item, str) else str(item.get("path", "")) for item in said if item]
    return [place for place in places if place] or ([under] if under else [])
