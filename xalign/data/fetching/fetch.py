"""Fetch data sets into a data directory: download, verify, unpack, put in place, record.

    from xalign.data.fetching.fetch import fetch
    fetch(["opus100", "sib200"], Path("data"), pairs=["de-en"], languages=[find("deu")])

A call that was stopped, or that failed for some files, is repeated as it was: what is there is not fetched again.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from xalign.data.fetching.arrange import move_in
from xalign.data.fetching.catalogue import UD_DEFAULT, at_mirror
from xalign.data.fetching.connection import UnreachableError, require_host
from xalign.data.fetching.download import AbsentError, Downloaded, Patience, download
from xalign.data.fetching.plan import Wanted, plan
from xalign.data.fetching.record import Entry, read_record, write_record
from xalign.data.fetching.unpack import Limits, unpack
from xalign.data.languages import Language
from xalign.errors import UsageError, XalignError
from xalign.storage import digest_file, locked

WORKPLACE = ".fetching"  # in the data directory: renames stay within one file system

Report = Callable[[Wanted, int, int | None], None]
"""Called while a file arrives: which one, bytes here, bytes in all if known."""


@dataclass(frozen=True)
class Fetched:
    """What became of one file: `state` is fetched, there, absent (the publisher has none) or failed."""

    wanted: Wanted
    state: str
    files: tuple[str, ...] = ()
    bytes: int = 0
    error: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        source = self.wanted.source
        about = {"source": source.name, "url": self.wanted.url, "licence": source.licence}
        return about | {"state": self.state, "files": list(self.files), "bytes": self.bytes, "error": self.error}


def raise_failures(done: Sequence[Fetched]) -> None:
    """Raise for the files that could not be fetched, if there are any.

    Raises:
        XalignError: the one failure, or how many there were.
    """
    failed = [each.error for each in done if each.state == "failed"]
    if len(failed) == 1:
        raise XalignError(failed[0])
    if failed:
        raise XalignError(f"{len(failed)} of {len(done)} files could not be fetched; the same call tries them again")


def fetch(
    what: Sequence[str],
    data: Path,
    *,
    pairs: Sequence[str] = (),
    languages: Sequence[Language] = (),
    treebanks: Sequence[str] = (),
    release: str = UD_DEFAULT,
    mirror: str | None = None,
    renew: bool = False,
) -> list[Fetched]:
    """Fetch data sets by their names in the catalogue: `plan`, then `bring`, which say what is returned and raised."""
    wanted = plan(what, pairs=pairs, languages=languages, treebanks=treebanks, release=release)
    return bring(wanted, data, mirror=mirror, renew=renew)


def bring(
    wanted: Sequence[Wanted],
    data: Path,
    *,
    mirror: str | None = None,
    renew: bool = False,
    report: Report | None = None,
    patience: Patience | None = None,
    limits: Limits | None = None,
) -> list[Fetched]:
    """Download what was planned and put it in place.

    Args:
        data: the data directory; made if it does not exist.
        mirror: an address below which the publishers' files stand by host and path.
        renew: fetch again what is there, and accept that the publisher changed it.

    Returns:
        one item for each file; look for `failed`: the others are in place.

    Raises:
        UsageError: something contradicts what is in `data`; nothing was written.
        UnreachableError: no connection, within seconds.
    """
    for one in wanted:
        _refuse_another_corpus(one, data)
    if data.exists() and not data.is_dir():
        raise UsageError(f"{data}: not a folder; choose another --data")
    record = read_record(data)
    missing = [one for one in wanted if one.url and (renew or not _is_there(one, data, record))]
    for url in {urlsplit(at).netloc: at for at in (at_mirror(one.url, mirror) for one in missing)}.values():
        require_host(url)
    workplace = data / WORKPLACE
    try:
        workplace.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{data}: cannot be written ({error.strerror}); choose another --data") from None
    done: list[Fetched] = []
    with locked(workplace / "lock"):
        record = read_record(data)  # again: another call may have written meanwhile
        for one in wanted:
            try:
                done.append(_fetch_one(one, data, record, mirror, renew, report, patience, limits))
            except UnreachableError:
                raise
            except XalignError as error:
                done.append(Fetched(one, "failed", error=str(error)))
    return done


def _fetch_one(
    wanted: Wanted,
    data: Path,
    record: dict[str, Entry],
    mirror: str | None,
    renew: bool,
    report: Report | None,
    patience: Patience | None,
    limits: Limits | None,
) -> Fetched:
    if not wanted.url:
        return Fetched(wanted, "absent")
    before = record.get(wanted.url)
    if before and not renew and _is_there(wanted, data, record):
        return Fetched(wanted, "there", tuple(before.files))
    workplace = data / WORKPLACE
    target = workplace / hashlib.sha256(wanted.url.encode()).hexdigest()[:16]
    expected = wanted.sha256 or (before.sha256 if before and not renew else "")
    try:
        got = download(
            at_mirror(wanted.url, mirror),
            target,
            sha256=expected,
            watch=(lambda here, total: report(wanted, here, total)) if report else None,
            patience=patience,
        )
    except AbsentError:
        if wanted.optional:
            return Fetched(wanted, "absent")
        raise
    staging = workplace / f"{target.name}-unpacked"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    try:
        paths = _stage(wanted, got, staging, limits)
        files = {
            path: {"sha256": digest_file(staging / path), "bytes": (staging / path).stat().st_size} for path in paths
        }
        if not renew:
            _refuse_other_bytes(files, data, before)
        move_in(staging, data, paths)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        target.unlink(missing_ok=True)
    kept = before if before and before.sha256 == got.sha256 else None
    record[wanted.url] = Entry(
        source=wanted.source.name,
        url=wanted.url,
        selection=sorted({*(kept.selection if kept else ()), *wanted.selection}),
        sha256=got.sha256,
        stated=bool(wanted.sha256),
        bytes=got.bytes,
        version=got.version,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        licence=wanted.source.licence,
        licence_url=wanted.source.licence_url,
        citation=list(wanted.source.cite),
        files={**(kept.files if kept else {}), **files},
    )
    write_record(data, record)
    return Fetched(wanted, "fetched", tuple(paths), got.bytes)


def _refuse_other_bytes(files: dict[str, dict[str, Any]], data: Path, before: Entry | None) -> None:
    """What somebody put or changed there is not replaced without being told to; equal bytes are adopted."""
    for path, noted in files.items():
        if (data / path).is_file() and _noted(data / path) != noted:
            known = before is not None and path in before.files
            what = "was changed since it was fetched" if known else "is there already, with other bytes"
            raise XalignError(f"{data / path}: {what}; --renew replaces it")


def _is_there(wanted: Wanted, data: Path, record: dict[str, Entry]) -> bool:
    return wanted.url in record and record[wanted.url].has(data, wanted.selection)


def _noted(path: Path) -> dict[str, Any]:
    return {"sha256": digest_file(path), "bytes": path.stat().st_size}


def _stage(wanted: Wanted, got: Downloaded, staging: Path, limits: Limits | None) -> list[str]:
    """Bring the wanted files into `staging`, under their paths below the data directory."""
    if isinstance(wanted.place, str):
        if got.bytes == 0:
            raise XalignError(f"{wanted.url}: the file is empty; nothing was put in place")
        (staging / wanted.place).parent.mkdir(parents=True)
        got.path.rename(staging / wanted.place)
        return [wanted.place]
    try:
        paths = unpack(got.path, staging, wanted.place, limits)
    except XalignError as error:  # the workplace's name says nothing to people
        raise XalignError(str(error).replace(str(got.path), wanted.url)) from None
    for path in wanted.required:
        if not any(found == path or (path.endswith("/") and found.startswith(path)) for found in paths):
            raise XalignError(f"{wanted.url}: the archive has no {path.rstrip('/')}; nothing was put in place")
    return paths


def _refuse_another_corpus(wanted: Wanted, data: Path) -> None:
    """A pair's folder holds one corpus: with a second one the loaders would not know which to read."""
    for path in wanted.required:
        if path.startswith("parallel/"):
            stem = Path(path).name.partition(".")[0]
            folder = (data / path).parent
            others = sorted(each.name for each in folder.glob("*") if each.is_file() and not each.name.startswith(stem))
            if others:
                raise UsageError(f"{folder}: holds another corpus ({others[0]}); choose another --data, or remove it")
