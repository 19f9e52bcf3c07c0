"""The constructed languages: one small typological record each, mirroring a real language under its code.

Only the type is mirrored (script, word order, case, articles, agreement, who borrowed from whom). Words come from
`words.py`, which draws them from the sound patterns below; no word of the real language is in them except by chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from xalign.data.languages import find


@dataclass(frozen=True)
class Sound:
    """A sound pattern: space-separated onsets, vowels, codas (``-`` is none) and word lengths in syllables."""

    onsets: str
    vowels: str = "a e i o u"
    codas: str = "- - n r l s t"
    syllables: str = "1 2 2"


FAMILIES = {
    "names": Sound("b d g k l m n p r s t v z", codas="- - - n r s", syllables="2 3"),
    "germanic": Sound("b d f g h k l m n p r s t v st br tr fl gr kl", codas="- n r l s t k nd lt", syllables="1 1 2"),
    "romance": Sound("b d f g k l m n p r s t v br tr pl", codas="- - - n r s l", syllables="2 2 3"),
    "slavic": Sound("b v g d z k l m n p r s t c x zd pr st vl kr", codas="- - v k n t l x", syllables="1 2 2"),
    "turkic": Sound("b d g k m s t c x y", vowels="a e o u ä ö ü", codas="- l n r k t s", syllables="1 2 2"),
    "indic": Sound("b d g k l m n p r s t j c h", vowels="a a e i o u", codas="- - r n l t", syllables="1 2 2"),
    "sinitic": Sound("g d b s j k t h m n", codas="- - n k l", syllables="2"),
}
"""Stocks of roots that several languages draw on. A language has the root of a concept from a stock when the
concept's place in the stock lies below the language's share, so two languages hold the smaller share in common."""


@dataclass(frozen=True)
class Typology:
    """What makes a constructed language: every field is one choice that languages of the world make differently."""

    code: str
    order: str
    """``SVO``; ``SOV``; ``V2``: the finite verb second, the rest of the verb last, verb-final after a subordinator."""
    stocks: Mapping[str, float]
    """Share of the concepts whose root comes from a family; tried in this order, the rest is the language's own."""
    sound: Sound
    changes: Mapping[str, str] = field(default_factory=dict)
    """Sound changes on inherited and borrowed roots, phoneme by phoneme; nothing changes in names."""
    letters: Mapping[str, str] = field(default_factory=dict)
    spaces: bool = True
    articles: bool = False
    genders: int = 1
    agreement: frozenset[str] = frozenset()
    """Which of ``adj``, ``det`` carry the noun's gender and number."""
    persons: str = ""
    """Verb agreement: ``3s`` marks the third person singular only, ``all`` marks every person, empty none."""
    cases: frozenset[str] = frozenset()
    """Roles marked on the noun: ``subject``, ``object``, ``owner``, ``oblique`` (after an adposition)."""
    suffixed: frozenset[str] = frozenset()
    """Adpositions that are case endings in this language."""
    particles: bool = False
    """Case endings are words of their own, tagged ADP."""
    postpositions: bool = False
    adjective_after: bool = False
    owner_first: bool = False
    plural_after_number: bool = True
    infinitive: bool = False
    zero_derivation: bool = False
    """Derived verbs look like their noun; otherwise they add a verbal ending to it."""
    marked_present: bool = False
    future: str = "aux"
    """``aux`` or ``suffix``."""
    copula: bool = True
    """Whether the present tense has a copula; the other tenses always do."""
    negation: str = "before"
    """``before``, ``after`` or ``suffix`` of the finite verb."""
    question: str = "particle"
    """``particle`` at the end, ``inversion`` of subject and finite verb, or ``none``."""
    drops_pronouns: bool = False
    contractions: frozenset[tuple[str, str]] = frozenset()
    """Grammatical words that fuse when they meet, a multiword token in CoNLL-U."""
    homographs: Mapping[str, str] = field(default_factory=dict)
    """Grammatical words or endings that look like others."""

    @property
    def script(self) -> str:
        """The writing system of the language that this one mirrors, such as ``Cyrl``."""
        return find(self.code).script


CASES = frozenset(("object", "owner"))

