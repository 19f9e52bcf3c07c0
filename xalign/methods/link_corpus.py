"""From a parallel corpus to the linked words that realignment trains on, and those that it is measured on.

They are written into the run's directory and read back from there: a resumed run, and every process of a launch, then
sees the same links, whatever the aligner draws at random.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from xalign.config.realign import ALIGNERS, RealignConfig
from xalign.data.dictionaries import load_dictionary
from xalign.data.languages import Language, find, parse_pair
from xalign.data.layout import DataDirectory
from xalign.data.parallel import PairCorpus, Pairs, clean, read_pairs
from xalign.data.words import UNSPACED, SplitSentences, split_at_blanks, split_words
from xalign.errors import UsageError, XalignError
from xalign.methods.linked_words import LinkedPairs, one_of_each
from xalign.methods.word_aligners import (
    DictionaryAligner,
    LinksFile,
    StatisticalAligner,
    WordAligner,
    dictionary_aligner,
    read_links,
)
from xalign.randomness import derive_seed
from xalign.storage import write_text

TRAINED, MEASURED = "links.txt", "links-held-out.txt"
Splitter = Callable[[Pairs], tuple[SplitSentences, SplitSentences]]


@dataclass(frozen=True)
class Linker:
    """What links the words of a corpus.

    Attributes:
        aligner: of the training pairs; None for the neural one, which needs an encoder first.
        dictionary: what links the held-out pairs, so that all aligners are measured on the same words; None where
            the data have no dictionary for the pair: then the aligner itself.
        split: cuts pairs of sentences into the aligner's words.
        split_plain: cuts them into the dictionary's words.
        files: the dictionaries that were read.
    """

    aligner: WordAligner | None
    dictionary: DictionaryAligner | None
    split: Splitter
    split_plain: Splitter
    files: tuple[Path, ...]

    @property
    def measured_by(self) -> str:
        """Who links the held-out pairs."""
        return "dictionary" if self.dictionary is not None else "aligner"


def make_linker(config: RealignConfig, data: DataDirectory) -> Linker:
    """Find and read all that links words, apart from an encoder.

    Raises:
        UsageError: an unknown aligner, one that is not installed, or no dictionary for the pair.
        XalignError: a damaged dictionary or file of links.
    """
    languages = parse_pair(config.pair)
    dictionary = dictionary_aligner(data, languages)
    vocabularies = [_vocabulary(data, language) for language in languages]
    files = [*(dictionary[1] if dictionary else ()), *(path for _, paths in vocabularies for path in paths)]

    def split_plain(pairs: Pairs) -> tuple[SplitSentences, SplitSentences]:
        first, second = (
            SplitSentences(texts, [split_words(text, language, vocabulary) for text in texts])
            for texts, language, (vocabulary, _) in zip(
                (pairs.source, pairs.target), languages, vocabularies, strict=True
            )
        )
        return first, second

    split: Splitter = split_plain
    aligner: WordAligner | None = None
    if config.aligner == "dictionary":
        if dictionary is None:
            raise UsageError(
                f"{data.path}: no dictionary leads from {languages[0].code} to {languages[1].code} (muse/, lexicons/): "
                f"use --aligner statistical or neural"
            )
        aligner = dictionary[0]
    elif config.aligner == "statistical":
        aligner = StatisticalAligner()
    elif config.aligner not in ALIGNERS:
        if not Path(config.aligner).is_file():
            raise UsageError(f"aligner={config.aligner}: neither a file of links nor one of {', '.join(ALIGNERS)}")
        lines = [(clean(first), clean(second)) for first, second in read_pairs(data, config.pair)[1]]
        aligner, split = LinksFile(Path(config.aligner), lines), _between_blanks
    return Linker(aligner, dictionary[0] if dictionary else None, split, split_plain, tuple(files))


def _between_blanks(pairs: Pairs) -> tuple[SplitSentences, SplitSentences]:
    first, second = (
        SplitSentences(texts, [split_at_blanks(text) for text in texts]) for texts in (pairs.source, pairs.target)
    )
    return first, second


def _vocabulary(data: DataDirectory, language: Language) -> tuple[Collection[str], list[Path]]:
    """The words of a language that its dictionaries with English list, where its script puts no blanks."""
    if language.script not in UNSPACED:
        return (), []
    english = find("eng")
    found: set[str] = set()
    files = []
    for (source, target), path in data.dictionaries().items():
        if {source, target} == {english, language}:
            files.append(path)
            for word, translations in load_dictionary(path).items():
                found |= {word.lower()} if source == language else {other.lower() for other in translations}
    return found, files


def write_links(
    directory: Path, linker: Linker, corpus: PairCorpus, make_aligner: Callable[[], WordAligner], *, train: bool
) -> None:
    """Link the words of a corpus and write the links.

    Args:
        make_aligner: makes the aligner, which may take its time.
        train: whether the training pairs are wanted; the held-out ones always are.
    """
    measured = linker.dictionary.align(*linker.split_plain(corpus.held_out)) if linker.dictionary else None
    if train or measured is None:
        # Together: an aligner that learns from what it aligns knows the words of the held-out pairs too.
        every = Pairs(corpus.train.source + corpus.held_out.source, corpus.train.target + corpus.held_out.target)
        found = make_aligner().align(*linker.split(every))
        measured = found[len(corpus.train) :] if measured is None else measured
        _write(directory / TRAINED, found[: len(corpus.train)])
    _write(directory / MEASURED, measured)


def _write(path: Path, links: Sequence[Sequence[tuple[int, int]]]) -> None:
    write_text(path, "".join(" ".join(f"{i}-{j}" for i, j in each) + "\n" for each in links))


def links_written(directory: Path) -> bool:
    """Whether `write_links` came to its end."""
    return (directory / MEASURED).is_file()


def trained_links(directory: Path, config: RealignConfig, linker: Linker, corpus: PairCorpus) -> LinkedPairs:
    """The training pairs that have a link.

    Raises:
        XalignError: fewer than a batch.
    """
    pairs = _read(directory / TRAINED, linker.split(corpus.train), config).linked()
    if len(pairs) < config.realign_batch_size:
        raise XalignError(
            f"{config.aligner} links words in {len(pairs):,} of {len(corpus.train):,} sentence pairs, fewer than a "
            f"batch of {config.realign_batch_size}: use another aligner or more text, or lower realign_batch_size"
        )
    return pairs


def measured_links(directory: Path, config: RealignConfig, linker: Linker, corpus: PairCorpus) -> LinkedPairs:
    """The held-out words on which alignment is measured, each in one link at most.

    Raises:
        XalignError: fewer than two, among which no neighbour could be wrong.
    """
    split = linker.split_plain if linker.dictionary is not None else linker.split
    pairs = _read(directory / MEASURED, split(corpus.held_out), config)
    measured = one_of_each(pairs, config.measured_words, derive_seed(config.pair, "measured words"))
    if measured.words < 2:
        by_dictionary = linker.dictionary is not None
        linked = "the dictionary" if by_dictionary else f"aligner={config.aligner}"
        remedy = "a larger dictionary" if by_dictionary else "another aligner"
        raise XalignError(
            f"{config.pair}: {linked} links {measured.words} words in {len(corpus.held_out):,} held-out sentence "
            f"pairs, and alignment is measured on 2 at least: raise held_out, or use {remedy}"
        )
    return measured


def _read(path: Path, split: tuple[SplitSentences, SplitSentences], config: RealignConfig) -> LinkedPairs:
    source, target = split
    lengths = [(len(first), len(second)) for first, second in zip(source.spans, target.spans, strict=True)]
    pairs = LinkedPairs(source, target, read_links(path, lengths))
    return pairs if config.identical else pairs.without_identical()
