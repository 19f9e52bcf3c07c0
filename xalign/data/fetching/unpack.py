"""Archives from outside, unpacked without trust.

An archive is refused as a whole, and leaves nothing, if any member would leave the folder, is a link or a device, has
a name that file systems read differently, occurs twice, or if its content is more than the limits allow. What counts
is what comes out, never the sizes that the archive states.
"""

from __future__ import annotations

import gzip
import lzma
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from xalign.errors import XalignError

CHUNK_BYTES = 1 << 20
LONGEST_HEADER = 1 << 20
LONGEST_NAME = 255  # bytes of one component: what common file systems allow
FORBIDDEN = set('\\:*?"<>|')  # separators and streams elsewhere

Place = Callable[[str], str | None]
"""Member name -> path below the folder, or None for a member that is not wanted."""


class Readable(Protocol):
    """What a member's content is read from."""

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes; none at the end."""
        ...


@dataclass(frozen=True)
class Limits:
    """What an archive may hold: members, bytes in all, and bytes for each byte of the archive.

    Text packs to a fifth, repetitive text to a thirtieth; `ratio` counts from `ratio_from` bytes on, because a small
    file may well be blanks.
    """

    members: int = 200_000
    bytes: int = 64 << 30
    ratio: float = 250.0
    ratio_from: int = 16 << 20


def unpack(archive: Path, folder: Path, place: Place, limits: Limits | None = None) -> list[str]:
    """Unpack the wanted members of a zip or (compressed) tar archive into `folder`.

    Args:
        folder: exists and is empty; on an error, what it holds is of no use.

    Returns:
        the paths below `folder` that were written, sorted.

    Raises:
        XalignError: a hostile, damaged or unknown archive, with its file and member.
    """
    limits = limits or Limits()
    budget = _Budget(archive, limits)
    taken: dict[str, str] = {}  # path below the folder → member
    with _damage_told(archive):
        members = _zip_members(archive, budget) if zipfile.is_zipfile(archive) else _tar_members(archive, budget)
        for name, content in members:
            path = place(name)
            if path is None:
                continue
            if not is_safe(path) or not (folder / path).resolve().is_relative_to(folder.resolve()):
                raise XalignError(f"{archive}: {name!r} would leave its folder; nothing was unpacked")
            if path in taken:
                raise XalignError(f"{archive}: {taken[path]!r} and {name!r} would be one file; nothing was unpacked")
            taken[path] = name
            try:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                stream = (folder / path).open("xb")
            except (FileExistsError, NotADirectoryError):
                raise XalignError(f"{archive}: {name!r} stands where another member does; not unpacked") from None
            with stream:
                while chunk := content.read(CHUNK_BYTES):
                    stream.write(chunk)
    return sorted(taken)


def is_safe(name: str) -> bool:
    """Whether a member's name stays below its folder and means the same file on every system."""
    parts = name.split("/")
    return (
        bool(name)
        and not any(part in ("", ".", "..") for part in parts)
        and all(len(part.encode("utf-8", "surrogateescape")) <= LONGEST_NAME for part in parts)
        and not any(char in FORBIDDEN or unicodedata.category(char) in ("Cc", "Cf", "Cs") for char in name)
    )


