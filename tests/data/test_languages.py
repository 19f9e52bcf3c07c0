"""The table of language codes."""

from __future__ import annotations

from collections import defaultdict
from importlib.resources import files
from pathlib import Path

import pytest

from xalign.data.language_facts import SCRIPT_NAMES, facts
from xalign.data.languages import DEFAULTS, all_languages, find, parse_list, parse_pair
from xalign.errors import UsageError

# Conneau et al. 2020, appendix A, without Breton, Western Frisian and Latin, which SIB-200 lacks, nor romanised text.
XLM_R = """af am ar as az be bg bn bs ca cs cy da de el en eo es et eu fa fi fr ga gd gl gu ha he hi hr hu hy id is it
ja jv ka kk km kn ko ku ky lo lt lv mg mk ml mn mr ms my ne nl no om or pa pl ps pt ro ru sa sd si sk sl so sq sr su sv
sw ta te th tl tr ug uk ur uz vi xh yi zh_Hans zh_Hant"""


@pytest.mark.parametrize("code", ["de", "deu", "deu_Latn", "DE", "de_latn", " deu "])
def test_every_spelling_of_german_is_german(code: str) -> None:
    german = find(code)
    assert (german.code, german.short, german.flores, german.name) == ("deu", "de", "deu_Latn", "German")
    assert german.script == "Latn"


@pytest.mark.parametrize(
    ("code", "flores"),
    [
        ("zh", "zho_Hans"),
        ("zho", "zho_Hans"),
        ("zh_Hant", "zho_Hant"),
        ("zh_tw", "zho_Hant"),
        ("kas", "kas_Deva"),
        ("ks", "kas_Deva"),
        ("ks_Arab", "kas_Arab"),
        ("ar", "arb_Arab"),
        ("ara", "arb_Arab"),
        ("no", "nob_Latn"),
        ("fa", "pes_Arab"),
    ],
)
def test_macro_languages_and_several_scripts_have_one_default(code: str, flores: str) -> None:
    assert find(code).flores == flores


def test_every_code_of_the_table_names_its_own_row() -> None:
    languages = all_languages()
    assert len(languages) >= 205  # those of FLORES-200 and SIB-200, and what was added
    for language in languages:
        assert language.name and language.name == language.name.strip()
        assert find(language.code) is language and find(language.flores) is language
        assert not language.short or find(language.short) is language
        assert find(language.flores[:3]).flores[:3] == language.flores[:3]
    assert len({language.code for language in languages}) == len(languages)


def test_no_default_shadows_a_code_of_the_table() -> None:
    spelled = {spelling for row in all_languages() for spelling in (row.code, row.short, row.flores.lower())}
    assert not spelled & set(DEFAULTS)


@pytest.mark.parametrize(
    ("code", "hint"),
    [("german", r"deu \(German\)"), ("kasz", r"kaz \(Kazakh\)"), ("deu_Latin", "deu"), ("0000", "give a code")],
)
def test_unknown_code_is_a_usage_error_with_close_matches(code: str, hint: str) -> None:
    with pytest.raises(UsageError, match=rf"unknown language '{code}'; .*{hint}"):
        find(code)


def test_a_list_keeps_its_order_and_accepts_blanks() -> None:
    assert [language.code for language in parse_list("kaz, de,eng_Latn")] == ["kaz", "deu", "eng"]


@pytest.mark.parametrize("codes", ["", "deu,,kaz", "deu,"])
def test_a_list_with_an_empty_item_is_refused(codes: str) -> None:
    with pytest.raises(UsageError, match="empty item"):
        parse_list(codes)


def test_a_list_that_repeats_a_language_in_another_spelling_is_refused() -> None:
    with pytest.raises(UsageError, match=r"names deu \(German\) twice"):
        parse_list("deu,kaz,de")


def test_a_pair_is_source_and_target() -> None:
    assert [language.code for language in parse_pair("kk-ko")] == ["kaz", "kor"]
    assert [language.code for language in parse_pair("kor_Hang-kaz")] == ["kor", "kaz"]


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("deen", "not two codes"),
        ("de-", "not two codes"),
        ("de-en-fr", "not two codes"),
        ("de-xx", "unknown language 'xx'"),
        ("de-deu", "names German twice"),
    ],
)
def test_a_bad_pair_is_a_usage_error(pair: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_pair(pair)


def test_every_language_has_facts_that_agree_with_the_typology() -> None:
    rows = files("xalign.data").joinpath("language_facts.tsv").read_text(encoding="utf-8").splitlines()
    assert [row.split("\t")[0] for row in rows[1:]] == [language.flores for language in all_languages()]
    assert {row.split("\t")[2] for row in rows[1:]} == {"yes", "no"}
    assert all(facts(language).family for language in all_languages())
    assert {language.script for language in all_languages()} == set(SCRIPT_NAMES)
    typology = files("xalign.data").joinpath("typology.tsv").read_text(encoding="utf-8").splitlines()[1:]
    assert {code: facts(find(code)).family for code, *_ in map(str.split, typology)} == {
        code: family for code, family, *_ in (row.split("\t") for row in typology)
    }


def test_languages_of_one_code_in_several_scripts_are_of_one_family() -> None:
    families: dict[str, set[str]] = defaultdict(set)
    for language in all_languages():
        families[language.flores[:3]].add(facts(language).family)
    assert all(len(found) == 1 for found in families.values())


def test_xlm_r_has_seen_the_languages_of_its_own_list_and_no_dialects_of_them() -> None:
    seen = {language for language in all_languages() if facts(language).in_xlmr}
    assert seen == {find(code) for code in XLM_R.split()}
    assert len(seen) == 91
    assert not {find(code) for code in ("arz", "arb_Latn", "kas", "azb", "yue", "ibo", "yor", "zul", "nno")} & seen


def test_the_table_has_exactly_the_codes_of_sib200(shared: Path) -> None:
    folders = {path.name for path in (shared / "data" / "sib200" / "data" / "annotated").iterdir()}
    assert {language.flores for language in all_languages()} == folders
