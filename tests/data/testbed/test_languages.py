"""Properties of the constructed languages: own scripts, known relatedness, regular and reproducible words."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

import pytest

from xalign.data.testbed import scripts
from xalign.data.testbed.concepts import TOPIC_SHARES, all_concepts, base_noun, class_of, concepts_of, topic_of
from xalign.data.testbed.languages import FAMILIES, LANGUAGES, Typology
from xalign.data.testbed.words import ENDINGS, Lexicon, relatedness

SEED = 13
LETTER_NAMES = {
    "Latn": ("LATIN",),
    "Cyrl": ("CYRILLIC",),
    "Hang": ("HANGUL",),
    "Jpan": ("CJK", "HIRAGANA", "KATAKANA"),
    "Hans": ("CJK",),
    "Deva": ("DEVANAGARI",),
    "Hebr": ("HEBREW",),
}


@pytest.fixture(scope="module")
def lexicons() -> dict[str, Lexicon]:
    return {code: Lexicon(typology, SEED) for code, typology in LANGUAGES.items()}


def test_shares_of_topics_add_up_to_one() -> None:
    assert sum(TOPIC_SHARES.values()) == pytest.approx(1)


def test_there_are_several_hundred_concepts_and_all_are_distinct() -> None:
    concepts = all_concepts()
    assert len(concepts) == len(set(concepts)) > 300
    assert {topic_of(concept) for concept in concepts} == {*TOPIC_SHARES, "general"}


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_word_is_written_in_the_script_of_the_language(code: str, lexicons: dict[str, Lexicon]) -> None:
    names = LETTER_NAMES[LANGUAGES[code].script]
    for concept in all_concepts():
        for letter in lexicons[code].form(concept, ("plural",)):
            assert unicodedata.name(letter).startswith(names), (concept, letter)


@pytest.mark.parametrize("code", LANGUAGES)
def test_content_words_differ_from_each_other_except_by_zero_derivation(
    code: str, lexicons: dict[str, Lexicon]
) -> None:
    by_form: dict[str, list[str]] = {}
    for concept in all_concepts():
        by_form.setdefault(lexicons[code].form(concept), []).append(concept)
    for concepts in by_form.values():
        if len(concepts) > 1:
            noun, verb = concepts
            assert LANGUAGES[code].zero_derivation
            assert base_noun(verb) == noun


@pytest.mark.parametrize("code", LANGUAGES)
def test_endings_differ_from_each_other_except_for_declared_homographs(code: str, lexicons: dict[str, Lexicon]) -> None:
    forms = [lexicons[code].form(f"ending.{ending}") for ending in ENDINGS]
    declared = sum(name.startswith("ending.") for name in LANGUAGES[code].homographs)
    assert len(forms) - len(set(forms)) == declared


def test_zero_derivation_makes_a_noun_and_a_verb_alike_and_an_ending_keeps_them_apart(
    lexicons: dict[str, Lexicon],
) -> None:
    verb = concepts_of("health", "verb")[0]
    noun = base_noun(verb)
    assert noun is not None
    assert lexicons["eng"].form(verb) == lexicons["eng"].form(noun)
    assert lexicons["deu"].form(verb).startswith(lexicons["deu"].form(noun))
    assert lexicons["deu"].form(verb) != lexicons["deu"].form(noun)


def test_relatedness_is_near_the_smaller_share_of_a_common_family_and_zero_without_one(
    lexicons: dict[str, Lexicon],
) -> None:
    for first, second in (("deu", "eng"), ("kaz", "rus"), ("jpn", "kor"), ("rus", "bul"), ("hin", "kas")):
        shares = [LANGUAGES[first].stocks, LANGUAGES[second].stocks]
        (family,) = shares[0].keys() & shares[1].keys()
        expected = min(share[family] for share in shares)
        assert 0.6 * expected < relatedness(lexicons[first], lexicons[second]) <= expected + 0.05
    assert relatedness(lexicons["deu"], lexicons["jpn"]) == 0
    assert relatedness(lexicons["deu"], lexicons["deu"]) == 1


def test_cognates_differ_only_by_the_declared_sound_changes() -> None:
    old = Typology("eng", "SVO", {"germanic": 1.0}, FAMILIES["germanic"])
    shifted = Lexicon(replace(old, code="deu", changes={"t": "z", "o": "u"}), SEED)
    kept = Lexicon(old, SEED)
    shared = [c for c in concepts_of("general", "noun") if kept.stock[c] == shifted.stock[c] == "germanic"]
    pairs = [(kept.form(c), shifted.form(c)) for c in shared]
    assert len(shared) > 15
    assert all(first.replace("t", "z").replace("o", "u") == second for first, second in pairs)
    assert any(first != second for first, second in pairs) and any(first == second for first, second in pairs)


def test_names_are_the_same_sounds_everywhere(lexicons: dict[str, Lexicon]) -> None:
    for concept in all_concepts():
        if class_of(concept) == "name":
            assert {lexicon.stock[concept] for lexicon in lexicons.values()} <= {"names", *LANGUAGES}
            assert lexicons["eng"].form(concept)[0].isupper()


def test_another_seed_gives_other_words() -> None:
    concepts = concepts_of("travel", "noun")
    first, second = (Lexicon(LANGUAGES["rus"], seed) for seed in (1, 2))
    assert sum(first.form(c) == second.form(c) for c in concepts) < len(concepts) / 4


def test_hangul_composes_one_block_for_a_syllable() -> None:
    assert scripts.hangul(("h", "a", "n")) == "한"
    assert scripts.hangul(("", "o", "")) == "오"


def test_devanagari_joins_clusters_and_leaves_codas_without_a_vowel() -> None:
    assert scripts.devanagari(("k", "a", "")) == "क"
    assert scripts.devanagari(("", "o", "n")) == "ओन्"
    assert scripts.devanagari(("sk", "i", "")) == "स्कि"


def test_hebrew_writes_consonants_and_only_some_vowels() -> None:
    assert scripts.hebrew(("m", "a", "l")) == "מל"
    assert scripts.hebrew(("", "o", "r")) == "אור"


def test_kana_follows_the_rows_of_the_syllabary() -> None:
    assert scripts.kana([("k", "a", "n"), ("s", "i", "k")]) == "かんしく"
    assert scripts.kana([("t", "o", "")], katakana=True) == "ト"
