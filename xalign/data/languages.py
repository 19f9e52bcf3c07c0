"""One table of language codes: two-letter (OPUS, UD, MUSE), ISO 639-3, and FLORES-200 / SIB-200.

`languages.tsv` holds the 205 languages and scripts of FLORES-200 and SIB-200. A code that names several
varieties or scripts stands for one of them, listed in `DEFAULTS`.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from xalign.errors import UsageError

# Macro-language and regional codes -> the variety meant when nothing more exact is said. Of a language in several
# scripts (ace arb bjn kas knc min taq zho) the bare three letters mean the row that has them as its `code`.
DEFAULTS: dict[str, str] = {
    "ara": "arb_Arab",  # Modern Standard Arabic
    "aym": "ayr_Latn",
    "aze": "azj_Latn",  # North Azerbaijani
    "cmn": "zho_Hans",
    "din": "dik_Latn",
    "fas": "pes_Arab",  # Iranian Persian
    "fil": "tgl_Latn",
    "ful": "fuv_Latn",
    "kau": "knc_Latn",
    "kur": "kmr_Latn",  # Kurmanji
    "lav": "lvs_Latn",
    "mlg": "plt_Latn",
    "mon": "khk_Cyrl",
    "msa": "zsm_Latn",
    "nep": "npi_Deva",
    "no": "nob_Latn",  # Bokmål
    "nor": "nob_Latn",
    "ori": "ory_Orya",
    "orm": "gaz_Latn",
    "pt_br": "por_Latn",
    "pus": "pbt_Arab",
    "que": "quy_Latn",
    "sqi": "als_Latn",
    "swa": "swh_Latn",
    "uzb": "uzn_Latn",
    "yid": "ydd_Hebr",
    "zh_cn": "zho_Hans",
    "zh_tw": "zho_Hant",
}

LONGEST_NAME = 100  # characters that are held against known names: the comparison takes their square


@dataclass(frozen=True)
class Language:
    """A language in one script.

    Attributes:
        code: ISO 639-3 (`deu`); for a script that is not the language's default one, the FLORES code
            (`zho_Hant`), so that a code names one row.
        short: ISO 639-1 (`de`), or empty where there is none.
        flores: FLORES-200 code (`deu_Latn`).
        name: English name.
    """

    code: str
    short: str
    flores: str
    name: str

    @property
    def script(self) -> str:
        """ISO 15924 code of the script (`Latn`)."""
        return self.flores.partition("_")[2]


@cache
def all_languages() -> tuple[Language, ...]:
    """Every row of the table, in the order of FLORES codes."""
    rows = files("xalign.data").joinpath("languages.tsv").read_text(encoding="utf-8").splitlines()[1:]
    return tuple(Language(*row.split("\t")) for row in rows)


@cache
def _by_code() -> dict[str, Language]:
    """Every accepted spelling, in lower case, with its language."""
    shorts = {language.flores[:3]: language.short for language in all_languages() if language.short}
    spellings: dict[str, Language] = {}
    for language in all_languages():
        names = {language.code, language.flores, language.short or language.code}
        if short := shorts.get(language.flores[:3]):
            names.add(f"{short}_{language.script}")
        spellings |= {name.lower(): language for name in names}
    return spellings | {alias: spellings[flores.lower()] for alias, flores in DEFAULTS.items()}


def find(code: str) -> Language:
    """The language of a two-letter, ISO 639-3 or FLORES code, in upper or lower case.

    Raises:
        UsageError: the code is in none of the three tables; the line names similar codes.
    """
    language = _by_code().get(code.strip().lower())
    if language is None:
        raise UsageError(f"unknown language {code!r}; {_similar(code)}")
    return language


def _similar(code: str) -> str:
    """What the user may have meant by `code`: an English name, or a code spelt nearly so."""
    meanings = _by_code() | {language.name.lower(): language for language in reversed(all_languages())}
    close = difflib.get_close_matches(code.strip().lower()[:LONGEST_NAME], meanings, n=3, cutoff=0.6)
    found = dict.fromkeys(meanings[name] for name in close)
    if not found:
        return "give a code such as de, deu or deu_Latn"
    return "did you mean " + " or ".join(f"{language.code} ({language.name})" for language in found) + "?"


def parse_list(codes: str) -> list[Language]:
    """The languages of a comma-separated list, in its order.

    Raises:
        UsageError: an unknown or empty item, or a language named twice.
    """
    languages: list[Language] = []
    for item in codes.split(","):
        if not item.strip():
            raise UsageError(f"language list {codes!r} has an empty item; write it like deu,kaz")
        language = find(item)
        if language in languages:
            raise UsageError(f"language list {codes!r} names {language.code} ({language.name}) twice")
        languages.append(language)
    return languages


def parse_pair(pair: str) -> tuple[Language, Language]:
    """The two languages of a pair such as `de-en`: source, target.

    Raises:
        UsageError: not two codes joined by a hyphen, an unknown code, or one language twice.
    """
    codes = pair.split("-")
    if len(codes) != 2 or not all(code.strip() for code in codes):
        raise UsageError(f"language pair {pair!r} is not two codes joined by a hyphen, such as de-en")
    source, target = find(codes[0]), find(codes[1])
    if source == target:
        raise UsageError(f"language pair {pair!r} names {source.name} twice; a pair needs two languages")
    return source, target
