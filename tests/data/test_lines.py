"""Reading lines: what ends a line, and what damage is reported where."""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from xalign.data.lines import read_lines
from xalign.errors import UsageError, XalignError


def test_windows_line_ends_and_byte_order_mark_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes("\ufeffalpha\r\nbeta\r\n".encode())
    assert read_lines(path) == ["alpha", "beta"]


def test_only_newline_ends_a_line(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    odd = "one\u2028two\u2029three\x85four\x0bfive\x0csix\x1cseven"
    path.write_bytes(f"{odd}\nlast".encode())
    assert read_lines(path) == [odd, "last"]


def test_empty_lines_are_kept_inside_and_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(b"\na\n\n")
    assert read_lines(path) == ["", "a", ""]


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress)])
def test_compressed_files_read_like_plain_ones_and_truncation_is_reported(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / f"text.txt{suffix}"
    packed = pack("\n".join(f"line {n * n}" for n in range(500)).encode())
    path.write_bytes(packed)
    assert read_lines(path)[-1] == "line 249001"
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(XalignError, match=rf"text\.txt\{suffix}: .*download it again"):
        read_lines(path)


def test_a_file_that_is_not_gzip_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "text.gz"
    path.write_bytes(b"plain words")
    with pytest.raises(XalignError, match=r"text\.gz: not a readable \.gz file"):
        read_lines(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"good\nbad \xff byte\n", r"text\.txt:2: not UTF-8 \(byte 0xff\)"),
        ("zwei Wörter".encode("utf-16"), r"text\.txt:1: not UTF-8"),
        (b"good\ngood\nnul \0\n", r"text\.txt:3: a NUL character"),
        (b"", r"text\.txt: the file is empty"),
    ],
)
def test_damage_is_reported_with_file_and_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    with pytest.raises(XalignError, match=message):
        read_lines(path)


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent\.txt: cannot be read \(No such file"):
        read_lines(tmp_path / "absent.txt")
