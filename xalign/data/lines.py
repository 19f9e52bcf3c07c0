"""Lines of a text file, plain or compressed, with the damage that downloads show reported by file and line.

A line ends at "\\n" and nowhere else: Unicode's other separators (U+2028, U+0085, form feed …) occur inside
sentences of real corpora, and a reader that splits there shifts every following line of a parallel file.
"""

from __future__ import annotations

import gzip
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path

from xalign.errors import UsageError, XalignError

COMPRESSED: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.decompress, ".xz": lzma.decompress}


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file (``.gz`` and ``.xz`` are unpacked), without line ends and byte order mark.

    Raises:
        UsageError: the file does not exist or cannot be opened.
        XalignError: it is empty, cut short, not UTF-8, or holds a NUL character (with the line).
    """
    return split_lines(_unpacked(path), path)


def split_lines(content: bytes, path: Path) -> list[str]:
    """The lines of what was read from `path`, which is named in errors.

    Raises:
        XalignError: as `read_lines`.
    """
    if not content:
        raise XalignError(f"{path}: the file is empty; restore it or remove it")
    try:
        text = content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = _line_at(content, error.start)
        byte = content[error.start]
        raise XalignError(f"{path}:{line}: not UTF-8 (byte 0x{byte:02x}); convert the file to UTF-8") from None
    if b"\0" in content:
        line = _line_at(content, content.index(b"\0"))
        raise XalignError(f"{path}:{line}: a NUL character; the file is damaged or not text")
    lines = text.removesuffix("\n").split("\n")
    return [line.removesuffix("\r") for line in lines] if "\r" in text else lines


def _line_at(content: bytes, position: int) -> int:
    """Number, from 1, of the line that holds the byte at `position`."""
    return content.count(b"\n", 0, position) + 1


def _unpacked(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from None
    unpack = COMPRESSED.get(path.suffix)
    if unpack is None:
        return content
    try:
        return unpack(content)
    except EOFError:
        raise XalignError(f"{path}: the compressed file is cut short; download it again") from None
    except (OSError, zlib.error, lzma.LZMAError) as error:
        raise XalignError(f"{path}: not a readable {path.suffix} file ({error}); download it again") from None
