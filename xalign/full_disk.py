"""A disk without room, in whichever library's words, as one line."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xalign.errors import XalignError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# numpy, safetensors (Rust) and torch each have their own words for a write that was cut short.
WORDS = ("requested and", *(f"os error {number}" for number in NO_ROOM), "PytorchStreamWriter", "file write failed")


def is_full(error: BaseException) -> bool:
    """Whether an error says that the disk, or the user's share of it, is full."""
    return (isinstance(error, OSError) and error.errno in NO_ROOM) or any(words in str(error) for words in WORDS)


@contextmanager
def naming_full_disk(path: Path) -> Iterator[None]:
    """Turn what a write to `path` raises when there is no room for it into one line.

    Raises:
        XalignError: the disk is full.
    """
    try:
        yield
    except Exception as error:
        if not is_full(error):
            raise
        why = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise XalignError(
            f"{path}: cannot be written ({why}); what was saved before is whole: make room, then continue with --resume"
        ) from None
