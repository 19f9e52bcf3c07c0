"""Fetching: what the publishers' archives hold becomes what the loaders read, once, whole, verified and recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import publishers
import pytest
from loopback import Site, serving

from xalign.data.dictionaries import load_dictionary
from xalign.data.fetching import catalogue as c
from xalign.data.fetching import fetch as fetching
from xalign.data.fetching.connection import UnreachableError
from xalign.data.fetching.download import Patience
from xalign.data.fetching.fetch import Fetched, bring, fetch
from xalign.data.fetching.plan import plan
from xalign.data.fetching.record import changed_files, read_record
from xalign.data.flores import load_flores, load_metadata
from xalign.data.languages import find
from xalign.data.layout import DataDirectory
from xalign.data.parallel import read_pairs
from xalign.data.topics import load_topics
from xalign.data.treebank import load_treebank
from xalign.errors import UsageError, XalignError

GERMAN, ENGLISH, KAZAKH = find("deu"), find("eng"), find("kaz")
PATIENCE = Patience(attempts=2, first_wait=0.01)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """The publishers, with releases and digests of what this server has."""
    monkeypatch.setattr(c, "FLORES_200_SHA256", "")
    monkeypatch.setitem(c.UD_RELEASES, c.UD_DEFAULT, c.Release("1-0000"))
    with serving() as running:
        publishers.publish(running)
        yield running


def get(site: Site, data: Path, *what: str, renew: bool = False, **options: Any) -> dict[str, Fetched]:
    """Fetch from the loopback server; by label."""
    done = bring(plan(what, **options), data, mirror=site.address, renew=renew, patience=PATIENCE)
    return {each.wanted.label: each for each in done}


def files(data: Path) -> list[str]:
    return sorted(
        str(path.relative_to(data)) for path in data.rglob("*") if path.is_file() and ".fetch" not in str(path)
    )


def test_parallel_corpora_are_read_by_the_loader(site: Site, tmp_path: Path) -> None:
    get(site, tmp_path, "parallel", pairs=["en-de", "kk-ja"])
    data = DataDirectory(tmp_path)
    assert data.available_pairs() == ["de-en", "ja-kk"]
    for pair in ("de-en", "ja-kk"):
        first, second = pair.split("-")
        _, pairs = read_pairs(data, pair)
        assert list(pairs) == list(zip(publishers.LINES[first], publishers.LINES[second], strict=True))
    assert files(tmp_path / "parallel/ja-kk") == ["MultiCCAligned.ja-kk.ja", "MultiCCAligned.ja-kk.kk"]


def test_a_pair_with_a_test_set_only_comes_out_of_their_common_archive(site: Site, tmp_path: Path) -> None:
    get(site, tmp_path, "opus100", pairs=["de-fr"])
    assert files(tmp_path / "parallel") == ["de-fr/opus.de-fr-test.de", "de-fr/opus.de-fr-test.fr"]


@pytest.mark.parametrize("what", ["ud", "ud-treebanks"])
def test_treebanks_are_read_by_the_loader(site: Site, tmp_path: Path, what: str) -> None:
    done = get(site, tmp_path, what, languages=[GERMAN, KAZAKH], treebanks=["French-GSD"])
    assert not [each.error for each in done.values() if each.state == "failed"]
    data = DataDirectory(tmp_path)
    assert [each.code for each in data.treebank_languages("test")] == ["deu", "fra", "kaz"]
    assert [each.code for each in data.treebank_languages("train")] == ["deu", "kaz"]
    assert load_treebank(data.treebank(KAZAKH, "train"))[0].words == ["Kazakh-KTB", "train"]
    assert (tmp_path / "ud/UD_German-GSD/LICENSE.txt").is_file() and not list(tmp_path.rglob("stats.xml"))


def test_a_whole_release_brings_all_treebanks(site: Site, tmp_path: Path) -> None:
    get(site, tmp_path, "ud")
    assert len(list((tmp_path / "ud").iterdir())) == len(publishers.TREEBANKS)


def test_topics_flores_and_dictionaries_are_read_by_their_loaders(site: Site, tmp_path: Path) -> None:
    get(site, tmp_path, "sib200", "flores200", "muse", languages=[GERMAN, ENGLISH])
    data = DataDirectory(tmp_path)
    assert [each.text for each in load_topics(data.topics(GERMAN, "train"))] == ["deu_Latn train 1", "deu_Latn train 2"]
    assert load_flores(data.flores(GERMAN, "devtest"))[0] == "Satz devtest 0."
    assert len(load_metadata(data.flores_metadata("dev"))) == 3
    assert [each.code for each in data.flores_languages("dev")] == ["deu", "eng"]
    assert load_dictionary(data.dictionaries()[ENGLISH, GERMAN]) == {"house": ["haus"], "dog": ["hund"]}


def test_all_that_was_fetched_is_recorded_with_licence_citation_and_digests(site: Site, tmp_path: Path) -> None:
    get(site, tmp_path, "opus100", "sib200", pairs=["de-en"], languages=[GERMAN])
    record = json.loads((tmp_path / "sources.json").read_text())
    assert record["version"] == 1 and len(record["downloads"]) == 4
    recorded = {name for entry in record["downloads"] for name in entry["files"]}
    assert recorded | {"sources.json"} == set(files(tmp_path))
    for entry in record["downloads"]:
        assert entry["licence"] and entry["licence_url"].startswith("https://") and entry["citation"]
        assert entry["url"].startswith("https://") and len(entry["sha256"]) == 64 and entry["bytes"] > 0
        assert entry["date"].endswith("+00:00")


def test_what_is_there_is_not_asked_for_again_even_without_a_network(site: Site, tmp_path: Path) -> None:
    get(site, tmp_path, "flores200", "sib200", languages=[GERMAN])
    asked = len(site.asked)
    again = get(site, tmp_path, "flores200", "sib200", languages=[GERMAN])
    assert {each.state for each in again.values()} == {"there"} and len(site.asked) == asked
    site.address = "http://127.0.0.1:9"
    get(site, tmp_path, "flores200", languages=[GERMAN])


def test_more_of_an_archive_is_added_to_what_is_there(site: Site, tmp_path: Path) -> None:
    get(site, tmp_path, "flores200", languages=[GERMAN])
    get(site, tmp_path, "flores200", languages=[ENGLISH])
    assert [each.code for each in DataDirectory(tmp_path).flores_languages("dev")] == ["deu", "eng"]
    [entry] = read_record(tmp_path).values()
    assert entry.selection == ["deu_Latn", "eng_Latn"] and len(entry.files) == 7
    assert get(site, tmp_path, "flores200", languages=[GERMAN, ENGLISH])["FLORES-200"].state == "there"


def test_a_file_that_was_deleted_is_fetched_again(site: Site, tmp_path: Path) -> None:
    get(site, tmp_path, "muse", pairs=["en-de"])
    (tmp_path / "muse/en-de.txt").unlink()
    assert changed_files(tmp_path) == [f"{tmp_path}/muse/en-de.txt: was fetched, but is gone; fetch muse again"]
    assert get(site, tmp_path, "muse", pairs=["en-de"])["MUSE en-de"].state == "fetched"
    assert changed_files(tmp_path) == []


def test_a_publisher_who_changed_a_file_is_refused_until_it_is_accepted(site: Site, tmp_path: Path) -> None:
    get(site, tmp_path, "muse", pairs=["en-de"])
    (tmp_path / "muse/en-de.txt").unlink()
    site.add(c.MUSE.format(pair="en-de"), b"other words\n")
    failed = get(site, tmp_path, "muse", pairs=["en-de"])["MUSE en-de"]
    assert failed.state == "failed" and "was expected" in failed.error and files(tmp_path / "muse") == []
    assert get(site, tmp_path, "muse", pairs=["en-de"], renew=True)["MUSE en-de"].state == "fetched"
    assert (tmp_path / "muse/en-de.txt").read_bytes() == b"other words\n"


def test_what_somebody_else_put_there_is_replaced_only_when_told_to(site: Site, tmp_path: Path) -> None:
    (tmp_path / "muse").mkdir()
    (tmp_path / "muse/en-de.txt").write_bytes(b"my own\n")
    failed = get(site, tmp_path, "muse", pairs=["en-de"])["MUSE en-de"]
    assert "is there already, with other bytes; --renew" in failed.error
    assert (tmp_path / "muse/en-de.txt").read_bytes() == b"my own\n"
    (tmp_path / "muse/en-de.txt").write_bytes(site.files[site.path(c.MUSE.format(pair="en-de"))])
    assert get(site, tmp_path, "muse", pairs=["en-de"])["MUSE en-de"].state == "fetched"


def test_a_download_with_another_digest_than_is_stated_puts_nothing_in_place(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(c, "FLORES_200_SHA256", "00" * 32)
    done = get(site, tmp_path, "flores200", "muse", languages=[GERMAN])
    assert done["FLORES-200"].state == "failed" and done["MUSE en-de"].state == "fetched"
    assert not (tmp_path / "flores200_dataset").exists()


def test_an_interrupted_fetch_goes_on_with_the_next_call(site: Site, tmp_path: Path) -> None:
    path = site.path(c.OPUS_100.format(pair="de-en"))
    site.cut[path] = [100, 50]
    failed = get(site, tmp_path, "opus100", pairs=["de-en"])["OPUS-100 de-en"]
    assert "150 bytes are kept, the next call goes on" in failed.error and not (tmp_path / "parallel").exists()
    assert get(site, tmp_path, "opus100", pairs=["de-en"])["OPUS-100 de-en"].state == "fetched"
    assert site.asked[-1][1] == "bytes=150-" and len(files(tmp_path / "parallel")) == 6


def test_a_damaged_or_hostile_archive_leaves_nothing_and_is_named_by_its_address(site: Site, tmp_path: Path) -> None:
    url = c.OPUS_100.format(pair="de-en")
    folder = "opus-100-corpus/v1.0/supervised/de-en"
    hostile = publishers.tar_gz({f"{folder}/opus.de-en-train.de": b"x", "../evil": b"y"})
    for content, said in (
        (publishers.opus_100("de-en")[:-30], "cut short"),
        (hostile, "no safe name"),
        (publishers.opus_100("de-en", splits=("dev",)), "has no parallel/de-en/opus.de-en-train.de"),
    ):
        site.add(url, content)
        error = get(site, tmp_path, "opus100", pairs=["de-en"])["OPUS-100 de-en"].error
        assert error.startswith(url) and said in error
        assert files(tmp_path) == [] and sorted(path.name for path in (tmp_path / ".fetching").iterdir()) == ["lock"]


def test_a_language_that_muse_lacks_is_absent_where_languages_choose_and_refused_by_name(
    site: Site, tmp_path: Path
) -> None:
    done = get(site, tmp_path, "muse", "sib200", languages=[GERMAN, KAZAKH])
    assert done["MUSE eng-kaz"].state == "absent" and done["MUSE en-de"].state == "fetched"
    with pytest.raises(UsageError, match="no dictionary from English to Kazakh"):
        plan(["muse"], pairs=["en-kk"])


def test_a_missing_file_fails_alone_and_the_others_are_fetched(site: Site, tmp_path: Path) -> None:
    site.files.pop(site.path(c.SIB_200.format(code="deu_Latn", split="dev")))
    states = {label: each.state for label, each in get(site, tmp_path, "sib200", languages=[GERMAN]).items()}
    assert list(states.values()) == ["fetched", "failed", "fetched"]


def test_without_a_network_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError):
        fetch(["muse"], tmp_path / "data", pairs=["en-de"], mirror="http://127.0.0.1:9")
    assert not (tmp_path / "data").exists()


def test_a_second_fetch_into_the_same_directory_waits_for_nobody(site: Site, tmp_path: Path) -> None:
    (tmp_path / fetching.WORKPLACE).mkdir()
    with fetching.locked(tmp_path / fetching.WORKPLACE / "lock"), pytest.raises(UsageError, match="another process"):
        get(site, tmp_path, "muse", pairs=["en-de"])


@pytest.mark.parametrize(
    ("what", "options", "said"),
    [
        (["opus"], {}, "unknown data set 'opus'; there are opus100"),
        ([], {}, "name what to fetch"),
        (["opus100"], {}, "--pairs de-en"),
        (["opus100"], {"pairs": ["ja-kk"]}, "OPUS-100 has no ja-kk: .*multiccaligned"),
        (["multiccaligned"], {"pairs": ["de-en"]}, "has no English.*opus100"),
        (["sib200"], {"pairs": ["de-en"]}, "--pairs says nothing about sib200"),
        (["ud"], {"release": "1.0"}, "unknown UD release '1.0'; known are 2.12"),
        (["ud"], {"languages": [find("yor")]}, "which treebank of Yoruba"),
        (["ud-treebanks"], {"treebanks": ["../x"]}, "not a name such as German-GSD"),
        (["muse"], {"pairs": ["en-kk"]}, "no dictionary from English to Kazakh"),
        (["opus100", "multiccaligned"], {"pairs": ["de-fr"]}, "would hold two corpora"),
    ],
)
def test_what_cannot_be_fetched_is_refused_before_anything_is_written(
    what: list[str], options: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=said):
        fetch(what, tmp_path / "data", **options)
    assert not (tmp_path / "data").exists()


def test_a_second_corpus_for_a_pair_is_refused(site: Site, tmp_path: Path) -> None:
    (tmp_path / "parallel/de-en").mkdir(parents=True)
    (tmp_path / "parallel/de-en/mine.de-en.de").touch()
    with pytest.raises(UsageError, match=r"holds another corpus \(mine"):
        get(site, tmp_path, "opus100", pairs=["de-en"])


def test_a_mirror_is_an_address(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not an address"):
        fetch(["muse"], tmp_path, pairs=["en-de"], mirror="file:///etc")


def test_a_damaged_record_is_told(tmp_path: Path) -> None:
    (tmp_path / "sources.json").write_text('{"version": 1, "downloads": [{}]}')
    with pytest.raises(XalignError, match="not a record of downloads"):
        read_record(tmp_path)


@pytest.mark.parametrize(
    ("what", "pairs", "url"),
    [
        ("opus100", ["kk-en"], "https://object.pouta.csc.fi/OPUS-100/v1.0/opus-100-corpus-en-kk-v1.0.tar.gz"),
        ("opus100", ["en-nb"], "https://object.pouta.csc.fi/OPUS-100/v1.0/opus-100-corpus-en-nb-v1.0.tar.gz"),
        ("multiccaligned", ["ko-kk"], "https://object.pouta.csc.fi/OPUS-MultiCCAligned/v1.1/moses/kk-ko.txt.zip"),
        ("multiccaligned", ["zh-ja"], "https://object.pouta.csc.fi/OPUS-MultiCCAligned/v1.1/moses/ja-zh_CN.txt.zip"),
        ("muse", ["eng-deu"], "https://dl.fbaipublicfiles.com/arrival/dictionaries/en-de.txt"),
    ],
)
def test_a_pair_is_asked_for_under_its_publishers_name(what: str, pairs: list[str], url: str) -> None:
    assert [one.url for one in plan([what], pairs=pairs)] == [url]


def test_files_of_a_treebank_are_named_as_in_its_repository() -> None:
    names = ["Norwegian-Nynorsk", "Chinese-GSDSimp", "Swedish-LinES"]
    urls = [one.url for one in plan(["ud-treebanks"], treebanks=names, release="2.15") if "-ud-test" in one.url]
    base = "https://raw.githubusercontent.com/UniversalDependencies"
    assert urls == [
        f"{base}/UD_Norwegian-Nynorsk/r2.15/no_nynorsk-ud-test.conllu",
        f"{base}/UD_Chinese-GSDSimp/r2.15/zh_gsdsimp-ud-test.conllu",
        f"{base}/UD_Swedish-LinES/r2.15/sv_lines-ud-test.conllu",
    ]
