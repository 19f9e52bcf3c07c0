"""One file over HTTP: whole and verified, or not there at all.

What has arrived stands in `<name>.part`, with the server's mark of that version (ETag or Last-Modified) beside it. A
later call asks for the rest on condition that the version is still the same; a server that ignores the question, or
has another version by now, sends the whole file again.
"""

from __future__ import annotations

import http.client
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from xalign.data.fetching.connection import require_host
from xalign.errors import XalignError
from xalign.storage import digest_file, read_json, sync_directory, write_json

CHUNK_BYTES = 1 << 18
READ_SECONDS = 30.0
TEMPORARY = (408, 425, 429, 500, 502, 503, 504)
LONGEST_WAIT = 60.0

Watch = Callable[[int, int | None], None]
"""Called with the bytes that are here and the bytes that there will be, if the server says."""


class AbsentError(XalignError):
    """The publisher has no such file."""


class _Cut(Exception):
    """A transfer that ended early, or a failure that may pass: worth another attempt."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True)
class Patience:
    """How often a failing transfer is tried, and the seconds before the second attempt; they double."""

    attempts: int = 4
    first_wait: float = 1.0
    read_seconds: float = READ_SECONDS


@dataclass(frozen=True)
class Downloaded:
    """A file that arrived: SHA-256 in hexadecimal, size in bytes, the server's mark of the version if it gave one."""

    path: Path
    sha256: str
    bytes: int
    version: str


def download(
    url: str, target: Path, *, sha256: str = "", watch: Watch | None = None, patience: Patience | None = None
) -> Downloaded:
    """Download `url` to `target`, going on from what an earlier call left in `<target>.part`.

    Args:
        sha256: the digest that it must have; empty if none is known.

    Raises:
        UnreachableError: no connection, found out within seconds.
        AbsentError: the server has no such file.
        XalignError: another answer, another digest, too little space, or no whole file in all attempts.
    """
    patience = patience or Patience()
    part = target.with_name(f"{target.name}.part")
    if target.is_file():  # a call that was stopped before it used the file
        if not sha256 or digest_file(target) == sha256:
            return Downloaded(target, digest_file(target), target.stat().st_size, "")
        target.unlink()
    require_host(url)
    # A known digest tells a wrong rest, so that one may be asked for from servers that mark no versions.
    resumed = _with_attempts(url, part, watch, patience, unmarked=bool(sha256))
    digest = digest_file(part)
    if sha256 and digest != sha256 and resumed:  # the two ends may be of different versions
        _remove(part)
        _with_attempts(url, part, watch, patience)
        digest = digest_file(part)
    version = _read_version(part, url) or ""
    if sha256 and digest != sha256:
        _remove(part)
        raise XalignError(
            f"{url}: SHA-256 is {digest}, but {sha256} was expected; nothing was kept: the publisher or somebody "
            "on the way changed the file"
        )
    size = part.stat().st_size
    with part.open("rb") as stream:
        os.fsync(stream.fileno())
    part.rename(target)
    sync_directory(target.parent)
    _remove(part)
    return Downloaded(target, digest, size, version)


def _with_attempts(url: str, part: Path, watch: Watch | None, patience: Patience, *, unmarked: bool = False) -> bool:
    """Bring `part` to its full length; whether some of it came from an earlier connection.

    Args:
        unmarked: go on from bytes of a version that the server did not mark.
    """
    resumed = False
    for attempt in range(1, patience.attempts + 1):
        try:
            return _transfer(url, part, watch, patience.read_seconds, unmarked) or resumed
        except _Cut as cut:
            if attempt == patience.attempts:
                kept = f"; {part.stat().st_size:,} bytes are kept, the next call goes on" if part.is_file() else ""
                raise XalignError(f"{url}: {cut}, {attempt} times{kept}") from None
            resumed = True
            time.sleep(min(max(patience.first_wait * 2 ** (attempt - 1), cut.wait), LONGEST_WAIT))
    raise AssertionError("unreachable")


