"""SIB-200 files."""

from __future__ import annotations

from pathlib import Path

import pytest

from xalign.data.languages import find
from xalign.data.layout import DataDirectory
from xalign.data.topics import TOPICS, TopicSentence, load_topics
from xalign.errors import UsageError, XalignError

HEADER = "index_id\tcategory\ttext"


def write(tmp_path: Path, *lines: str, end: str = "\n") -> Path:
    path = tmp_path / "test.tsv"
    path.write_bytes((end.join(lines) + end).encode())
    return path


def test_quoted_fields_lose_their_quoting_and_plain_quotes_stay(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER, '7\ttravel\t"The ""old"" bridge"', '8\thealth\tA 5" scar \u2028here ', end="\r\n")
    assert load_topics(path) == [
        TopicSentence("7", "travel", 'The "old" bridge'),
        TopicSentence("8", "health", 'A 5" scar \u2028here'),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("7\ttravel", r"test\.tsv:3: 2 tab-separated columns"),
        ("", r"test\.tsv:3: 0 tab-separated columns"),
        ("7\tcooking\tSoup", r"test\.tsv:3: unknown topic 'cooking'; .*entertainment"),
        ("7\ttravel\t ", r"test\.tsv:3: the text is empty"),
        ("\ttravel\tA road", r"test\.tsv:3: the index_id is empty"),
        ("1\ttravel\tA road", r"test\.tsv:3: the index_id 1 occurs twice"),
        ('7\ttravel\t"An open quotation', r"test\.tsv:3: not a tab-separated line"),
    ],
)
def test_a_malformed_line_is_reported_with_file_and_line(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path, HEADER, "1\tsports\tA race", line, "9\tsports\tA match")
    with pytest.raises(XalignError, match=message):
        load_topics(path)


@pytest.mark.parametrize(
    ("lines", "message"), [(["1\tsports\tA race"], r"test\.tsv:1: the header is not"), ([HEADER], "but no sentences")]
)
def test_a_file_without_header_or_without_sentences_is_refused(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(XalignError, match=message):
        load_topics(write(tmp_path, *lines))


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        load_topics(tmp_path / "absent.tsv")


def test_topics_are_seven_in_alphabetical_order() -> None:
    assert len(set(TOPICS)) == 7 and list(TOPICS) == sorted(TOPICS)


def test_real_splits_have_their_official_sizes_and_the_same_ids_in_all_languages(shared: Path) -> None:
    data = DataDirectory(shared / "data")
    for split, size in {"train": 701, "dev": 99, "test": 204}.items():
        english = load_topics(data.topics(find("eng"), split))
        assert len(english) == size
        assert {sentence.topic for sentence in english} == set(TOPICS)
    labels = {sentence.id: sentence.topic for sentence in english}
    languages = data.topic_languages("test")
    assert len(languages) == 205
    for language in languages[::10]:
        assert {sentence.id: sentence.topic for sentence in load_topics(data.topics(language, "test"))} == labels
