"""Properties of the abstract sentences and of the way in which languages put them into words."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from xalign.data.testbed.concepts import GENERAL, topic_of
from xalign.data.testbed.grammar import (
    OFF_TOPIC,
    ON_TOPIC,
    Clause,
    NounPhrase,
    Sampler,
    Sentence,
    sentence_concepts,
)
from xalign.data.testbed.languages import LANGUAGES
from xalign.data.testbed.realize import Realizer
from xalign.data.testbed.words import Lexicon

SEED = 13
DOER = NounPhrase("health.noun.00", determiner="det.def")
THING = NounPhrase("health.noun.01", determiner="det.indef", adjectives=("health.adj.00",))


@pytest.fixture(scope="module")
def realizers() -> dict[str, Realizer]:
    return {code: Realizer(Lexicon(typology, SEED)) for code, typology in LANGUAGES.items()}


@pytest.fixture(scope="module")
def sentences() -> list[Sentence]:
    sampler = Sampler(Random("test"))
    return [sampler.sentence() for _ in range(400)]


def tags(realizer: Realizer, sentence: Sentence) -> list[str]:
    return [word.upos for token in realizer.tokens(sentence) for word in token.words]


def single(clause: Clause) -> Sentence:
    return Sentence("health", (clause,))


def test_topic_of_a_sentence_is_that_of_most_of_its_topical_concepts(sentences: list[Sentence]) -> None:
    for sentence in sentences:
        counts = Counter(map(topic_of, sentence_concepts(sentence)))
        counts.pop(GENERAL, None)
        assert all(counts[sentence.topic] > count for topic, count in counts.items() if topic != sentence.topic)


def test_topical_concepts_are_off_topic_as_often_as_the_grammar_says(sentences: list[Sentence]) -> None:
    topical = [(s.topic, topic_of(c)) for s in sentences for c in sentence_concepts(s) if topic_of(c) != GENERAL]
    off_topic = sum(topic != own for topic, own in topical) / len(topical)
    assert off_topic == pytest.approx(OFF_TOPIC / (OFF_TOPIC + ON_TOPIC), rel=0.3)


def test_sampling_depends_on_the_seed_alone() -> None:
    first, second, other = (Sampler(Random(seed)) for seed in ("a", "a", "b"))
    assert [first.sentence() for _ in range(20)] == [second.sentence() for _ in range(20)]
    assert first.sentence() != other.sentence()


def test_objects_precede_the_verb_in_head_final_languages_and_follow_it_in_others(
    realizers: dict[str, Realizer],
) -> None:
    sentence = single(Clause(DOER, "health.verb.08", THING))
    for code, typology in LANGUAGES.items():
        order = tags(realizers[code], sentence)
        last_noun = len(order) - 1 - order[::-1].index("NOUN")
        assert (order.index("VERB") > last_noun) == (typology.order == "SOV")


def test_verb_second_keeps_its_place_after_a_fronted_adverb_and_the_infinitive_goes_last(
    realizers: dict[str, Realizer],
) -> None:
    clause = Clause(DOER, "health.verb.08", THING, adverb="general.adv.00", modal="aux.can", fronted=True)
    expected = ["ADV", "AUX", "DET", "NOUN", "DET", "ADJ", "NOUN", "VERB", "PUNCT"]
    assert tags(realizers["deu"], single(clause)) == expected
    expected = ["ADV", "DET", "NOUN", "AUX", "VERB", "DET", "ADJ", "NOUN", "PUNCT"]
    assert tags(realizers["eng"], single(clause)) == expected


def test_only_languages_with_articles_write_them(realizers: dict[str, Realizer]) -> None:
    sentence = single(Clause(DOER, "health.verb.08"))
    with_articles = {code for code, typology in LANGUAGES.items() if typology.articles}
    assert {code for code in LANGUAGES if "DET" in tags(realizers[code], sentence)} == with_articles


def test_adpositions_are_words_before_or_after_the_noun_or_endings(realizers: dict[str, Realizer]) -> None:
    place = NounPhrase("travel.noun.00", determiner="det.def")
    sentence = single(Clause(NounPhrase("pron.3s"), "health.verb.08", places=(("adp.in", place),)))
    assert tags(realizers["eng"], sentence)[2:5] == ["ADP", "DET", "NOUN"]
    assert tags(realizers["jpn"], sentence) == ["PRON", "ADP", "NOUN", "ADP", "VERB", "PUNCT"]
    assert "ADP" not in tags(realizers["kaz"], sentence)


def test_adjectives_agree_in_gender_where_the_language_has_it(realizers: dict[str, Realizer]) -> None:
    def adjectives(code: str) -> set[str]:
        forms = set()
        for number in range(12):
            noun = NounPhrase(f"travel.noun.{number:02}", adjectives=("general.adj.00",))
            tokens = realizers[code].tokens(single(Clause(noun, "health.verb.08")))
            forms |= {word.form for token in tokens for word in token.words if word.upos == "ADJ"}
        return forms

    assert len(adjectives("rus")) == LANGUAGES["rus"].genders == 3
    assert len(adjectives("eng")) == 1


def test_present_copula_is_dropped_where_the_language_does_without(realizers: dict[str, Realizer]) -> None:
    present = single(Clause(DOER, "aux.be", predicate="health.adj.00"))
    past = single(Clause(DOER, "aux.be", predicate="health.adj.00", tense="past"))
    assert "AUX" not in tags(realizers["rus"], present)
    assert "AUX" in tags(realizers["rus"], past)
    assert "AUX" in tags(realizers["eng"], present)


def test_negation_is_a_particle_or_an_ending(realizers: dict[str, Realizer]) -> None:
    sentence = single(Clause(DOER, "health.verb.08", negated=True))
    with_particle = {code for code in LANGUAGES if "PART" in tags(realizers[code], sentence)}
    assert with_particle == {code for code, typology in LANGUAGES.items() if typology.negation != "suffix"}


def test_contractions_are_one_token_of_two_words(realizers: dict[str, Realizer]) -> None:
    sentence = single(Clause(DOER, "health.verb.08", modal="aux.can", negated=True))
    (contraction,) = [token for token in realizers["eng"].tokens(sentence) if len(token.words) == 2]
    assert [word.upos for word in contraction.words] == ["AUX", "PART"]
    assert contraction.surface != "".join(word.form for word in contraction.words)


def test_scripts_without_spaces_have_none_and_the_others_none_before_punctuation(
    realizers: dict[str, Realizer], sentences: list[Sentence]
) -> None:
    for code, realizer in realizers.items():
        for sentence in sentences[:50]:
            text = realizer.text(realizer.tokens(sentence))
            assert (" " in text.removesuffix(".")) == LANGUAGES[code].spaces or len(text.split()) == 1
            assert " ." not in text and " ," not in text


def test_some_english_forms_are_nouns_here_and_verbs_there(
    realizers: dict[str, Realizer], sentences: list[Sentence]
) -> None:
    seen: dict[str, set[str]] = {}
    for sentence in sentences:
        for token in realizers["eng"].tokens(sentence):
            for word in token.words:
                seen.setdefault(word.form, set()).add(word.upos)
    assert sum({"NOUN", "VERB"} <= upos for upos in seen.values()) > 10


def test_at_least_twelve_universal_tags_are_used_in_every_language(
    realizers: dict[str, Realizer], sentences: list[Sentence]
) -> None:
    for realizer in realizers.values():
        assert len({tag for sentence in sentences for tag in tags(realizer, sentence)}) >= 12
