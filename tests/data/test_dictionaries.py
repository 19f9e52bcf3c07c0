"""Dictionaries: ranks, identical strings, one line a word, joining through English, words without pieces."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import tiny_encoder
from transformers import AutoTokenizer

from xalign.data.dictionaries import (
    WordPairs,
    dictionary_files,
    keep_encodable,
    load_dictionary,
    load_word_pairs,
)
from xalign.data.languages import find
from xalign.data.layout import DataDirectory
from xalign.errors import UsageError, XalignError

DE, EN, JA, KK = (find(code) for code in ("deu", "eng", "jpn", "kaz"))


def write(folder: Path, name: str, lines: list[str]) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def items(pairs: WordPairs | None) -> list[tuple[str, str]]:
    assert pairs is not None
    return list(zip(pairs.source, pairs.target, strict=True))


def test_lines_are_parted_by_a_tab_or_spaces_and_further_columns_are_ignored(tmp_path: Path) -> None:
    write(tmp_path, "a.txt", ["the die", "the\tder", "of course\tnatürlich\tapertium\t4"])
    assert load_dictionary(tmp_path / "a.txt") == {"the": ["die", "der"], "of course": ["natürlich"]}
    write(tmp_path, "b.txt", ["the die", "alone"])
    with pytest.raises(XalignError, match=r"b\.txt:2: not a word and its translation"):
        load_dictionary(tmp_path / "b.txt")
    with pytest.raises(UsageError, match=r"c\.txt: cannot be read"):
        load_dictionary(tmp_path / "c.txt")


def test_ranks_count_unique_source_words_and_identical_pairs_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, "muse/de-en.txt", ["a x", "a y", "b b", "c c", "c z", "d w", "d v", "e u"])
    data = DataDirectory(tmp_path)
    pairs = load_word_pairs(data, DE, EN, (1, 4))  # b, c, d: of b nothing remains, of c its other translation
    assert items(pairs) == [("c", "z"), ("d", "w")]
    assert pairs is not None and pairs.word_ranks_used == (1, 4) and not pairs.pivoted and not pairs.extension
    assert items(load_word_pairs(data, DE, EN, (3, 6500))) == [("d", "w"), ("e", "u")]


def test_a_short_dictionary_gives_its_last_third_and_says_so(tmp_path: Path) -> None:
    write(tmp_path, "muse/de-en.txt", [f"w{i} t{i}" for i in range(9)])
    pairs = load_word_pairs(DataDirectory(tmp_path), DE, EN, (5000, 6500))
    assert items(pairs) == [("w6", "t6"), ("w7", "t7"), ("w8", "t8")]
    assert pairs is not None and pairs.word_ranks_used == (6, 9)


def test_a_dictionary_of_the_other_direction_is_turned_round(tmp_path: Path) -> None:
    write(tmp_path, "muse/en-de.txt", ["x a", "y b"])
    assert items(load_word_pairs(DataDirectory(tmp_path), DE, EN, (0, 9))) == [("a", "x"), ("b", "y")]
    write(tmp_path, "muse/de-en.txt", ["c z", "d w"])
    assert items(load_word_pairs(DataDirectory(tmp_path), DE, EN, (0, 9))) == [("c", "z"), ("d", "w")]


def test_other_lexicons_are_an_extension_and_muse_goes_before_them(tmp_path: Path) -> None:
    write(tmp_path, "lexicons/en-kk.tsv", ["and\tәрі\tapertium\t1", "for\tүшін\tboth\t3"])
    pairs = load_word_pairs(DataDirectory(tmp_path), KK, EN, (0, 9))
    assert items(pairs) == [("әрі", "and"), ("үшін", "for")] and pairs is not None and pairs.extension
    write(tmp_path, "muse/en-kk.txt", ["and және"])
    pairs = load_word_pairs(DataDirectory(tmp_path), EN, KK, (0, 9))
    assert items(pairs) == [("and", "және")] and pairs is not None and not pairs.extension


def test_pairs_without_a_dictionary_are_joined_through_english(tmp_path: Path) -> None:
    write(tmp_path, "muse/en-ja.txt", ["one 一", "two 二", "dva 二", "same same", "three 三", "far 遠"])
    kazakh = ["far\tалыс", "three\tүш", "same\tsame", "dva\tбаска", "two\tекі", "four\tтөрт"]
    write(tmp_path, "lexicons/en-kk.tsv", [f"{line}\tboth\t1" for line in kazakh])
    pairs = load_word_pairs(DataDirectory(tmp_path), JA, KK, (1, 5))
    assert items(pairs) == [("二", "екі"), ("三", "үш")]  # MUSE's ranks; one line a word, nothing identical
    assert pairs is not None and pairs.pivoted and pairs.extension
    assert [path.name for path in pairs.files] == ["en-ja.txt", "en-kk.tsv"]
    assert items(load_word_pairs(DataDirectory(tmp_path), KK, JA, (1, 5))) == [
        ("екі", "二"),
        ("баска", "二"),
        ("үш", "三"),
    ]


def test_no_way_from_one_language_to_the_other_is_none(tmp_path: Path) -> None:
    write(tmp_path, "muse/en-ja.txt", ["one 一"])
    data = DataDirectory(tmp_path)
    assert dictionary_files(data, DE, JA) == () == dictionary_files(data, DE, EN)
    assert load_word_pairs(data, DE, JA, (0, 9)) is None
    assert load_word_pairs(DataDirectory(tmp_path.parent), DE, EN, (0, 9)) is None


def word_pairs(source: list[str], target: list[str]) -> WordPairs:
    return WordPairs(source, target, (Path("muse/de-en.txt"),), (0, len(source)), False, False)


def test_words_without_pieces_are_dropped_and_counted(tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder(tmp_path / "encoder", layers=1, width=8))
    pairs = word_pairs(["bada", "☃", "dete", "sami", "mamo"], ["a", "b", "☃☃", "e☃", "d"])
    kept, dropped = keep_encodable(pairs, tokenizer)
    assert items(kept) == [("bada", "a"), ("sami", "e☃"), ("mamo", "d")] and dropped == 2


def test_a_dictionary_of_which_nothing_can_be_encoded_is_an_error(tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder(tmp_path / "encoder", layers=1, width=8))
    with pytest.raises(XalignError, match=r"de-en\.txt: of 3 word pairs of ranks 0-3 the tokenizer can encode 1; take"):
        keep_encodable(word_pairs(["☃", "☂", "bada"], ["a", "b", "d"]), tokenizer)


def test_real_muse_words_of_the_ranks_have_no_identical_pairs(shared: Path) -> None:
    pairs = load_word_pairs(DataDirectory(shared / "data"), DE, EN, (5000, 6500))
    assert pairs is not None and 900 < len(pairs) < 1500 and len(set(pairs.source)) == len(pairs)
    assert all(a != b for a, b in items(pairs))
