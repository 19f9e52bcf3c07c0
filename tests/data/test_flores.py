"""FLORES-200 files."""

from __future__ import annotations

from pathlib import Path

import pytest

from xalign.data.flores import load_flores
from xalign.data.languages import find
from xalign.data.layout import DataDirectory
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
