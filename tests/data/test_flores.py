"""FLORES-200 files."""

from __future__ import annotations

from pathlib import Path

import pytest

from xalign.data.flores import FloresOrigin, lines_among, load_flores, load_metadata
from xalign.data.languages import find
from xalign.data.layout import DataDirectory
from xalign.data.topics import load_topics
from xalign.errors import UsageError, XalignError


def test_sentences_keep_their_line_whatever_is_inside_it(tmp_path: Path) -> None:
    path = tmp_path / "eng_Latn.dev"
    path.write_bytes("\ufeff First\u2028part. \r\nSecond.\r\n".encode())
    assert load_flores(path) == ["First\u2028part.", "Second."]


def test_an_empty_line_is_an_error_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "eng_Latn.dev"
    path.write_text("One.\n \nThree.\n")
    with pytest.raises(XalignError, match=r"eng_Latn\.dev:2: an empty line"):
        load_flores(path)


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        load_flores(tmp_path / "absent.dev")


def test_real_splits_have_their_official_sizes(shared: Path) -> None:
    data = DataDirectory(shared / "data")
    for code in ("eng", "kas", "jpn", "zho"):
        assert len(load_flores(data.flores(find(code), "devtest"))) == 1012
    assert len(load_flores(data.flores(find("deu"), "dev"))) == 997


def test_metadata_are_read_by_the_names_of_their_columns(tmp_path: Path) -> None:
    path = tmp_path / "metadata_devtest.tsv"
    path.write_text("topic\tdomain\tURL\nsport\twikinews\thttps://a\nart\twikibooks\thttps://b\n")
    assert load_metadata(path) == [FloresOrigin("https://a", "wikinews"), FloresOrigin("https://b", "wikibooks")]
    path.write_text("URL\tdomain\nhttps://a\n")
    with pytest.raises(XalignError, match=r"metadata_devtest\.tsv:2: 1 tab-separated columns where the header has 2"):
        load_metadata(path)
    path.write_text("link\tdomain\nhttps://a\tx\n")
    with pytest.raises(XalignError, match=r"tsv:1: the header names no URL and domain"):
        load_metadata(path)


def test_lines_are_found_among_texts_whatever_their_spacing_and_unicode_form() -> None:
    sentences = ["A caf\u00e9 opened.", "Two.", "It  is\u00a0so.", "Four"]
    assert lines_among(sentences, ["Four", "It is so.", "A cafe\u0301 opened.", "Two"]) == [0, 2, 3]


def test_sib_200_holds_flores_sentences_also_where_its_fields_are_quoted(shared: Path) -> None:
    """Read as CSV; a reader that leaves quoted fields as they are finds 310, 50 and 111."""
    data = DataDirectory(shared / "data")
    flores = load_flores(data.flores(find("eng"), "devtest"))
    found = {
        split: len(lines_among(flores, [s.text for s in load_topics(data.topics(find("eng"), split))]))
        for split in ("train", "dev", "test")
    }
    assert found == {"train": 328, "dev": 52, "test": 114}
    assert len(load_metadata(data.flores_metadata("devtest"))) == len(flores)
