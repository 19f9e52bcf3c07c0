"""Unpacking: what is wanted arrives, and nothing that an archive holds leaves the folder or fills the disk."""

from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from xalign.data.fetching.unpack import Limits, is_safe, unpack
from xalign.errors import XalignError

TEXT = b"Ein Satz.\n" * 50


def tar(path: Path, *members: tuple[str | tarfile.TarInfo, bytes], mode: str = "w:gz") -> Path:
    """A tar archive of files, or of members as they are given."""
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for member, content in members:
            info = member if isinstance(member, tarfile.TarInfo) else tarfile.TarInfo(member)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def zipped(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    """A zip archive of files, or of members as they are given."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members:
            archive.writestr(member, content, zipfile.ZIP_DEFLATED)
    return path


def special(kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo("member")
    info.type, info.linkname = kind, target
    return info


def zip_link(target: str) -> tuple[zipfile.ZipInfo, bytes]:
    info = zipfile.ZipInfo("member")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info, target.encode()


def everything(name: str) -> str:
    return name


def refused(archive: Path, tmp_path: Path, limits: Limits | None = None) -> str:
    """The one line for an archive that is not unpacked; nothing has been written outside of the folder."""
    folder = tmp_path / "inner" / "folder"
    folder.mkdir(parents=True)
    before = {path for path in tmp_path.rglob("*") if folder not in path.parents}
    with pytest.raises(XalignError) as error:
        unpack(archive, folder, everything, limits)
    assert {path for path in tmp_path.rglob("*") if folder not in path.parents} == before
    assert "\n" not in str(error.value) and str(archive) in str(error.value)
    return str(error.value)


MAKERS: tuple[Callable[..., Path], ...] = (tar, zipped)


@pytest.mark.parametrize("make", MAKERS)
def test_wanted_members_arrive_under_the_paths_given_to_them(make: Callable[..., Path], tmp_path: Path) -> None:
    archive = make(tmp_path / "a", ("./top/a b (1).txt", TEXT), ("top/қазақ.txt", b"x"), ("top/unwanted", b"y"))
    folder = tmp_path / "folder"
    folder.mkdir()
    place = {"top/a b (1).txt": "deep/er/a.txt", "top/қазақ.txt": "k.txt"}.get
    assert unpack(archive, folder, place) == ["deep/er/a.txt", "k.txt"]
    assert (folder / "deep/er/a.txt").read_bytes() == TEXT
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == ["a.txt", "k.txt"]


@pytest.mark.parametrize("mode", ["w", "w:xz"])
def test_tar_archives_may_be_plain_or_of_another_compression(mode: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert unpack(tar(tmp_path / "a", ("x", TEXT), mode=mode), tmp_path / "folder", everything) == ["x"]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    "name",
    [
        "/etc/evil",
        "../evil",
        "a/../../evil",
        "a/./b",
        "a//b",
        "a\\..\\evil",
        "C:evil",
        "bell\x07",
        "\u202egpj.exe",
        "x" * 300,
    ],
)
def test_a_name_that_leaves_the_folder_or_reads_differently_elsewhere_is_refused(
    make: Callable[..., Path], name: str, tmp_path: Path
) -> None:
    assert "no safe name" in refused(make(tmp_path / "a", ("fine", b"1"), (name, b"2")), tmp_path)


def test_a_name_is_safe_or_not() -> None:
    assert is_safe("UD_Greek-GDT/el_gdt-ud-test.conllu") and is_safe("日本語 (1).txt") and is_safe("..a/b..")
    assert not any(map(is_safe, ("", ".", "..", "a/", "/a", "a\0b", "a\nb", "a\udcff")))


@pytest.mark.parametrize(
    "member",
    [
        special(tarfile.SYMTYPE, "../../evil"),
        special(tarfile.SYMTYPE, "/etc/passwd"),
        special(tarfile.LNKTYPE, "../../evil"),
        special(tarfile.CHRTYPE),
        special(tarfile.BLKTYPE),
        special(tarfile.FIFOTYPE),
    ],
    ids=["symlink", "absolute-symlink", "hardlink", "character-device", "block-device", "fifo"],
)
def test_links_and_devices_in_a_tar_are_refused(member: tarfile.TarInfo, tmp_path: Path) -> None:
    assert "link or a device" in refused(tar(tmp_path / "a", (member, b"")), tmp_path)


def test_links_in_a_zip_are_refused(tmp_path: Path) -> None:
    assert "link or a device" in refused(zipped(tmp_path / "a", zip_link("../../evil")), tmp_path)


def test_a_place_outside_of_the_folder_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(XalignError, match="leave its folder"):
        unpack(tar(tmp_path / "a", ("x", b"")), tmp_path / "folder", lambda name: f"../{name}")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("names", [("a", "a"), ("a", "./a"), ("é", "e\u0301"), ("a", "a/b")])
def test_two_members_in_one_place_are_refused(
    make: Callable[..., Path], names: tuple[str, str], tmp_path: Path
) -> None:
    line = refused(make(tmp_path / "a", *((name, b"x") for name in names)), tmp_path)
    assert "occurs twice" in line or "stands where another" in line


@pytest.mark.parametrize("make", MAKERS)
def test_more_than_the_limits_allow_is_refused(make: Callable[..., Path], tmp_path: Path) -> None:
    bomb = make(tmp_path / "bomb", ("zeros", bytes(4 << 20)))
    many = make(tmp_path / "many", *((f"m{number}", b"") for number in range(30)))
    for number, (archive, limits, said) in enumerate(
        (
            (bomb, Limits(ratio=100, ratio_from=1 << 20), "100 times its size"),
            (bomb, Limits(bytes=1 << 20, ratio=1e9), "more than 1,048,576 bytes"),
            (many, Limits(members=20), "more than 20 members"),
        )
    ):
        (tmp_path / str(number)).mkdir()
        assert said in refused(archive, tmp_path / str(number), limits)


def test_a_member_that_is_not_wanted_counts_where_it_must_be_read_past(tmp_path: Path) -> None:
    bomb = tar(tmp_path / "bomb", ("zeros", bytes(4 << 20)))
    (tmp_path / "folder").mkdir()
    with pytest.raises(XalignError, match="more than 1,048,576 bytes"):
        unpack(bomb, tmp_path / "folder", lambda _: None, Limits(bytes=1 << 20))


def test_an_extended_header_cannot_fill_the_memory(tmp_path: Path) -> None:
    header = tarfile.TarInfo("x")
    header.type = tarfile.XHDTYPE
    archive = tar(tmp_path / "a", (header, b"0" * (2 << 20)))
    assert "header of 2,097,152 bytes" in refused(archive, tmp_path)


def test_a_zip_that_lies_about_its_sizes_is_not_trusted(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a", ("x", TEXT * 100))
    content = bytearray(archive.read_bytes())
    directory = content.index(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = struct.pack("<I", 10)  # its size in the directory
    archive.write_bytes(content)
    refused(archive, tmp_path)


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
@pytest.mark.parametrize("make", MAKERS)
def test_a_truncated_archive_is_told_as_such(make: Callable[..., Path], kept: float, tmp_path: Path) -> None:
    whole = make(tmp_path / "a", *((f"m{n}", bytes(str(n) * 999, "ascii") + TEXT) for n in range(20))).read_bytes()
    archive = tmp_path / "cut"
    archive.write_bytes(whole[: int(len(whole) * kept)])
    line = refused(archive, tmp_path)
    assert "cut short" in line or "damaged" in line


def test_a_gzip_whose_checksum_is_wrong_is_damaged(tmp_path: Path) -> None:
    archive = tar(tmp_path / "a", ("x", TEXT))
    archive.write_bytes(archive.read_bytes()[:-8] + bytes(8))
    assert "damaged" in refused(archive, tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>not found</html>", gzip.compress(b"text, no tar" * 100, mtime=0)],
    ids=["nothing", "a page", "compressed text"],
)
def test_what_is_no_archive_is_told_as_such(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(content)
    assert "damaged" in refused(tmp_path / "a", tmp_path)