def _transfer(url: str, part: Path, watch: Watch | None, seconds: float, unmarked: bool) -> bool:
    """One connection. True if it went on from what was there."""
    version = _read_version(part, url)
    there = part.stat().st_size if part.is_file() and (version or (unmarked and version is not None)) else 0
    headers = {"User-Agent": "xalign", "Accept-Encoding": "identity"}
    if there:
        headers |= {"Range": f"bytes={there}-"} | ({"If-Range": version} if version else {})
    try:
        with build_opener(_SafeRedirects).open(Request(url, headers=headers), timeout=seconds) as answer:
            if answer.headers.get("Content-Encoding", "identity") != "identity":
                raise XalignError(f"{url}: the server sends it recoded ({answer.headers['Content-Encoding']})")
            resumes = answer.status == 206 and _starts_at(answer.headers) == there
            if answer.status == 206 and not resumes:
                _remove(part)
                raise _Cut("the server sent another range than was asked for")
            length = answer.headers.get("Content-Length", "")
            total = (there if resumes else 0) + int(length) if length.isdigit() else None
            _require_space(url, part, (total or 0) - (there if resumes else 0))
            if not resumes:
                _remove(part)  # first: a crash between the two must not leave old bytes under the new version
                _write_version(part, url, answer.headers)
            _save(answer, part, resumes, total, watch)
            return resumes
    except HTTPError as error:
        raise _refused(url, error, part) from None
    except (URLError, OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise _Cut(f"the transfer broke off ({' '.join(str(reason).split()) or type(reason).__name__})") from None


def _save(answer: http.client.HTTPResponse, part: Path, resumes: bool, total: int | None, watch: Watch | None) -> None:
    with part.open("ab" if resumes else "wb") as stream:
        while chunk := answer.read(CHUNK_BYTES):
            stream.write(chunk)
            if watch:
                watch(stream.tell(), total)
        here = stream.tell()
    if total is not None and here > total:
        _remove(part)
        raise _Cut(f"{here:,} bytes came where {total:,} were announced")
    if total is not None and here < total:
        raise _Cut(f"the transfer broke off at {here:,} of {total:,} bytes")


def _refused(url: str, error: HTTPError, part: Path) -> Exception:
    """What to raise for an answer that is no file."""
    if error.code == 416:  # asked for a rest that there is not: the file is shorter now, or complete
        _remove(part)
        return _Cut("the server has no such range")
    if error.code in TEMPORARY:
        wait = error.headers.get("Retry-After", "")
        return _Cut(f"the server answers {error.code} {error.reason}", float(wait) if wait.isdigit() else 0.0)
    if error.code in (404, 410):
        return AbsentError(f"{url}: {error.code}, there is no such file")
    return XalignError(f"{url}: the server answers {error.code} {error.reason}")


def _starts_at(headers: Message) -> int:
    """The first byte of a partial answer; -1 if it does not say."""
    unit, _, rest = headers.get("Content-Range", "").partition(" ")
    first = rest.partition("-")[0]
    return int(first) if unit == "bytes" and first.isdigit() else -1


def _require_space(url: str, part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise XalignError(f"{url}: {needed / 1e9:.1f} GB to download, {free / 1e9:.1f} GB free at {part.parent}")


def _version_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _write_version(part: Path, url: str, headers: Message) -> None:
    """Note which version the bytes of `part` are of; a weak ETag does not promise equal bytes."""
    tag = headers.get("ETag", "")
    version = tag if tag and not tag.startswith("W/") else headers.get("Last-Modified", "")
    write_json(_version_file(part), {"url": url, "version": version})


def _read_version(part: Path, url: str) -> str | None:
    """The version of what stands in `part`: empty if the server gave none, None if it is not of `url`."""
    try:
        noted = read_json(_version_file(part))
        return str(noted["version"]) if noted["url"] == url else None
    except (XalignError, KeyError, TypeError):
        return None


def _remove(part: Path) -> None:
    part.unlink(missing_ok=True)
    _version_file(part).unlink(missing_ok=True)


class _SafeRedirects(HTTPRedirectHandler):
    """Follow redirects, but never from https to anything else."""

    def redirect_request(  # type: ignore[no-untyped-def]
        self, req: Request, fp, code: int, msg: str, headers, newurl: str
    ) -> Request | None:
        if req.type == "https" and urlsplit(newurl).scheme != "https":
            raise XalignError(f"{req.full_url}: redirected to an unprotected address; refused")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
