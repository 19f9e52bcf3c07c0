"""What the fuzz tests share: damage for bytes and for JSON, and the property that whatever reads it must hold."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from xalign.errors import XalignError

SECONDS = 10.0  # that no small input may take
# What breaks readers: ends of lines and of text, marks of order, halves of characters, numbers without end.
SNIPPETS = [
    b"\0", b"\r", b"\r\n", b"\n\n", b"\t", b"\t\t", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\x1b[31m",
    b'"', b"'", b"-", b"1-2", b"5.1", b"9" * 5000, b"#", b" ", "\u2028".encode(), "\u0301".encode(), b"\x1a", b"{",
]  # fmt: skip
ATOMS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.just(10**400), st.floats(), st.text(max_size=8), st.just("[/x]"),
    st.sampled_from(["\0", "\x1b[2J", "\ud800", "-1", "nan", "1e309", "../..", ",", "deu"]),
)  # fmt: skip
VALUES = st.recursive(
    ATOMS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def looking(share: float) -> settings:
    """Settings of a test that costs more, or less, than most: a share of the profile's examples."""
    return settings(max_examples=max(3, round(settings.default.max_examples * share)))


@st.composite
def damaged(draw: st.DrawFn, sound: bytes) -> bytes:
    """`sound` after one to three accidents, or bytes that never were anything."""
    content = sound
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["cut", "insert", "flip", "drop", "repeat", "anything"]))
        at = draw(st.integers(0, len(content)))
        lines = content.split(b"\n")
        number = draw(st.integers(0, len(lines) - 1))
        if kind == "cut":
            content = content[:at]
        elif kind == "insert":
            content = content[:at] + draw(st.sampled_from(SNIPPETS)) + content[at:]
        elif kind == "flip":
            content = content[:at] + draw(st.binary(max_size=3)) + content[at + 1 :]
        elif kind == "drop":
            content = b"\n".join(lines[:number] + lines[number + 1 :])
        elif kind == "repeat":
            content = b"\n".join([*lines[: number + 1], *lines[number:]])
        else:
            content = draw(st.binary(max_size=200))
    return content


@st.composite
def damaged_json(draw: st.DrawFn, sound: Any) -> Any:
    """A JSON value in which one part, however deep, is another value or gone."""
    if isinstance(sound, dict) and sound and draw(st.integers(0, 9)):
        name = draw(st.sampled_from(sorted(sound)))
        if not draw(st.integers(0, 4)):
            return {key: value for key, value in sound.items() if key != name}
        return sound | {name: draw(damaged_json(sound[name]))}
    if isinstance(sound, list) and sound and draw(st.integers(0, 9)):
        index = draw(st.integers(0, len(sound) - 1))
        return [*sound[:index], draw(damaged_json(sound[index])), *sound[index + 1 :]]
    return draw(VALUES)


def reads_or_refuses(read: Callable[[], Any], named: Path) -> Any:
    """What `read` returns, or None if it refuses in words that name a path; it takes no time and writes nothing.

    Args:
        named: the file that is read, or a folder: a refusal names something in it.
    """
    folder = named if named.is_dir() else named.parent
    before = listing(folder)
    start = time.monotonic()
    try:
        return read()
    except XalignError as error:
        assert str(named) in str(error), error
        return None
    finally:
        assert time.monotonic() - start < SECONDS
        assert listing(folder) == before


def listing(folder: Path) -> dict[Path, tuple[int, int]]:
    """Every path below a folder with its size and time of change."""
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}
