"""What the constructed languages talk about: several hundred abstract concepts in SIB-200's seven topics.

A concept is a string ``<topic>.<class>.<number>`` such as ``health.noun.07``; it has no meaning beyond its topic
and its class, and no word until a language gives it one. A smaller number is a more frequent concept.
Grammatical meanings (``det.def``, ``adp.in``, ``aux.will``) are named, since a grammar refers to them one by one.
"""

from __future__ import annotations

TOPIC_SHARES = {
    "entertainment": 0.10,
    "geography": 0.10,
    "health": 0.13,
    "politics": 0.15,
    "science/technology": 0.21,
    "sports": 0.13,
    "travel": 0.18,
}
"""Share of each topic among the sentences, uneven as in SIB-200."""

GENERAL = "general"
"""The topic of concepts that occur with every topic alike, and so say nothing about it."""

TOPIC_SIZES = {"noun": 18, "verb": 9, "adj": 6, "name": 4}
GENERAL_SIZES = {"noun": 28, "verb": 18, "adj": 14, "adv": 16, "name": 6, "num": 10}

DERIVED_VERBS = 4
"""The first verbs of every topic are derived from the nouns with the same numbers, in every language."""

GRAMMAR = (
    *("det.def", "det.indef", "det.this", "det.that", "det.every", "det.some"),
    *("pron.1s", "pron.2s", "pron.3s", "pron.1p", "pron.2p", "pron.3p", "pron.that"),
    *("adp.in", "adp.on", "adp.to", "adp.from", "adp.with", "adp.for", "adp.of"),
    *("aux.be", "aux.will", "aux.can", "aux.must"),
    *("cconj.and", "cconj.or", "cconj.but", "sconj.because", "sconj.if", "sconj.when", "sconj.that"),
    *("part.not", "part.question", "intj.well", "intj.oh"),
)
ADPOSITIONS = tuple(name for name in GRAMMAR if name.startswith("adp.") and name != "adp.of")

UPOS_OF_CLASS = {
    "noun": "NOUN",
    "verb": "VERB",
    "adj": "ADJ",
    "adv": "ADV",
    "name": "PROPN",
    "num": "NUM",
    "det": "DET",
    "pron": "PRON",
    "adp": "ADP",
    "aux": "AUX",
    "cconj": "CCONJ",
    "sconj": "SCONJ",
    "part": "PART",
    "intj": "INTJ",
}


def concepts_of(topic: str, word_class: str) -> list[str]:
    """The concepts of one topic (or ``GENERAL``) and class, the most frequent first."""
    sizes = GENERAL_SIZES if topic == GENERAL else TOPIC_SIZES
    return [f"{topic}.{word_class}.{number:02}" for number in range(sizes.get(word_class, 0))]


def all_concepts() -> list[str]:
    """Every content concept, topic by topic."""
    return [
        concept
        for topic in (*TOPIC_SHARES, GENERAL)
        for word_class in dict.fromkeys((*TOPIC_SIZES, *GENERAL_SIZES))
        for concept in concepts_of(topic, word_class)
    ]


def topic_of(concept: str) -> str:
    """``health`` for ``health.noun.07``."""
    return concept.split(".")[0]


def class_of(name: str) -> str:
    """``noun`` for ``health.noun.07``, ``det`` for ``det.def``."""
    parts = name.split(".")
    return parts[1] if len(parts) == 3 else parts[0]


def base_noun(concept: str) -> str | None:
    """The noun from which a derived verb is made, or None."""
    topic, word_class, number = concept.split(".")
    return f"{topic}.noun.{number}" if word_class == "verb" and int(number) < DERIVED_VERBS else None
