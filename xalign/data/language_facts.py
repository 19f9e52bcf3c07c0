"""What reports group languages by: family, and whether XLM-R's pre-training text has the language.

`language_facts.tsv` has a row for each language of `xalign.data.languages`, under its FLORES code. Families are the top
level of Glottolog, as in the table of languages of NLLB Team 2022 (arXiv 2207.04672), which SIB-200 follows; creoles
stand with the language that gave them their words, Esperanto is *Constructed*. `xlmr` is *yes* for the languages of
Conneau et al. 2020, appendix A (arXiv 1911.02116). A code of that list that names several varieties or scripts stands
for the one row that it means elsewhere in xalign (ar: Standard Arabic, fa: Iranian Persian, ku: Kurmanji), so dialects
and second scripts count as unseen; Chinese is there in both scripts. CC-100 was later released with more languages
(Igbo, Yoruba, Zulu and others) than XLM-R was trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from xalign.data.languages import Language


@dataclass(frozen=True)
class LanguageFacts:
    """Facts about a language: its `family`, and whether XLM-R was pre-trained on it (`in_xlmr`)."""

    family: str
    in_xlmr: bool


@cache
def _by_flores() -> dict[str, LanguageFacts]:
    rows = files("xalign.data").joinpath("language_facts.tsv").read_text(encoding="utf-8").splitlines()[1:]
    fields = (row.split("\t") for row in rows)
    return {flores: LanguageFacts(family, seen == "yes") for flores, family, seen in fields}


def facts(language: Language) -> LanguageFacts:
    """The facts about a language of the table of codes, which all have a row."""
    return _by_flores()[language.flores]


SCRIPT_NAMES = {
    "Arab": "Arabic", "Armn": "Armenian", "Beng": "Bengali", "Cyrl": "Cyrillic", "Deva": "Devanagari",
    "Ethi": "Ethiopic", "Geor": "Georgian", "Grek": "Greek", "Gujr": "Gujarati", "Guru": "Gurmukhi", "Hang": "Hangul",
    "Hans": "Han, simplified", "Hant": "Han, traditional", "Hebr": "Hebrew", "Jpan": "Japanese", "Khmr": "Khmer",
    "Knda": "Kannada", "Laoo": "Lao", "Latn": "Latin", "Mlym": "Malayalam", "Mymr": "Myanmar", "Nkoo": "N'Ko",
    "Olck": "Ol Chiki", "Orya": "Odia", "Sinh": "Sinhala", "Taml": "Tamil", "Telu": "Telugu", "Tfng": "Tifinagh",
    "Thai": "Thai", "Tibt": "Tibetan",
}  # fmt: skip
"""English names of the scripts, by ISO 15924 code."""
