"""Abstract sentences: who does what to whom, where and when, before any language puts it into words.

All parts are frozen and hashable, so two splits can be compared for a common sentence.
"""

from __future__ import annotations

from bisect import bisect
from collections import Counter
from dataclasses import dataclass
from itertools import accumulate
from random import Random

from xalign.data.testbed.concepts import ADPOSITIONS, GENERAL, TOPIC_SHARES, concepts_of, topic_of

ON_TOPIC = 0.85
OFF_TOPIC = 0.05
"""A content word is drawn from the sentence's topic, from another topic, or else from the general concepts."""

DETERMINERS = ("det.def",) * 9 + ("det.indef",) * 6 + ("det.this", "det.that", "det.every", "det.some")
PRONOUNS = ("pron.1s", "pron.2s", "pron.3s", "pron.1p", "pron.2p", "pron.3p", "pron.that")
LINKS = ("cconj.and", "cconj.or", "cconj.but", "sconj.because", "sconj.if", "sconj.when", "sconj.that")
TENSES = ("present", "present", "past", "past", "future")


@dataclass(frozen=True)
class NounPhrase:
    """A noun, name or pronoun with what belongs to it; `number` is a concept or a string of digits."""

    head: str
    plural: bool = False
    determiner: str | None = None
    adjectives: tuple[str, ...] = ()
    number: str | None = None
    owner: NounPhrase | None = None
    joined: tuple[str, NounPhrase] | None = None


@dataclass(frozen=True)
class Clause:
    """One predicate. `verb` is a concept, or ``aux.be`` with a predicate adjective or noun phrase."""

    subject: NounPhrase
    verb: str
    object: NounPhrase | None = None
    predicate: str | None = None
    places: tuple[tuple[str, NounPhrase], ...] = ()
    adverb: str | None = None
    modal: str | None = None
    tense: str = "present"
    negated: bool = False
    fronted: bool = False


@dataclass(frozen=True)
class Sentence:
    """One or two clauses; `topic` is the topic of most of its content concepts."""

    topic: str
    clauses: tuple[Clause, ...]
    link: str | None = None
    question: bool = False
    opener: str | None = None


def phrase_concepts(phrase: NounPhrase | None) -> list[str]:
    """The content concepts of a noun phrase, with those of its owner and of the phrase joined to it."""
    if phrase is None or phrase.head.startswith("pron."):
        return []
    number = [phrase.number] if phrase.number and not phrase.number.isdigit() else []
    joined = phrase_concepts(phrase.joined[1]) if phrase.joined else []
    return [phrase.head, *phrase.adjectives, *number, *phrase_concepts(phrase.owner), *joined]


def clause_concepts(clause: Clause) -> list[str]:
    """The content concepts of a clause, in no particular order."""
    single = [word for word in (clause.verb, clause.predicate, clause.adverb) if word and word != "aux.be"]
    phrases = (clause.subject, clause.object, *(phrase for _, phrase in clause.places))
    return [*single, *(concept for phrase in phrases for concept in phrase_concepts(phrase))]


def sentence_concepts(sentence: Sentence) -> list[str]:
    """The content concepts of a sentence, with repetitions."""
    return [concept for clause in sentence.clauses for concept in clause_concepts(clause)]


