"""CoNLL-U files."""

from __future__ import annotations

from pathlib import Path

import pytest

from xalign.data.languages import find
from xalign.data.layout import DataDirectory
from xalign.data.treebank import PREFERRED_TREEBANKS, UPOS, load_treebank
from xalign.errors import UsageError, XalignError


def word(number: str, form: str, tag: str) -> str:
    return "\t".join([number, form, form.lower(), tag, *["_"] * 6])


def write(tmp_path: Path, *lines: str, end: str = "\n") -> Path:
    path = tmp_path / "xx_demo-ud-test.conllu"
    path.write_bytes((end.join(lines) + end).encode())
    return path


def test_ranges_and_empty_nodes_are_not_words(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "# sent_id = a-1",
        "# text = Zum Hafen eilt",
        word("1-2", "Zum", "_"),
        word("1", "Zu", "ADP"),
        word("2", "dem", "DET"),
        word("3", "Hafen", "NOUN"),
        word("3.1", "sie", "PRON"),
        word("4", "eilt", "VERB"),
        "",
    )
    (sentence,) = load_treebank(path)
    assert sentence.id == "a-1"
    assert sentence.words == ["Zu", "dem", "Hafen", "eilt"]
    assert sentence.tags == ["ADP", "DET", "NOUN", "VERB"]


def test_sentences_without_an_id_are_numbered_and_the_last_blank_line_may_be_missing(tmp_path: Path) -> None:
    named = ["# sent_id = named", word("1", "Zwei", "NUM"), ""]
    path = write(tmp_path, word("1", "Eins", "NUM"), "", *named, "# text = Drei", word("1", "Drei", "NUM"))
    assert [sentence.id for sentence in load_treebank(path)] == ["1", "named", "3"]


def test_windows_line_ends_and_separators_inside_a_form_are_read(tmp_path: Path) -> None:
    path = write(tmp_path, word("1", "a\u2028b", "X"), word("2", "10 000", "NUM"), "", end="\r\n")
    assert load_treebank(path)[0].words == ["a\u2028b", "10 000"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2\tzwei\tzwei\tNUM", r":3: 4 tab-separated columns where CoNLL-U has 10"),
        (word("2", "zwei", "_"), r":3: word 2 \(zwei\) has no UPOS tag"),
        (word("2", "zwei", "NN"), r":3: word 2 \(zwei\) has the tag 'NN'"),
        (word("3", "zwei", "NUM"), r":3: word number 3 where 2 was due"),
        (word("1", "zwei", "NUM"), r":3: word number 1 .* is the blank line .* missing"),
        (word("b", "zwei", "NUM"), r":3: 'b' is not a word number"),
        (word("2", "", "NUM"), r":3: word 2 has an empty form"),
    ],
)
def test_a_malformed_line_is_reported_with_file_and_line(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path, "# sent_id = s", word("1", "eins", "NUM"), line, "")
    with pytest.raises(XalignError, match=r"xx_demo-ud-test\.conllu" + message):
        load_treebank(path)


def test_a_repeated_sentence_id_is_refused_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, "# sent_id = s", word("1", "a", "X"), "", "# sent_id = s", word("1", "b", "X"), "")
    with pytest.raises(XalignError, match=r":5: the sentence id 's' occurs twice"):
        load_treebank(path)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["# only a comment"], "no words in it"),
        ([word("1", "a", "X"), "", "# sent_id = hollow", word("1.1", "b", "X")], "sentence 'hollow' has no words"),
        ([word("1", "_", "X"), "", word("1", "_", "NOUN")], "released without its text"),
    ],
)
def test_files_without_words_are_refused(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(XalignError, match=message):
        load_treebank(write(tmp_path, *lines))


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        load_treebank(tmp_path / "absent.conllu")


def test_there_are_17_tags_and_preferred_treebanks_are_of_known_languages() -> None:
    assert len(set(UPOS)) == 17 and list(UPOS) == sorted(UPOS)
    assert all(find(code).code == code for code in PREFERRED_TREEBANKS)


def test_real_treebanks_have_their_official_sizes(shared: Path) -> None:
    data = DataDirectory(shared / "data")
    train = load_treebank(data.treebank(find("eng"), "train"))
    assert len(train) == 12_544
    assert sum(len(sentence.words) for sentence in train) == 204_577
    assert all(len(sentence.words) == len(sentence.tags) for sentence in train)
    assert len(load_treebank(data.treebank(find("eng"), "dev"))) == 2_001
    for language in data.treebank_languages("test"):
        sentences = load_treebank(data.treebank(language, "test"))
        assert len({sentence.id for sentence in sentences}) == len(sentences) > 400