# fmt: off
LANGUAGES = {
    language.code: language
    for language in (
        Typology(
            "deu", "V2", {"germanic": 0.70}, Sound("b d f g h k l m n p r s t w z c st kr"),
            changes={"d": "t", "p": "f", "v": "w", "o": "u"}, letters={"x": "sch", "c": "ch"},
            articles=True, genders=3, agreement=frozenset(("adj", "det")), persons="all",
            infinitive=True, question="inversion", negation="after",
            contractions=frozenset((("adp.in", "det.def"), ("adp.to", "det.def"))),
            homographs={"ending.inf": "ending.p", "pron.that": "det.that"},
        ),
        Typology(
            "eng", "SVO", {"germanic": 0.65, "romance": 0.3}, Sound("b c d f g h k l m n p r s t w y st pl"),
            letters={"x": "sh", "c": "ch", "k": "c"}, articles=True, persons="3s", zero_derivation=True,
            question="inversion", contractions=frozenset((("aux.will", "part.not"), ("aux.can", "part.not"))),
            homographs={"ending.3s": "ending.plural", "sconj.that": "det.that", "pron.that": "det.that"},
        ),
        Typology(
            "kaz", "SOV", {"slavic": 0.2, "turkic": 0.5}, FAMILIES["turkic"], changes={"v": "b", "z": "s"},
            persons="all", cases=CASES, suffixed=frozenset(("adp.in", "adp.on", "adp.to", "adp.from")),
            postpositions=True, owner_first=True, plural_after_number=False, marked_present=True,
            copula=False, negation="suffix", drops_pronouns=True,
        ),
        Typology(
            "jpn", "SOV", {"sinitic": 0.5}, Sound("k s t n h m r g z d b", codas="- - - n", syllables="1 2"),
            changes={"l": "r"}, spaces=False, cases=frozenset(("subject", "object", "owner")),
            suffixed=frozenset(("adp.in", "adp.to", "adp.from", "adp.with")), particles=True, postpositions=True,
            owner_first=True, plural_after_number=False, marked_present=True, future="suffix", negation="suffix",
            drops_pronouns=True,
        ),
        Typology(
            "kor", "SOV", {"sinitic": 0.45}, Sound("g n d r m b s j c k t p h", codas="- - n l k m"),
            changes={"d": "j"}, cases=frozenset(("subject", "object")), owner_first=True,
            suffixed=frozenset(("adp.in", "adp.to", "adp.from", "adp.with")), postpositions=True,
            plural_after_number=False, marked_present=True, future="suffix", negation="before",
            question="none", drops_pronouns=True,
        ),
        Typology(
            "hin", "SOV", {"indic": 0.75}, Sound("b d g k l m n p r s t j c h v"), genders=2,
            agreement=frozenset(("adj",)), persons="all", cases=CASES, particles=True, postpositions=True,
            owner_first=True, infinitive=True, marked_present=True, question="none", drops_pronouns=True,
        ),
        Typology(
            "zho", "SVO", {"sinitic": 0.7}, Sound("g d b s j k t h m n x l", codas="- - n", syllables="1 2 2"),
            spaces=False, owner_first=True, plural_after_number=False, copula=True, drops_pronouns=True,
        ),
        Typology(
            "spa", "SVO", {"romance": 0.8}, FAMILIES["romance"], changes={"f": "h", "ü": "u"},
            letters={"k": "c", "x": "ch", "j": "ll"}, articles=True, genders=2, agreement=frozenset(("adj", "det")),
            persons="all", adjective_after=True, infinitive=True, future="suffix", question="none",
            drops_pronouns=True, contractions=frozenset((("adp.to", "det.def"), ("adp.of", "det.def"))),
        ),
        Typology(
            "rus", "SVO", {"slavic": 0.85}, Sound("b v g d z k l m n p r s t c x gr sl", codas="- k n r t v m"),
            genders=3, agreement=frozenset(("adj",)), persons="all", cases=frozenset((*CASES, "oblique")),
            infinitive=True, marked_present=True, copula=False, question="none", drops_pronouns=True,
            homographs={"ending.oblique": "ending.owner"},
        ),
        Typology(
            "lit", "SVO", {"slavic": 0.3}, Sound("b d g k l m n p r s t v z j x", codas="- - s s r n k"),
            changes={"c": "x", "o": "uo"}, letters={"x": "š", "z": "ž", "c": "č"}, genders=2,
            agreement=frozenset(("adj",)), persons="all", cases=frozenset((*CASES, "oblique")), owner_first=True,
            infinitive=True, future="suffix", question="none", drops_pronouns=True,
        ),
        Typology(
            "kas", "V2", {"indic": 0.55}, Sound("b d g k l m n p r s t z c y", vowels="a e i o u ä ü"),
            changes={"e": "ü", "g": "k"}, genders=2, agreement=frozenset(("adj",)), persons="all",
            cases=frozenset((*CASES, "oblique")), postpositions=True, owner_first=True, infinitive=True,
            negation="after", drops_pronouns=True,
        ),
        Typology(
            "fra", "SVO", {"romance": 0.7, "germanic": 0.15}, Sound("b d f g l m n p r s t v z x j br pl"),
            changes={"k": "x", "u": "ü"}, letters={"x": "ch", "ü": "u", "u": "ou", "k": "qu"}, articles=True,
            genders=2, agreement=frozenset(("adj", "det")), persons="all", adjective_after=True, infinitive=True,
            question="inversion", negation="after",
            contractions=frozenset((("adp.to", "det.def"), ("adp.of", "det.def"))),
        ),
        Typology(
            "bul", "SVO", {"slavic": 0.75}, Sound("b v g d z k l m n p r s t c x zd sv", codas="- n r t v x"),
            changes={"x": "c", "e": "a"}, articles=True, genders=3, agreement=frozenset(("adj", "det")),
            persons="all", drops_pronouns=True, homographs={"sconj.that": "part.question"},
        ),
        Typology(
            "heb", "SVO", {}, Sound("b g d h v z t y k l m n s p c r x", codas="- n r l m t k"), articles=True,
            genders=2, agreement=frozenset(("adj",)), persons="all", adjective_after=True, infinitive=True,
            future="suffix", copula=False, question="none", drops_pronouns=True,
        ),
    )
}
# fmt: on