class Sampler:
    """Draws abstract sentences; every number comes from the generator it was given."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._topics = list(TOPIC_SHARES)
        self._topic_weights = list(accumulate(TOPIC_SHARES.values()))
        self._concepts: dict[tuple[str, str], tuple[list[str], list[float]]] = {}
        for topic in (*self._topics, GENERAL):
            for word_class in ("noun", "verb", "adj", "adv", "name", "num"):
                concepts = concepts_of(topic, word_class)
                # Zipf's law with a flat head: the rarest noun of a topic is a tenth as frequent as the commonest.
                weights = list(accumulate(1 / (rank + 3) for rank in range(len(concepts))))
                self._concepts[topic, word_class] = concepts, weights

    def sentence(self) -> Sentence:
        """Draw until most of the content concepts belong to the topic that the sentence was meant to have."""
        while True:
            topic = self._pick(self._topics, self._topic_weights)
            sentence = self._attempt(topic)
            counts = Counter(map(topic_of, sentence_concepts(sentence)))
            counts.pop(GENERAL, None)
            ranking = counts.most_common(2)
            if ranking and ranking[0][0] == topic and (len(ranking) == 1 or ranking[0][1] > ranking[1][1]):
                return sentence

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def _one(self, choices: tuple[str, ...]) -> str:
        return choices[int(self._random.random() * len(choices))]

    def _pick(self, items: list[str], cumulative: list[float]) -> str:
        return items[min(bisect(cumulative, self._random.random() * cumulative[-1]), len(items) - 1)]

    def _concept(self, topic: str, word_class: str) -> str:
        draw = self._random.random()
        if draw < OFF_TOPIC:
            topic = self._one(tuple(self._topics))
        elif draw > OFF_TOPIC + ON_TOPIC:
            topic = GENERAL
        return self._pick(*self._concepts[topic, word_class])

    def _attempt(self, topic: str) -> Sentence:
        short = self._chance(0.15)
        clauses = [self._clause(topic, short)]
        link = None
        if not short and self._chance(0.2):
            link = self._one(LINKS)
            clauses.append(self._clause(topic, True))
        question = link is None and self._chance(0.08)
        opener = self._one(("intj.well", "intj.oh")) if self._chance(0.03) else None
        return Sentence(topic, tuple(clauses), link, question, opener)

    def _clause(self, topic: str, short: bool) -> Clause:
        subject = self._phrase(topic, short, may_be_pronoun=0.25)
        tense = self._one(TENSES)
        negated = self._chance(0.12)
        modal = self._one(("aux.can", "aux.must")) if tense == "present" and self._chance(0.25) else None
        if self._chance(0.15):
            place = () if short or self._chance(0.5) else (self._place(topic),)
            if self._chance(0.6):
                predicate = self._concept(topic, "adj")
                return Clause(subject, "aux.be", None, predicate, place, None, modal, tense, negated)
            return Clause(subject, "aux.be", self._phrase(topic, short), None, place, None, modal, tense, negated)
        count = 0 if short else int(self._random.random() * 2.4)
        return Clause(
            subject=subject,
            verb=self._concept(topic, "verb"),
            object=self._phrase(topic, short, may_be_pronoun=0.08) if self._chance(0.7) else None,
            places=tuple(self._place(topic) for _ in range(count)),
            adverb=self._adverb(topic) if self._chance(0.3) else None,
            modal=modal,
            tense=tense,
            negated=negated,
            fronted=self._chance(0.4),
        )

    def _adverb(self, topic: str) -> str:
        if self._chance(0.35):
            return self._concept(topic, "adj")
        return self._pick(*self._concepts[GENERAL, "adv"])

    def _place(self, topic: str) -> tuple[str, NounPhrase]:
        return self._one(ADPOSITIONS), self._phrase(topic, True)

    def _phrase(self, topic: str, short: bool, may_be_pronoun: float = 0.0) -> NounPhrase:
        if self._chance(may_be_pronoun):
            return NounPhrase(self._one(PRONOUNS))
        if self._chance(0.14):
            return NounPhrase(self._concept(topic, "name"))
        number = None
        if self._chance(0.1):
            digits = str(2 + int(self._random.random() * 98))
            number = digits if self._chance(0.5) else self._pick(*self._concepts[GENERAL, "num"])
        plural = number is not None or self._chance(0.3)
        adjectives = tuple(self._concept(topic, "adj") for _ in range(self._chance(0.3)))
        determiner = None if number else self._one(DETERMINERS)
        owner = self._phrase(topic, True) if not short and self._chance(0.15) else None
        joined = None
        if not short and owner is None and self._chance(0.08):
            joined = self._one(("cconj.and", "cconj.or")), self._phrase(topic, True)
        return NounPhrase(self._concept(topic, "noun"), plural, determiner, adjectives, number, owner, joined)
