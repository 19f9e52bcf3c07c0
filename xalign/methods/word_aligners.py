"""Word aligners behind one interface: from the words of translated sentences to links between them.

An aligner takes n sentences and their translations, split into words, and gives for each pair the links (i, j): word
i of the sentence says what word j of its translation says. The aligner that reads an encoder's hidden states stands in
`xalign.methods.neural_aligner`.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from xalign.data.dictionaries import dictionary_files, load_dictionary
from xalign.data.languages import Language
from xalign.data.layout import DataDirectory
from xalign.data.lines import read_lines
from xalign.data.words import SplitSentences
from xalign.errors import UsageError, XalignError

Links = list[tuple[int, int]]


class WordAligner(Protocol):
    """What links the words of translations."""

    def align(self, source: SplitSentences, target: SplitSentences) -> list[Links]:
        """The links of each pair of sentences, in ascending order."""


class DictionaryAligner:
    """Links a word to the one word of the translation that a dictionary lists for it.

    A word that is listed with several words of the translation, or a word of the translation that is listed with
    several words of the sentence, stays unlinked: nothing tells which of them is meant. A form that occurs twice in a
    sentence counts as two words. Case is ignored.

    Args:
        translations: lower-case source word to its lower-case translations.
    """

    def __init__(self, translations: Mapping[str, frozenset[str]]) -> None:
        self.translations = translations

    def align(self, source: SplitSentences, target: SplitSentences) -> list[Links]:
        """See `WordAligner.align`."""
        return [self._links(source.words(n), target.words(n)) for n in range(len(source))]

    def _links(self, source: Sequence[str], target: Sequence[str]) -> Links:
        places: dict[str, list[int]] = defaultdict(list)
        for j, word in enumerate(target):
            places[word.lower()].append(j)
        nothing: frozenset[str] = frozenset()
        listed = [
            (i, j)
            for i, word in enumerate(source)
            for translation in self.translations.get(word.lower(), nothing)
            for j in places.get(translation, ())
        ]
        from_source, from_target = ([link[side] for link in listed] for side in (0, 1))
        return sorted((i, j) for i, j in listed if from_source.count(i) == 1 and from_target.count(j) == 1)


def dictionary_aligner(
    data: DataDirectory, languages: tuple[Language, Language]
) -> tuple[DictionaryAligner, tuple[Path, ...]] | None:
    """The aligner of a pair and the files that it reads; None where no dictionary leads from one to the other.

    Two dictionaries are joined through English where there is none for the pair itself.
    """
    files = dictionary_files(data, *languages)
    if not files:
        return None
    loaded = [_without_case(load_dictionary(path)) for path in files]
    if len(files) == 2:  # both lead away from English
        translations: dict[str, frozenset[str]] = {}
        for word, second in loaded[1].items():
            for first in loaded[0].get(word, ()):
                translations[first] = translations.get(first, frozenset()) | second
    elif data.dictionaries().get(languages) == files[0]:
        translations = loaded[0]
    else:
        translations = _reversed(loaded[0])
    return DictionaryAligner(translations), files


def _without_case(translations: Mapping[str, Sequence[str]]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for word, others in translations.items():
        found[word.lower()].update(other.lower() for other in others)
    return {word: frozenset(others) for word, others in found.items()}


def _reversed(translations: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for word, others in translations.items():
        for other in others:
            found[other].add(word)
    return {word: frozenset(others) for word, others in found.items()}


class StatisticalAligner:
    """eflomal in both directions, and the links that both find.

    It learns from the very sentences that it aligns, and draws at random without a seed: who needs the same links
    again keeps them. Source: Östling & Tiedemann 2016, "Efficient Word Alignment with Markov Chain Monte Carlo".
    """

    def __init__(self) -> None:
        require_eflomal()

    def align(self, source: SplitSentences, target: SplitSentences) -> list[Links]:
        """See `WordAligner.align`."""
        import eflomal

        found: list[Links] = [[] for _ in source.texts]
        # It takes no empty sentence.
        chosen = [n for n in range(len(source)) if source.spans[n] and target.spans[n]]
        if not chosen:
            return found
        texts = [[" ".join(side.words(n)) for n in chosen] for side in (source, target)]
        with tempfile.TemporaryDirectory() as folder:
            names = [str(Path(folder) / direction) for direction in ("forward", "reverse")]
            eflomal.Aligner().align(*texts, links_filename_fwd=names[0], links_filename_rev=names[1])
            forward, reverse = ([set(parse_links(line)) for line in read_lines(Path(name))] for name in names)
        for n, there, back in zip(chosen, forward, reverse, strict=True):
            found[n] = sorted(there & back)
        return found


def require_eflomal() -> None:
    """Refuse where eflomal is not installed.

    Raises:
        UsageError: what to install.
    """
    try:
        import eflomal  # noqa: F401
    except ImportError:
        raise UsageError(
            "aligner=statistical needs eflomal, which is not installed: pip install eflomal, "
            "or use --aligner dictionary or neural"
        ) from None


def parse_links(line: str) -> Links:
    """The links of a line ``0-0 1-2``.

    Raises:
        ValueError: an item that is not two numbers joined by a hyphen.
    """
    links = []
    for item in line.split():
        first, hyphen, second = item.partition("-")
        if not (hyphen and first.isdecimal() and second.isdecimal()):
            raise ValueError(item)
        links.append((int(first), int(second)))
    return sorted(set(links))


def read_links(path: Path, lengths: Sequence[tuple[int, int]]) -> list[Links]:
    """Read a file of links in Pharaoh's format, a line for each pair of sentences.

    Args:
        lengths: words of each sentence and of its translation, which the links count from 0.

    Raises:
        UsageError: no such file.
        XalignError: another number of lines, an item that is no link, or a word that is not there; file:line.
    """
    lines = read_lines(path)
    if len(lines) != len(lengths):
        raise XalignError(
            f"{path}: {len(lines):,} lines for {len(lengths):,} sentence pairs; write one line for each line of the "
            f"corpus, an empty one where nothing is linked"
        )
    found: list[Links] = []
    for number, (line, (first, second)) in enumerate(zip(lines, lengths, strict=True), start=1):
        try:
            links = parse_links(line)
        except ValueError as error:
            raise XalignError(f"{path}:{number}: {error} is not a link; write word numbers from 0 as 0-0 1-2") from None
        wrong = next(((i, j) for i, j in links if i >= first or j >= second), None)
        if wrong is not None:
            raise XalignError(
                f"{path}:{number}: {wrong[0]}-{wrong[1]} names a word that is not there: the sentences have {first} "
                f"and {second} words between blanks, counted from 0"
            )
        found.append(links)
    return found


class LinksFile:
    """Links that somebody else's aligner wrote, a line for each line of the corpus, read once.

    Words are what stands between blanks (`xalign.data.words.split_at_blanks`). Of a pair of sentences that the corpus
    has several times the first line counts.

    Args:
        path: a file in Pharaoh's format.
        pairs: all lines of the corpus, cleaned, in its order.

    Raises:
        UsageError, XalignError: see `read_links`.
    """

    def __init__(self, path: Path, pairs: Sequence[tuple[str, str]]) -> None:
        links = read_links(path, [(len(first.split()), len(second.split())) for first, second in pairs])
        self.links: dict[tuple[str, str], Links] = {}
        for pair, found in zip(pairs, links, strict=True):
            self.links.setdefault(pair, found)

    def align(self, source: SplitSentences, target: SplitSentences) -> list[Links]:
        """See `WordAligner.align`."""
        return [self.links.get(pair, []) for pair in zip(source.texts, target.texts, strict=True)]
