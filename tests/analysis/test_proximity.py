"""Proximity of languages: symmetric, one for a language and itself, and right for pairs that everybody knows."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import pytest

from xalign.analysis.proximity import (
    kinship,
    known_relatedness,
    nearest,
    proximity,
    same_script,
    subword_overlap,
    typological_similarity,
    typology,
)
from xalign.config.analyses import LANGUAGES
from xalign.data.languages import find


def test_every_language_of_the_paper_is_in_the_table_with_every_feature() -> None:
    assert set(LANGUAGES) <= set(typology())
    assert all(all(features.values()) for features in typology().values())


@pytest.mark.parametrize("measure", ["kinship", "script", "typology"])
def test_a_proximity_is_symmetric_bounded_and_one_for_a_language_and_itself(measure: str) -> None:
    for first, second in combinations(LANGUAGES, 2):
        value = proximity(measure, first, second)
        assert value is not None and 0 <= value <= 1 and value == proximity(measure, second, first)
    assert all(proximity(measure, code, code) == 1 for code in LANGUAGES)


def test_sisters_are_nearer_than_cousins_and_cousins_nearer_than_strangers() -> None:
    deu, eng, rus, jpn = map(find, ("deu", "eng", "rus", "jpn"))
    assert kinship(deu, eng) == 1 and kinship(deu, rus) == 0.5 and kinship(deu, jpn) == 0
    assert typological_similarity(find("kor"), jpn) == 1 > (typological_similarity(find("kor"), eng) or 0)


def test_scripts_are_compared_and_ideographs_are_half_shared() -> None:
    assert same_script(find("kaz"), find("rus")) == 1
    assert same_script(find("jpn"), find("zho")) == 0.5
    assert same_script(find("jpn"), find("kor")) == 0


def test_subword_overlap_is_jaccard_s_index() -> None:
    assert subword_overlap({1, 2, 3}, {2, 3, 4}) == 0.5
    assert subword_overlap(set(), set()) == 0


def test_relatedness_is_read_from_the_testbed(tmp_path: Path) -> None:
    (tmp_path / "TESTBED.json").write_text(json.dumps({"relatedness": {"deu-eng": 0.5}}))
    known = known_relatedness(tmp_path)
    assert proximity("relatedness", "eng", "deu", known=known) == 0.5
    assert proximity("relatedness", "eng", "eng", known=known) == 1
    assert proximity("relatedness", "eng", "kaz", known=known) is None


def test_a_language_that_is_not_in_the_table_has_no_kinship() -> None:
    assert proximity("kinship", "yor", "eng") is None
    assert nearest([None, 0.5, 0.2]) == 0.5 and nearest([None]) is None
