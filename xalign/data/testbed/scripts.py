"""Writing systems: how a word's syllables are spelled in each script.

A syllable is an (onset, vowel, coda) triple of phonemes, one ASCII or umlaut letter each (c = ch, x = sh);
an onset may be a cluster. A script spells what it can and replaces what it cannot, as borrowing languages do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

Syllable = tuple[str, str, str]

CYRILLIC = dict(zip("abvgdeiyklmnoprstufhcxzjäöü", "абвгдеийклмнопрстуфхчшзжәөү", strict=True))
HANGUL_ONSETS = {"g": 0, "n": 2, "d": 3, "r": 5, "m": 6, "b": 7, "s": 9, "j": 12, "c": 14, "k": 15, "t": 16, "p": 17}
HANGUL_ONSETS |= {"h": 18, "z": 12, "l": 5, "v": 7, "f": 17, "x": 10, "y": 11, "w": 11}
HANGUL_VOWELS = {"a": 0, "e": 5, "i": 20, "o": 8, "u": 13, "ä": 1, "ö": 11, "ü": 16}
HANGUL_CODAS = {"k": 1, "g": 1, "n": 4, "t": 7, "d": 7, "l": 8, "r": 8, "m": 16, "p": 17, "b": 17, "f": 17, "s": 19}
HANGUL_NO_ONSET = 11

DEVANAGARI = dict(zip("kgcjtdnpbmyrlvsxhfzw", ("क", "ग", "च", "ज", "त", "द", "न", "प", "ब", "म", "य", "र", "ल", "व",
                                                 "स", "श", "ह", "फ", "झ", "ब"), strict=True))  # fmt: skip
DEVANAGARI_VOWELS = dict(zip("aeiouäöü", "अएइओउऐऔऊ", strict=True))
DEVANAGARI_SIGNS = dict(zip("aeiouäöü", ("", "े", "ि", "ो", "ु", "ै", "ौ", "ू"), strict=True))
VIRAMA = "्"
HEBREW = dict(zip("bgdhvztyklmnspcrxfjw", "בגדהוזטיכלמנספצרשפגו", strict=True))
HEBREW_VOWELS = {"o": "ו", "u": "ו", "i": "י", "ö": "ו", "ü": "ו"}
SILENT_ALEF = "א"

KANA = {
    "": "あいうえお",
    "k": "かきくけこ",
    "s": "さしすせそ",
    "t": "たちつてと",
    "n": "なにぬねの",
    "h": "はひふへほ",
    "m": "まみむめも",
    "r": "らりるれろ",
    "g": "がぎぐげご",
    "z": "ざじずぜぞ",
    "d": "だぢづでど",
    "b": "ばびぶべぼ",
    "p": "ぱぴぷぺぽ",
}
KANA_SUBSTITUTES = {"l": "r", "v": "b", "f": "h", "c": "t", "x": "s", "j": "z", "w": "", "y": ""}
KANA_VOWELS = {"ä": "e", "ö": "o", "ü": "u"}
KATAKANA_OFFSET = 0x60
IDEOGRAPHS_FROM, IDEOGRAPHS = 0x4E00, 1200
"""A syllable is written by one of the first ideographs of the Unicode block, chosen by a hash of its sound."""

PUNCTUATION = {
    "Jpan": {",": "、", ".": "。", "?": "？"},
    "Hans": {",": "，", ".": "。", "?": "？"},
    "Deva": {".": "।"},
}


def spell(script: str, root: Iterable[Syllable], ending: Iterable[Syllable], letters: Mapping[str, str]) -> str:
    """Write a root and its ending; `letters` overrides how an alphabet spells single phonemes."""
    if script == "Hang":
        return "".join(map(hangul, (*root, *ending)))
    if script == "Jpan":
        return "".join(map(ideograph, root)) + kana(ending)
    if script == "Hans":
        return "".join(map(ideograph, (*root, *ending)))
    if script == "Deva":
        return "".join(map(devanagari, (*root, *ending)))
    if script == "Hebr":
        return "".join(map(hebrew, (*root, *ending)))
    alphabet = {**(CYRILLIC if script == "Cyrl" else {}), **letters}
    return "".join(alphabet.get(sound, sound) for syllable in (*root, *ending) for sound in "".join(syllable))


def hangul(syllable: Syllable) -> str:
    """One composed Hangul block; of a cluster only the last consonant is heard."""
    onset, vowel, coda = syllable
    initial = HANGUL_ONSETS[onset[-1]] if onset else HANGUL_NO_ONSET
    final = HANGUL_CODAS.get(coda[-1:], 0)
    return chr(0xAC00 + (initial * 21 + HANGUL_VOWELS[vowel]) * 28 + final)


def kana(syllables: Iterable[Syllable], *, katakana: bool = False) -> str:
    """Hiragana or katakana; a nasal coda is written, other codas get a vowel of their own."""
    text = ""
    for onset, vowel, coda in syllables:
        text += _mora(onset, vowel)
        if coda:
            text += "ん" if coda in "nm" else _mora(coda, "u")
    return "".join(chr(ord(letter) + KATAKANA_OFFSET) for letter in text) if katakana else text


def devanagari(syllable: Syllable) -> str:
    """A cluster joined by virama with its vowel sign, an independent vowel without one; a coda has no vowel."""
    onset, vowel, coda = syllable
    start = VIRAMA.join(DEVANAGARI[sound] for sound in onset)
    voiced = start + DEVANAGARI_SIGNS[vowel] if start else DEVANAGARI_VOWELS[vowel]
    return voiced + "".join(DEVANAGARI[sound] + VIRAMA for sound in coda)


def hebrew(syllable: Syllable) -> str:
    """Consonants alone, but for high and round vowels; a vowel without a consonant before it rests on an alef."""
    onset, vowel, coda = syllable
    start = "".join(HEBREW[sound] for sound in onset) or SILENT_ALEF
    return start + HEBREW_VOWELS.get(vowel, "") + "".join(HEBREW[sound] for sound in coda)


def ideograph(syllable: Syllable) -> str:
    """The ideograph of a sound, the same in every language that writes with ideographs."""
    digest = hashlib.sha256("".join(syllable).encode()).digest()
    return chr(IDEOGRAPHS_FROM + int.from_bytes(digest[:4], "big") % IDEOGRAPHS)


def _mora(onset: str, vowel: str) -> str:
    consonant = onset[-1:]
    row = KANA[KANA_SUBSTITUTES.get(consonant, consonant)]
    return row["aiueo".index(KANA_VOWELS.get(vowel, vowel))]
