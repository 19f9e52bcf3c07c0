"""From an abstract sentence to the words of one language, each with its universal part of speech."""

from __future__ import annotations

from dataclasses import dataclass

from xalign.data.testbed.concepts import UPOS_OF_CLASS, class_of
from xalign.data.testbed.grammar import Clause, NounPhrase, Sentence
from xalign.data.testbed.scripts import PUNCTUATION
from xalign.data.testbed.words import Lexicon


@dataclass(frozen=True, slots=True)
class Word:
    """One syntactic word; `meaning` is its concept or grammatical meaning, or the mark itself for punctuation."""

    form: str
    lemma: str
    upos: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Token:
    """What stands between spaces: one word, or two that were contracted into one `surface`."""

    surface: str
    words: tuple[Word, ...]


class Realizer:
    """Puts abstract sentences into one language."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon
        self._type = lexicon.typology
        self._marks = PUNCTUATION.get(self._type.script, {})
        self._words: dict[tuple[str, tuple[str, ...], str], Word] = {}

    def tokens(self, sentence: Sentence) -> list[Token]:
        """The sentence's tokens in order."""
        words = self._sentence(sentence)
        contractions = self._type.contractions
        if not contractions:
            return [Token(word.form, (word,)) for word in words]
        tokens: list[Token] = []
        for word in words:
            previous = tokens[-1].words if tokens else ()
            if len(previous) == 1 and (previous[0].meaning, word.meaning) in contractions:
                tokens[-1] = Token(previous[0].form + word.form[-1], (previous[0], word))
            else:
                tokens.append(Token(word.form, (word,)))
        return tokens

    def text(self, tokens: list[Token], *, spaced: bool = False) -> str:
        """The running text of `tokens`: spaces if the script has them or when `spaced`, none before punctuation."""
        if not (self._type.spaces or spaced):
            return "".join(token.surface for token in tokens)
        parts: list[str] = []
        for token in tokens:
            if parts and token.words[0].upos != "PUNCT":
                parts.append(" ")
            parts.append(token.surface)
        return "".join(parts)

    def _word(self, meaning: str, *endings: str, upos: str = "") -> Word:
        key = (meaning, endings, upos)
        word = self._words.get(key)
        if word is None:
            form, lemma = self._lexicon.form(meaning, endings), self._lexicon.form(meaning)
            tag = upos or ("NUM" if meaning.isdigit() else UPOS_OF_CLASS[class_of(meaning)])
            word = self._words[key] = Word(form, lemma, tag, meaning)
        return word

    def _mark(self, mark: str) -> Word:
        form = self._marks.get(mark, mark)
        return Word(form, form, "PUNCT", mark)

    def _sentence(self, sentence: Sentence) -> list[Word]:
        words: list[Word] = []
        if sentence.opener:
            words += [self._word(sentence.opener), self._mark(",")]
        first = sentence.clauses[0]
        if sentence.link is None:
            words += self._clause(first, sentence.question)
        else:
            words += self._linked(first, sentence.link, sentence.clauses[1])
        return [*words, self._mark("?" if sentence.question else ".")]

    def _linked(self, first: Clause, link: str, second: Clause) -> list[Word]:
        subordinate = link.startswith("sconj.")
        joint = self._word(link)
        if subordinate and self._type.order == "SOV":
            # Head-final languages put the subordinate clause first, and its subordinator last.
            return [*self._clause(second), joint, self._mark(","), *self._clause(first)]
        return [*self._clause(first), self._mark(","), joint, *self._clause(second, subordinate=subordinate)]

    def _clause(self, clause: Clause, question: bool = False, subordinate: bool = False) -> list[Word]:
        order = self._type.order
        subject = self._subject(clause.subject)
        finite, rest = self._verb(clause)
        objects = self._phrase(clause.object, "object") if clause.object else []
        if clause.verb == "aux.be":
            objects = self._predicate(clause)
        places = [word for adposition, phrase in clause.places for word in self._phrase(phrase, adposition)]
        adverb = [self._adverb(clause.adverb)] if clause.adverb else []
        if order == "SOV":
            particle = [self._word("part.question")] if question and self._type.question == "particle" else []
            return [*subject, *places, *objects, *adverb, *rest, *finite, *particle]
        if order == "V2":
            middle = [*objects, *places]
            if subordinate:
                return [*subject, *middle, *adverb, *rest, *finite]
            if question:
                return [*finite, *subject, *middle, *adverb, *rest]
            if clause.fronted and adverb:
                return [*adverb, *finite, *subject, *middle, *rest]
            return [*subject, *finite, *middle, *adverb, *rest]
        middle = [*rest, *objects, *places]
        if question and self._type.question == "inversion":
            return [*finite, *subject, *middle, *adverb]
        if clause.fronted:
            return [*adverb, *subject, *finite, *middle]
        return [*subject, *finite, *middle, *adverb]

    def _subject(self, phrase: NounPhrase) -> list[Word]:
        if self._type.drops_pronouns and phrase.head in ("pron.1s", "pron.2s"):
            return []
        return self._phrase(phrase, "subject")

    def _predicate(self, clause: Clause) -> list[Word]:
        if clause.object:
            return self._phrase(clause.object, "predicate")
        assert clause.predicate is not None
        return [self._word(clause.predicate, *self._agreement("adj", clause.subject))]

    def _adverb(self, concept: str) -> Word:
        """An adverb of its own, or an adjective turned into one: by an ending, or, with adjective agreement, bare."""
        if class_of(concept) == "adv":
            return self._word(concept)
        return self._word(concept, *(() if "adj" in self._type.agreement else ("adverb",)), upos="ADV")

    def _verb(self, clause: Clause) -> tuple[list[Word], list[Word]]:
        """The finite part of the verb with its negation, and what is left of it (none without an auxiliary)."""
        language = self._type
        auxiliary = clause.modal
        if auxiliary is None and clause.tense == "future" and language.future == "aux":
            auxiliary = "aux.will"
        bare = clause.verb == "aux.be" and clause.tense == "present" and not language.copula and auxiliary is None
        endings = self._tense(clause.tense) + self._person(clause.subject, clause.tense)
        rest: list[Word] = []
        if auxiliary:
            rest = [self._word(clause.verb, *(("inf",) if language.infinitive else ()))]
        if clause.negated and language.negation == "suffix" and not bare:
            endings = ("not", *endings)
        finite = [] if bare else [self._word(auxiliary or clause.verb, *endings)]
        if not clause.negated or (language.negation == "suffix" and not bare):
            return finite, rest
        particle = self._word("part.not")
        if language.negation == "after" and language.order == "V2":
            return finite, [particle, *rest]
        # Verb-medial languages put the particle after an auxiliary, but before a full verb.
        after_auxiliary = language.order == "SVO" and bool(finite) and finite[0].upos == "AUX"
        return ([*finite, particle] if language.negation == "after" or after_auxiliary else [particle, *finite]), rest

    def _tense(self, tense: str) -> tuple[str, ...]:
        language = self._type
        marked = tense == "past" or (tense == "present" and language.marked_present)
        return (tense,) if marked or (tense == "future" and language.future == "suffix") else ()

    def _person(self, subject: NounPhrase, tense: str) -> tuple[str, ...]:
        pronoun = subject.head[-2:] if subject.head.startswith("pron.") and subject.head != "pron.that" else "3s"
        person = "p" if subject.plural or subject.joined or pronoun.endswith("p") else pronoun
        if self._type.persons == "all":
            return (person,)
        return ("3s",) if self._type.persons == "3s" and person == "3s" and tense == "present" else ()

    def _agreement(self, word_class: str, phrase: NounPhrase) -> tuple[str, ...]:
        if word_class not in self._type.agreement:
            return ()
        gender = 0 if phrase.head.startswith("pron.") else self._lexicon.gender(phrase.head)
        return ("p1" if phrase.plural else str(gender),)

    def _phrase(self, phrase: NounPhrase, role: str) -> list[Word]:
        """A noun phrase in a role: ``subject``, ``object``, ``owner``, ``predicate`` or an adposition."""
        language = self._type
        adposition = role if role.startswith("adp.") else None
        case: str | None = role if role in language.cases else None
        if adposition in language.suffixed:
            case, adposition = role.removeprefix("adp."), None
        elif adposition and "oblique" in language.cases:
            case = "oblique"
        words = self._noun_group(phrase, () if case is None or language.particles else (case,))
        if case is not None and language.particles:
            words.append(self._word(f"ending.{case}", upos="ADP"))
        if adposition:
            words = [*words, self._word(adposition)] if language.postpositions else [self._word(adposition), *words]
        if phrase.joined:
            words += [self._word(phrase.joined[0]), *self._phrase(phrase.joined[1], role)]
        return words

    def _noun_group(self, phrase: NounPhrase, case: tuple[str, ...]) -> list[Word]:
        language = self._type
        if class_of(phrase.head) in ("pron", "name"):
            return [self._word(phrase.head, *case)]
        words: list[Word] = []
        determiner = phrase.determiner
        article = determiner in ("det.def", "det.indef")
        if determiner and (not article or (language.articles and not (phrase.plural and determiner == "det.indef"))):
            words.append(self._word(determiner, *self._agreement("det", phrase)))
        if phrase.number:
            words.append(self._word(phrase.number))
        plural = ("plural",) if phrase.plural and (phrase.number is None or language.plural_after_number) else ()
        noun = self._word(phrase.head, *plural, *case)
        agreement = self._agreement("adj", phrase)
        adjectives = [self._word(adjective, *agreement) for adjective in phrase.adjectives]
        words += [noun, *adjectives] if language.adjective_after else [*adjectives, noun]
        if phrase.owner is None:
            return words
        if language.owner_first:
            role = "owner" if "owner" in language.cases else "adp.of"
            return [*self._phrase(phrase.owner, role), *words]
        return [*words, *self._phrase(phrase.owner, "owner" if "owner" in language.cases else "adp.of")]
