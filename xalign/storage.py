"""Files that are either whole or absent: atomic writes, digests, and one lock for a directory.

Everything that a run leaves behind goes through this module, so that a process killed at any
instant leaves the previous version of a file or the next one, never a half of either.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from xalign.errors import UsageError, XalignError
from xalign.full_disk import naming_full_disk

CHUNK_BYTES = 1 << 20
PARTIAL = ".partial-"


def digest_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    total = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            total.update(chunk)
    return total.hexdigest()


def digest_json(value: Any) -> str:
    """SHA-256 of a JSON-serialisable value, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def sync_directory(directory: Path) -> None:
    """Flush a directory's entries, so that a rename inside it survives a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` atomically."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Replace `path` by `content` atomically: temporary name, fsync, rename.

    Raises:
        XalignError: the disk is full.
    """
    partial = path.with_name(f"{PARTIAL}{path.name}")
    with naming_full_disk(path):
        with partial.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        partial.rename(path)
        sync_directory(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Replace `path` by `value` as indented JSON, atomically. A NaN is refused: JSON has none."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        XalignError: the file cannot be read or is not JSON, with its position.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise XalignError(f"{path}: no such file") from None
    except OSError as error:
        raise XalignError(f"{path}: cannot be read ({error.strerror})") from None
    except RecursionError:
        raise XalignError(f"{path}:1: not valid JSON (nested too deeply); delete it or restore it") from None
    except ValueError as error:  # JSONDecodeError, UnicodeDecodeError, or a number of thousands of digits
        line = getattr(error, "lineno", 1)
        raise XalignError(f"{path}:{line}: not valid JSON ({error}); delete it or restore it") from None


def read_record(path: Path, /, **fields: type | tuple[type, ...]) -> dict[str, Any]:
    """Read a JSON object and hold some of its fields against the types that they must have.

    Raises:
        XalignError: the file is missing, is no JSON object, or lacks a field of that type.
    """
    record = read_json(path)
    if not isinstance(record, dict):
        raise XalignError(f"{path}: not a record (no JSON object); restore it, or make it again with --overwrite")
    wrong = [name for name, kind in fields.items() if not isinstance(record.get(name), kind)]
    if wrong:
        raise XalignError(f"{path}: lacks {', '.join(wrong)}; restore it, or make it again with --overwrite")
    return record


@contextmanager
def naming_damage(where: Path) -> Iterator[None]:
    """Turn what records of an unforeseen shape raise into one line that names them. For blocks that only read.

    Raises:
        XalignError: the block met a field that is absent or of another kind than xalign writes.
    """
    try:
        yield
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError) as error:
        what = f"{type(error).__name__}: {error}"[:200]
        raise XalignError(
            f"{where}: damaged records ({what}); restore them, or make them again with --overwrite"
        ) from error


@contextmanager
def replacing_directory(final: Path) -> Iterator[Path]:
    """Yield an empty directory that takes the name `final`, fsynced, once the block ends; an error leaves nothing."""
    partial = final.with_name(f"{PARTIAL}{final.name}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with naming_full_disk(final):
            partial.mkdir(parents=True)
            yield partial
            for path in sorted(partial.rglob("*")):
                if path.is_file():
                    with path.open("rb") as stream:
                        os.fsync(stream.fileno())
                else:
                    sync_directory(path)
            sync_directory(partial)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)  # a full disk needs its room back
        raise
    replaced = final.with_name(f"{PARTIAL}replaced-{final.name}")
    shutil.rmtree(replaced, ignore_errors=True)
    if final.exists():
        final.rename(replaced)  # deleting it in place would leave half of it under its name for a while
    partial.rename(final)
    sync_directory(final.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def remove_partials(directory: Path) -> None:
    """Delete what an interrupted write left behind."""
    for path in directory.glob(f"{PARTIAL}*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


@contextmanager
def locked(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold an exclusive ``flock`` on the file `path`, which is created if missing.

    Raises:
        UsageError: another process holds it, and `wait` is false.
    """
    with path.open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise UsageError(
                f"{path.parent}: another process is writing here; wait for it, or choose another --output"
            ) from None
        yield


def cache_directory() -> Path:
    """``$XALIGN_CACHE``, or ``~/.cache/xalign``: derived files that can be made again at any time."""
    directory = Path(os.environ.get("XALIGN_CACHE") or Path.home() / ".cache" / "xalign")
    directory.mkdir(parents=True, exist_ok=True)
    return directory
