"""Downloads: whole and verified or not there, resumed where they broke off, and patient with servers."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback import Site, serving

from xalign.data.fetching.connection import UnreachableError
from xalign.data.fetching.download import AbsentError, Patience, download
from xalign.errors import XalignError

CONTENT = bytes(range(256)) * 4000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
OTHER = CONTENT[::-1]
URL = "https://example.org/a/corpus.zip"
ONCE = Patience(attempts=1)
QUICK = Patience(attempts=3, first_wait=0.01)


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as running:
        running.add(URL, CONTENT)
        yield running


def address(site: Site) -> str:
    return site.address + site.path(URL)


def test_a_file_arrives_whole_and_leaves_nothing_beside_it(site: Site, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    got = download(address(site), tmp_path / "x", sha256=DIGEST, watch=lambda here, total: seen.append((here, total)))
    assert (got.path.read_bytes(), got.sha256, got.bytes) == (CONTENT, DIGEST, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT)) and [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_cut_transfer_keeps_its_part_and_the_next_call_asks_for_the_rest_only(site: Site, tmp_path: Path) -> None:
    site.cut[site.path(URL)] = [300_000]
    with pytest.raises(XalignError, match=r"broke off at 300,000 of 1,024,000 bytes.*300,000 bytes are kept"):
        download(address(site), tmp_path / "x", patience=ONCE)
    assert (tmp_path / "x.part").stat().st_size == 300_000 and not (tmp_path / "x").exists()
    assert download(address(site), tmp_path / "x").path.read_bytes() == CONTENT
    assert site.asked[-1] == (site.path(URL), "bytes=300000-", site.tags[site.path(URL)])


def test_a_transfer_that_breaks_off_again_and_again_goes_on_within_one_call(site: Site, tmp_path: Path) -> None:
    site.cut[site.path(URL)] = [100_000, 200_000]
    assert download(address(site), tmp_path / "x", patience=QUICK).path.read_bytes() == CONTENT
    assert [asked[1] for asked in site.asked] == [None, "bytes=100000-", "bytes=300000-"]


def test_a_server_that_ignores_ranges_sends_all_again(site: Site, tmp_path: Path) -> None:
    site.cut[site.path(URL)], site.ranges = [300_000], False
    assert download(address(site), tmp_path / "x", patience=QUICK).path.read_bytes() == CONTENT


def test_a_file_that_changed_in_between_is_not_mixed_with_its_old_part(site: Site, tmp_path: Path) -> None:
    site.cut[site.path(URL)] = [300_000]
    with pytest.raises(XalignError):
        download(address(site), tmp_path / "x", patience=ONCE)
    site.add(URL, OTHER)
    assert download(address(site), tmp_path / "x").path.read_bytes() == OTHER


@pytest.mark.parametrize("tag", [None, 'W/"weak"'])
def test_without_a_mark_of_the_version_a_part_is_used_only_if_the_digest_can_tell(
    site: Site, tmp_path: Path, tag: str | None
) -> None:
    site.add(URL, CONTENT, tag=tag)
    site.cut[site.path(URL)] = [300_000]
    assert download(address(site), tmp_path / "a", patience=QUICK).path.read_bytes() == CONTENT
    assert site.asked[-1][1] is None
    site.cut[site.path(URL)] = [300_000]
    assert download(address(site), tmp_path / "b", sha256=DIGEST, patience=QUICK).path.read_bytes() == CONTENT
    assert site.asked[-1][1] == "bytes=300000-"
    site.cut[site.path(URL)] = [300_000]
    with pytest.raises(XalignError):
        download(address(site), tmp_path / "c", sha256=DIGEST, patience=ONCE)
    part = tmp_path / "c.part"
    part.write_bytes(b"x" * 300_000)  # of another version
    assert download(address(site), tmp_path / "c", sha256=DIGEST).path.read_bytes() == CONTENT


def test_a_part_longer_than_the_file_starts_over(site: Site, tmp_path: Path) -> None:
    site.cut[site.path(URL)] = [300_000]
    with pytest.raises(XalignError):
        download(address(site), tmp_path / "x", patience=ONCE)
    (tmp_path / "x.part").write_bytes(CONTENT + b"more")
    assert download(address(site), tmp_path / "x", patience=QUICK).path.read_bytes() == CONTENT


def test_a_wrong_digest_leaves_nothing(site: Site, tmp_path: Path) -> None:
    with pytest.raises(XalignError, match=rf"SHA-256 is {DIGEST}, but 00.* was expected"):
        download(address(site), tmp_path / "x", sha256="00" * 32)
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_server_is_waited_out(site: Site, tmp_path: Path) -> None:
    site.answers[site.path(URL)] = [500, 503]
    assert download(address(site), tmp_path / "x", patience=QUICK).bytes == len(CONTENT)


def test_a_server_that_stays_broken_gets_one_line_after_the_last_attempt(site: Site, tmp_path: Path) -> None:
    site.answers[site.path(URL)] = [500] * 9
    with pytest.raises(XalignError, match=r"corpus\.zip: the server answers 500 .*, 3 times$"):
        download(address(site), tmp_path / "x", patience=QUICK)
    assert len(site.asked) == 3


@pytest.mark.parametrize(("code", "error"), [(404, AbsentError), (403, XalignError)])
def test_what_will_not_pass_is_asked_for_once(site: Site, tmp_path: Path, code: int, error: type[Exception]) -> None:
    site.answers[site.path(URL)] = [code]
    with pytest.raises(error, match=str(code)):
        download(address(site), tmp_path / "x", patience=QUICK)
    assert len(site.asked) == 1 and list(tmp_path.iterdir()) == []


def test_no_connection_is_told_in_seconds(tmp_path: Path) -> None:
    with serving() as gone:
        url = address(gone)
    began = time.monotonic()
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1: no connection; .*--mirror"):
        download(url, tmp_path / "x")
    assert time.monotonic() - began < 5