class _Budget:
    """Counts what an archive yields and refuses it when it is too much."""

    def __init__(self, archive: Path, limits: Limits) -> None:
        self.archive, self.limits = archive, limits
        self.packed = max(archive.stat().st_size, 1)
        self.total = self.seen = 0
        self.names: dict[str, bool] = {}  # normalised name → whether it is a folder

    def member(self, name: str, *, folder: bool) -> str:
        """Admit a member: its plain name.

        Raises:
            XalignError: see `unpack`.
        """
        self.seen += 1
        if self.seen > self.limits.members:
            raise XalignError(f"{self.archive}: more than {self.limits.members:,} members; not unpacked")
        plain = name.removesuffix("/") if folder else name
        while plain.startswith("./"):  # as `tar cf x.tar ./folder` writes names
            plain = plain.removeprefix("./")
        if folder and plain in ("", "."):
            return ""
        if not is_safe(plain):
            raise XalignError(f"{self.archive}: member {name!r} has no safe name; nothing was unpacked")
        key = unicodedata.normalize("NFC", plain)
        if key in self.names and not (folder and self.names[key]):
            raise XalignError(f"{self.archive}: member {name!r} occurs twice; nothing was unpacked")
        self.names[key] = folder
        return plain

    def written(self, count: int) -> None:
        """Count bytes that came out."""
        self.total += count
        if self.total > self.limits.bytes:
            raise XalignError(f"{self.archive}: unpacks to more than {self.limits.bytes:,} bytes; not unpacked")
        if self.total > self.limits.ratio_from and self.total > self.limits.ratio * self.packed:
            raise XalignError(
                f"{self.archive}: unpacks to more than {self.limits.ratio:g} times its size; not unpacked"
            )


def _zip_members(archive: Path, budget: _Budget) -> Iterator[tuple[str, Readable]]:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            name = budget.member(info.orig_filename, folder=info.is_dir())
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFDIR if info.is_dir() else stat.S_IFREG):
                raise XalignError(f"{archive}: member {name!r} is a link or a device; nothing was unpacked")
            if info.flag_bits & 0x1:
                raise XalignError(f"{archive}: member {name!r} is encrypted; nothing was unpacked")
            if not info.is_dir():
                with opened.open(info) as content:
                    yield name, _Counted(content, budget)


def _tar_members(archive: Path, budget: _Budget) -> Iterator[tuple[str, Readable]]:
    with _opened(archive) as packed:
        stream = _Counted(packed, budget)
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=_BoundedHeader) as opened:  # type: ignore[call-overload]
            for info in opened:
                opened.members = []  # it would keep them all
                name = budget.member(info.name, folder=info.isdir())
                if not (info.isreg() or info.isdir()) or info.issparse():
                    raise XalignError(f"{archive}: member {info.name!r} is a link or a device; nothing was unpacked")
                content = opened.extractfile(info) if info.isreg() else None
                if content is not None:
                    yield name, content
        while stream.read(CHUNK_BYTES):  # to the end, where the compressed stream's checksum is
            pass


def _opened(archive: Path) -> IO[bytes]:
    """The tar inside an archive, whatever it is compressed with."""
    with archive.open("rb") as stream:
        head = stream.read(6)
    if head.startswith(b"\x1f\x8b"):
        return gzip.open(archive, "rb")  # type: ignore[return-value]
    if head.startswith(b"\xfd7zXZ\x00"):
        return lzma.open(archive, "rb")
    return archive.open("rb")


class _BoundedHeader(tarfile.TarInfo):
    """A tar member whose extended header cannot fill the memory: those are read whole."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _BoundedHeader:
        """Parse a header block."""
        info = super().frombuf(buf, encoding, errors)
        if info.type not in (tarfile.DIRTYPE, *tarfile.REGULAR_TYPES) and info.size > LONGEST_HEADER:
            raise tarfile.ReadError(f"a header of {info.size:,} bytes")
        return info


class _Counted:
    """A stream that counts what is read through it: in a tar, members that are skipped come out as well."""

    def __init__(self, stream: IO[bytes], budget: _Budget) -> None:
        self.stream, self.budget = stream, budget

    def read(self, size: int = -1) -> bytes:
        """Read as the stream does."""
        chunk = self.stream.read(size)
        self.budget.written(len(chunk))
        return chunk


@contextmanager
def _damage_told(archive: Path) -> Iterator[None]:
    """Turn what the libraries raise for a damaged archive into one line."""
    try:
        yield
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, tarfile.TarError, zipfile.BadZipFile) as error:
        what = "is cut short" if isinstance(error, EOFError) else f"is damaged ({error})"
        raise XalignError(f"{archive}: the archive {what}; fetch it again") from None
    except (NotImplementedError, RuntimeError) as error:  # zip methods that Python does not know
        raise XalignError(f"{archive}: cannot be unpacked here ({error})") from None
