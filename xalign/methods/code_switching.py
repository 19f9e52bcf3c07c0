"""Code-switching: words of the English task data exchanged for translations out of bilingual dictionaries.

A model that is fine-tuned on such sentences reads words of several languages in one context, and has to give them the
label of the English ones. No sentence is translated. Labels stay with their words.

Each word is exchanged with the same probability where a dictionary has it, for one of the languages that do, and one of
its translations there. Whether and for which depends on seed, sentence and place alone: a larger share exchanges the
same words and more, a cap on the data changes nothing in the sentences that remain, and all epochs and seeds of a run
train on the same text, so that features of a frozen encoder may be stored.

Source: Qin et al. 2020, "CoSDA-ML", which draws anew for each batch; the family in Hämmerl et al. 2024.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xalign.data.dictionaries import Translations, dictionary_files, languages_from, translations_from
from xalign.data.labelled import LabelledText
from xalign.data.languages import Language, parse_list
from xalign.data.layout import DataDirectory
from xalign.data.topics import TopicSentence
from xalign.data.treebank import TaggedSentence
from xalign.errors import UsageError
from xalign.randomness import uniforms

Sentence = TaggedSentence | TopicSentence | LabelledText
METHOD = "codeswitch"
WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")  # of running text: letters, and what joins them


def method_name(share: float, codes: Sequence[str]) -> str:
    """What such data are called in a lineage: ``codeswitch-0.5-deu-kaz``."""
    languages = (language.code for language in parse_list(",".join(codes))) if codes else ()
    return "-".join([METHOD, f"{share:g}", *languages])


def code_switcher(
    data: DataDirectory, source: Language, share: float, codes: Sequence[str], seed: int
) -> tuple[CodeSwitcher | None, list[Path]]:
    """What exchanges words of `source`, and the dictionaries' files; None and no files where nothing is asked for.

    Raises:
        UsageError: a share without languages or languages without a share, an unknown language, or one without a
            dictionary.
    """
    if bool(share) != bool(codes):
        raise UsageError(
            "--codeswitch SHARE and --codeswitch-languages go together: give both, for example 0.5 deu,kaz"
        )
    if not codes:
        return None, []
    dictionaries, files = dictionaries_of(data, source, parse_list(",".join(codes)))
    return CodeSwitcher(dictionaries, share, seed), files


def dictionaries_of(
    data: DataDirectory, source: Language, languages: Sequence[Language]
) -> tuple[list[Translations], list[Path]]:
    """The dictionaries from one language to others, and their files.

    Raises:
        UsageError: a language without one; the line names those that have one.
    """
    there = languages_from(data, source)
    missing = [language for language in languages if language not in there]
    if missing:
        raise UsageError(
            f"{data.path}: no dictionary from {source.code} to {', '.join(language.code for language in missing)}; "
            f"there are some to: {' '.join(language.code for language in there) or 'nothing'}"
        )
    files = [path for language in languages for path in dictionary_files(data, source, language)]
    loaded = [translations_from(path, data, source, to) for path, to in zip(files, languages, strict=True)]
    return loaded, files


class CodeSwitcher:
    """Exchanges words of sentences for translations.

    Args:
        dictionaries: translations by word, one dictionary a language.
        share: probability that a word with a translation is exchanged.
        seed: of all draws.

    Attributes:
        words, known, exchanged: words that were seen, those that some dictionary has, and those that were exchanged.
    """

    def __init__(self, dictionaries: Sequence[Translations], share: float, seed: int) -> None:
        # A word of a tagged sentence is one word: of two no label would stand on the second.
        self.dictionaries = [
            {
                word: kept
                for word, found in each.items()
                if (kept := [one for one in found if not re.search(r"\s", one)])
            }
            for each in dictionaries
        ]
        self.share, self.seed = share, seed
        self.words = self.known = self.exchanged = 0

    def cost(self) -> dict[str, int]:
        """What a run reports: `dictionary_words` are pairs of a word and a translation, in all dictionaries."""
        entries = sum(len(found) for each in self.dictionaries for found in each.values())
        return {
            "parameters": 0, "translations": 0, "dictionary_words": entries, "words": self.words,
            "known_words": self.known, "exchanged_words": self.exchanged,
        }  # fmt: skip

    def __call__(self, sentence: Sentence) -> Sentence:
        """A sentence with as many words as before, under the same label or tags; what stands between words stays."""
        if isinstance(sentence, TaggedSentence):
            return dataclasses.replace(sentence, words=self._exchange(sentence.id, sentence.words))
        texts = {"text": sentence.text}
        if isinstance(sentence, LabelledText) and sentence.second is not None:
            texts["second"] = sentence.second
        words = iter(self._exchange(sentence.id, [word for text in texts.values() for word in WORD.findall(text)]))
        switched: dict[str, Any] = {name: WORD.sub(lambda _: next(words), text) for name, text in texts.items()}
        return dataclasses.replace(sentence, **switched)

    def _exchange(self, id_: str, words: Sequence[str]) -> list[str]:
        key = int.from_bytes(hashlib.blake2b(id_.encode(), digest_size=8).digest(), "little")
        draws = uniforms(self.seed, METHOD, 0, np.array([key], dtype=np.uint64), 2 * len(words))[0].reshape(-1, 2)
        found = [self._translations(word) for word in words]
        self.words += len(words)
        self.known += sum(map(bool, found))
        result = list(words)
        for place, (choices, (whether, which)) in enumerate(zip(found, draws.tolist(), strict=True)):
            if choices and whether < self.share:
                language, rest = divmod(which * len(choices), 1)
                translations = choices[int(language)]
                result[place] = translations[int(rest * len(translations))]
                self.exchanged += 1
        return result

    def _translations(self, word: str) -> list[list[str]]:
        """The translations of a word, a list for each language that has some."""
        found = []
        for each in self.dictionaries:
            if word in each:
                found.append(each[word])
            elif word.lower() in each and (len(word) == 1 or not word.isupper()):  # US is not us
                found.append([one[0].upper() + one[1:] for one in each[word.lower()]])
        return found
