"""Which abstract sentences go where: every part of the testbed gets its own, and some things only the tests have."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from xalign.data.testbed.concepts import GENERAL, all_concepts, class_of, topic_of
from xalign.data.testbed.grammar import Sampler, Sentence, sentence_concepts

TOPIC_SPLITS = {"train": 701, "dev": 99, "test": 204}
TREEBANK_SPLITS = {"train": 1200, "dev": 150, "test": 200}
FLORES_SENTENCES = 1012
PARALLEL_PAIRS = 6000
MONO_SENTENCES = 12_000
PAIRS = ("de-en", "en-kk", "ja-kk", "kk-ko")
TRAINED_LANGUAGE = "eng"
"""The only language with a treebank to train on, as in zero-shot transfer."""

UNSEEN_CONCEPTS = 0.12
UNSEEN_COMBINATIONS = 0.10
"""Share of the topical concepts, and of the verb–object combinations, that no task's training data has."""

ARTICLE_SENTENCES = 3


@dataclass(frozen=True)
class Corpus:
    """Abstract sentences of every part; no sentence is in two of them, and none occurs twice."""

    topics: dict[str, list[Sentence]]
    """Split -> sentences, the same in all languages."""
    treebanks: dict[tuple[str, str], list[Sentence]]
    """(language, split) -> sentences."""
    flores: list[Sentence]
    """The many-way test set, article by article: sentences ``3n`` to ``3n + 2`` have one topic, but for the last."""
    parallel: dict[str, list[Sentence]]
    mono: dict[str, list[list[Sentence]]]
    """Language -> paragraphs, each of one topic."""


def unseen_concepts(seed: int) -> frozenset[str]:
    """The topical concepts that are kept out of every task's training and development data."""
    random = Random(f"{seed}/unseen concepts")
    candidates = [name for name in all_concepts() if topic_of(name) != GENERAL and class_of(name) != "name"]
    return frozenset(name for name in candidates if random.random() < UNSEEN_CONCEPTS)


class CombinationFilter:
    """Decides which verb–object combinations are kept out of training, by a seeded draw for each."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._known: dict[tuple[str, str], bool] = {}

    def is_unseen(self, verb: str, noun: str) -> bool:
        """Whether only test sets may have this verb with this object."""
        key = (verb, noun)
        if key not in self._known:
            self._known[key] = Random(f"{self._seed}/unseen combination/{verb}/{noun}").random() < UNSEEN_COMBINATIONS
        return self._known[key]


def build_corpus(languages: list[str], seed: int) -> Corpus:
    """Draw all parts, from small to large, with one set of sentences already used."""
    used: set[Sentence] = set()
    concepts, combinations = unseen_concepts(seed), CombinationFilter(seed)

    def trainable(sentence: Sentence) -> bool:
        if not concepts.isdisjoint(sentence_concepts(sentence)):
            return False
        return not any(c.object and combinations.is_unseen(c.verb, c.object.head) for c in sentence.clauses)

    def fresh(part: str, count: int, *, training: bool = False) -> list[Sentence]:
        sampler = Sampler(Random(f"{seed}/{part}"))
        chosen: list[Sentence] = []
        while len(chosen) < count:
            sentence = sampler.sentence()
            if sentence not in used and (not training or trainable(sentence)):
                used.add(sentence)
                chosen.append(sentence)
        return chosen

    return Corpus(
        topics={
            split: fresh(f"topics/{split}", count, training=split != "test") for split, count in TOPIC_SPLITS.items()
        },
        treebanks={
            (language, split): fresh(f"treebank/{language}/{split}", count, training=split != "test")
            for language in languages
            for split, count in TREEBANK_SPLITS.items()
            if split == "test" or language == TRAINED_LANGUAGE
        },
        flores=[sentence for article in articles(fresh("flores", FLORES_SENTENCES)) for sentence in article],
        parallel={pair: fresh(f"parallel/{pair}", PARALLEL_PAIRS) for pair in PAIRS},
        mono={language: articles(fresh(f"mono/{language}", MONO_SENTENCES)) for language in languages},
    )


def articles(sentences: list[Sentence]) -> list[list[Sentence]]:
    """Group sentences by threes of one topic; the last groups are shorter."""
    waiting: dict[str, list[Sentence]] = {}
    complete: list[list[Sentence]] = []
    for sentence in sentences:
        article = waiting.setdefault(sentence.topic, [])
        article.append(sentence)
        if len(article) == ARTICLE_SENTENCES:
            complete.append(waiting.pop(sentence.topic))
    return complete + list(waiting.values())
