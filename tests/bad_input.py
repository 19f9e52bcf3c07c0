"""What the cases of `test_bad_inputs.py` start from: a place with sound data and a sound model, and what spoils it."""

from __future__ import annotations

import gzip
import json
import lzma
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Place:
    """A folder of its own for one case, with everything sound until the case spoils it."""

    root: Path

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def model(self) -> Path:
        return self.root / "model"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def german(self) -> Path:
        return self.data / "parallel" / "de-en" / "tiny.de-en.de"

    @property
    def english(self) -> Path:
        return self.data / "parallel" / "de-en" / "tiny.de-en.en"

    @property
    def treebank(self) -> Path:
        return self.data / "ud" / "UD_English-EWT" / "en_ewt-ud-train.conllu"

    @property
    def topics(self) -> Path:
        return self.data / "sib200" / "data" / "annotated" / "eng_Latn" / "train.tsv"

    @property
    def flores(self) -> Path:
        return self.data / "flores200_dataset" / "devtest" / "deu_Latn.devtest"

    @property
    def dictionary(self) -> Path:
        return self.data / "muse" / "de-en.txt"

    @property
    def links(self) -> Path:
        return self.root / "links.txt"

    @property
    def preset(self) -> Path:
        return self.root / "own.yaml"

    @property
    def transfer(self) -> Path:
        return self.runs / "transfer" / "pos" / "full" / "base"


Spoil = Callable[[Place], None]


def text(part: str, content: str | bytes) -> Spoil:
    """Replace a file."""

    def spoil(place: Place) -> None:
        path = getattr(place, part)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return spoil


def line(part: str, number: int, old: str, new: str) -> Spoil:
    """Exchange some text in one line of a file; every `old` in it."""

    def spoil(place: Place) -> None:
        path = getattr(place, part)
        lines = path.read_text(encoding="utf-8").split("\n")
        assert old in lines[number - 1]
        lines[number - 1] = lines[number - 1].replace(old, new)
        path.write_text("\n".join(lines), encoding="utf-8")

    return spoil


def blank(part: str, number: int) -> Spoil:
    """Leave nothing of one line but its end."""

    def spoil(place: Place) -> None:
        path = getattr(place, part)
        lines = path.read_text(encoding="utf-8").split("\n")
        path.write_text("\n".join([*lines[: number - 1], "", *lines[number:]]), encoding="utf-8")

    return spoil


def recoded(part: str, encoding: str, addition: str = "") -> Spoil:
    """Write a file anew in another encoding, with something more in its first line."""

    def spoil(place: Place) -> None:
        path = getattr(place, part)
        path.write_bytes((addition + path.read_text(encoding="utf-8")).encode(encoding))

    return spoil


def packed(part: str, suffix: str, change: Callable[[bytes], bytes]) -> Spoil:
    """Replace a file by its compressed form after a change to the compressed bytes."""

    def spoil(place: Place) -> None:
        path = getattr(place, part)
        pack = gzip.compress if suffix == ".gz" else lzma.compress
        path.with_name(path.name + suffix).write_bytes(change(pack(path.read_bytes())))
        path.unlink()

    return spoil


def removed(part: str, name: str = "") -> Spoil:
    """Delete a file."""
    return lambda place: (getattr(place, part) / name).unlink()


def folder_instead(part: str) -> Spoil:
    """Put a folder where a file should be."""

    def spoil(place: Place) -> None:
        path = getattr(place, part)
        path.unlink(missing_ok=True)
        path.mkdir(parents=True)

    return spoil


def settings(name: str, **changes: Any) -> Spoil:
    """Change entries of a JSON file of the model; None deletes one."""

    def spoil(place: Place) -> None:
        path = place.model / name
        content = json.loads(path.read_text()) | changes
        path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))

    return spoil


def record(name: str, **changes: Any) -> Spoil:
    """Change entries of a JSON file of the transfer run; None deletes one."""

    def spoil(place: Place) -> None:
        path = place.transfer / name
        content = json.loads(path.read_text()) | changes
        path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))

    return spoil


def in_model(name: str, content: str | bytes) -> Spoil:
    """Replace a file of the model."""
    return lambda place: _write(place.model / name, content)


def in_run(name: str, content: str | bytes) -> Spoil:
    """Replace a file of the transfer run."""
    return lambda place: _write(place.transfer / name, content)


def _write(path: Path, content: str | bytes) -> None:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def several(*spoils: Spoil) -> Spoil:
    """One after the other."""

    def spoil(place: Place) -> None:
        for each in spoils:
            each(place)

    return spoil
