"""Finding files in a data directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from xalign.data.languages import find
from xalign.data.layout import DataDirectory
from xalign.errors import UsageError


def make(root: Path, *names: str) -> DataDirectory:
    """A data directory with these (empty) files."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return DataDirectory(root)


def test_a_missing_folder_is_a_usage_error_that_names_the_option(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent: no such folder; .*--data"):
        DataDirectory(tmp_path / "absent")


def test_testbed_is_told_by_its_file(tmp_path: Path) -> None:
    assert not DataDirectory(tmp_path).testbed
    assert make(tmp_path, "TESTBED.json").testbed


@pytest.mark.parametrize("corpus", ["OPUS-100.de-en", "opus.de-en-train", "MultiCCAligned.de-en", "plain"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_moses_files_of_any_corpus_are_found_plain_or_compressed(tmp_path: Path, corpus: str, suffix: str) -> None:
    folder = "parallel/de-en"
    data = make(
        tmp_path,
        *(f"{folder}/{corpus}.{end}" for end in (f"de{suffix}", f"en{suffix}", "ids", "xml.gz")),
        f"{folder}/README",
        f"{folder}/LICENSE.txt",
    )
    german, english = (tmp_path / folder / f"{corpus}.{code}{suffix}" for code in ("de", "en"))
    assert data.pair_files("de-en") == (german, english)


@pytest.mark.parametrize("folder", ["en-de", "deu-eng", "eng_Latn-deu_Latn"])
def test_a_folder_may_name_the_pair_in_either_order_and_with_any_codes(tmp_path: Path, folder: str) -> None:
    data = make(tmp_path, f"parallel/{folder}/c.deu", f"parallel/{folder}/c.en.gz")
    files = data.pair_files("de-en")
    assert isinstance(files, tuple)
    assert [path.name for path in files] == ["c.deu", "c.en.gz"]
    reverse = data.pair_files("eng-deu")
    assert isinstance(reverse, tuple)
    assert [path.name for path in reverse] == ["c.en.gz", "c.deu"]


def test_the_folder_spelled_like_the_request_goes_first_then_the_one_in_its_order(tmp_path: Path) -> None:
    data = make(tmp_path, *(f"parallel/{pair}/c.{code}" for pair in ("de-en", "en-de") for code in ("de", "en")))
    for pair, folder in [("en-de", "en-de"), ("de-en", "de-en"), ("eng-deu", "en-de"), ("deu-eng", "de-en")]:
        files = data.pair_files(pair)
        assert isinstance(files, tuple)
        assert {path.parent.name for path in files} == {folder}


def test_plain_files_go_before_their_compressed_copies(tmp_path: Path) -> None:
    data = make(tmp_path, *(f"parallel/de-en/c.{code}" for code in ("de", "de.gz", "en", "en.gz")))
    assert data.pair_files("de-en") == (tmp_path / "parallel/de-en/c.de", tmp_path / "parallel/de-en/c.en")


def test_of_a_corpus_in_splits_the_training_part_is_taken(tmp_path: Path) -> None:
    data = make(
        tmp_path,
        *(f"parallel/en-kk/opus.en-kk-{split}.{code}" for split in ("dev", "test", "train") for code in ("en", "kk")),
    )
    files = data.pair_files("en-kk")
    assert isinstance(files, tuple) and files[0].name == "opus.en-kk-train.en"


def test_several_corpora_are_refused_by_name(tmp_path: Path) -> None:
    data = make(tmp_path, *(f"parallel/de-en/{corpus}.{code}" for corpus in ("a", "b") for code in ("de", "en")))
    with pytest.raises(UsageError, match="several corpora; leave one in the folder: a b"):
        data.pair_files("de-en")


@pytest.mark.parametrize("name", ["c.tsv", "c.tsv.gz"])
def test_a_table_is_found_where_there_are_no_moses_files(tmp_path: Path, name: str) -> None:
    data = make(tmp_path, f"parallel/de-en/{name}")
    assert data.pair_files("de-en") == tmp_path / "parallel/de-en" / name


def test_half_a_pair_says_what_is_missing_and_what_is_there(tmp_path: Path) -> None:
    data = make(tmp_path, "parallel/de-en/c.de.gz", "parallel/de-en/README")
    with pytest.raises(UsageError, match=r"de-en: no \*\.de and \*\.en .*there is: README c\.de\.gz"):
        data.pair_files("de-en")


def test_an_absent_pair_names_the_pairs_that_are_there(tmp_path: Path) -> None:
    data = make(tmp_path, "parallel/de-en/c.de", "parallel/kk-ko/c.kk", "parallel/old-notes/x", "parallel/README")
    (tmp_path / "parallel" / "en-kk").mkdir()
    assert data.available_pairs() == ["de-en", "kk-ko"]
    with pytest.raises(UsageError, match=r"no folder for the pair 'ja-kk'; there is: de-en kk-ko"):
        data.pair_files("ja-kk")


def test_a_directory_without_the_part_says_nothing_is_there(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path)
    assert data.available_pairs() == data.treebank_languages("test") == data.topic_languages("test") == []
    for ask in (
        lambda: data.pair_files("de-en"),
        lambda: data.treebank(find("deu"), "test"),
        lambda: data.treebank(find("deu"), "test", "German-GSD"),
        lambda: data.topics(find("deu"), "test"),
        lambda: data.flores(find("deu"), "dev"),
        lambda: data.mono(find("deu")),
    ):
        with pytest.raises(UsageError, match="there is: nothing"):
            ask()


def test_the_preferred_treebank_goes_before_others_and_a_named_one_before_it(tmp_path: Path) -> None:
    gsd, kaist = "ud/UD_Korean-GSD/ko_gsd-ud-test.conllu", "ud/UD_Korean-Kaist/ko_kaist-ud-test.conllu"
    data = make(tmp_path, gsd, kaist)
    korean = find("kor")
    assert data.treebank(korean, "test") == tmp_path / gsd
    assert data.treebank(korean, "test", "Korean-Kaist") == tmp_path / kaist
    assert data.treebank(korean, "test", "UD_Korean-Kaist") == tmp_path / kaist
    with pytest.raises(UsageError, match=r"UD_Korean-PUD/.*there is: UD_Korean-GSD UD_Korean-Kaist"):
        data.treebank(korean, "test", "Korean-PUD")
    with pytest.raises(UsageError, match=r"train\.conllu: no such file; there is: ko_gsd-ud-test"):
        data.treebank(korean, "train", "Korean-GSD")


def test_an_only_treebank_is_taken_and_several_unknown_ones_are_refused(tmp_path: Path) -> None:
    first = "ud/UD_German-Invented/de_invented-ud-test.conllu"
    data = make(tmp_path, first)
    assert data.treebank(find("deu"), "test") == tmp_path / first
    make(tmp_path, "ud/UD_German-Other/de_other-ud-test.conllu")
    with pytest.raises(UsageError, match="German has several treebanks; name one: German-Invented German-Other"):
        data.treebank(find("deu"), "test")


def test_norwegian_standards_share_a_prefix_but_not_a_treebank(tmp_path: Path) -> None:
    nynorsk = "ud/UD_Norwegian-Nynorsk/no_nynorsk-ud-test.conllu"
    data = make(tmp_path, nynorsk)
    assert data.treebank(find("nn"), "test") == tmp_path / nynorsk
    with pytest.raises(UsageError, match=r"UD test for Norwegian Bokmål\); there is: nno"):
        data.treebank(find("nb"), "test")


def test_languages_are_listed_by_split_and_unknown_names_on_disk_are_passed_over(tmp_path: Path) -> None:
    data = make(
        tmp_path,
        "ud/UD_Kazakh-KTB/kk_ktb-ud-test.conllu",
        "ud/UD_Gothic-PROIEL/got_proiel-ud-test.conllu",
        "ud/UD_English-EWT/en_ewt-ud-train.conllu",
        "sib200/data/annotated/kaz_Cyrl/test.tsv",
        "sib200/data/annotated/zho_Hant/test.tsv",
        "sib200/data/annotated/eng_Latn/train.tsv",
        "sib200/data/annotated/notes/test.tsv",
    )
    assert [language.code for language in data.treebank_languages("test")] == ["kaz"]
    assert [language.code for language in data.topic_languages("test")] == ["kaz", "zho_Hant"]
    with pytest.raises(UsageError, match=r"deu_Latn/test\.tsv: no such file .*there is: kaz zho_Hant"):
        data.topics(find("deu"), "test")


def test_flores_and_monolingual_files_are_found_by_their_own_codes(tmp_path: Path) -> None:
    data = make(tmp_path, "flores200_dataset/devtest/zho_Hans.devtest", "mono/kk.txt.xz", "mono/deu.txt")
    assert data.flores(find("zh"), "devtest").name == "zho_Hans.devtest"
    assert data.mono(find("kaz")).name == "kk.txt.xz"
    assert data.mono(find("de")).name == "deu.txt"
    with pytest.raises(UsageError, match=r"en\.txt\[\.gz\|\.xz\].*there is: deu\.txt kk\.txt\.xz"):
        data.mono(find("en"))


def test_an_unknown_split_is_a_usage_error(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path)
    for ask in (
        lambda: data.treebank(find("deu"), "validation"),
        lambda: data.topics(find("deu"), "validation"),
        lambda: data.flores(find("deu"), "validation"),
    ):
        with pytest.raises(UsageError, match=r"unknown split 'validation'; .* has "):
            ask()


def test_the_real_directory_has_what_its_sources_say(shared: Path) -> None:
    data = DataDirectory(shared / "data")
    assert not data.testbed
    assert data.available_pairs() == ["de-en", "en-kk", "ja-kk", "kk-ko"]
    expected = "arb bul deu eng fra heb hin jpn kaz kor lit rus spa tur zho"
    assert " ".join(language.code for language in data.treebank_languages("test")) == expected
    assert data.treebank(find("kor"), "test").parent.name == "UD_Korean-GSD"
    assert len(data.topic_languages("train")) == 17
    assert data.mono(find("kaz")).name == "kk.txt.xz"
