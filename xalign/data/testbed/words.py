"""Words: roots drawn from sound patterns, shared between related languages, changed by sound laws, and inflected."""

from __future__ import annotations

from random import Random

from xalign.data.testbed import scripts
from xalign.data.testbed.concepts import GRAMMAR, all_concepts, base_noun, class_of
from xalign.data.testbed.languages import FAMILIES, Sound, Typology
from xalign.data.testbed.scripts import Syllable

Root = tuple[Syllable, ...]

ENDINGS = (
    *("plural", "past", "present", "future", "not", "inf", "verbal", "adverb"),
    *("1s", "2s", "3s", "p", "0", "1", "2", "p1"),
    *("subject", "object", "owner", "oblique", "in", "on", "to", "from", "with", "for"),
)
ATTEMPTS = 200


def draw(random: Random, sound: Sound, syllables: int | None = None) -> Root:
    """A root of the given sound pattern, of `syllables` syllables or of a length that the pattern draws."""

    def one(options: str) -> str:
        choices = options.split()
        return choices[int(random.random() * len(choices))].replace("-", "")

    count = syllables or int(one(sound.syllables))
    return tuple((one(sound.onsets), one(sound.vowels), one(sound.codas)) for _ in range(count))


class Lexicon:
    """All words of one language.

    Attributes:
        stock: for each content concept the family its root comes from, or the language's own code.
    """

    def __init__(self, typology: Typology, seed: int) -> None:
        """Build the roots; the same seed gives related languages the same roots before sound changes."""
        self.typology = typology
        self.stock: dict[str, str] = {}
        self._seed = seed
        self._taken: set[str] = set()
        self._roots: dict[str, Root] = {}
        self._forms: dict[tuple[str, tuple[str, ...]], str] = {}
        self._genders: dict[str, int] = {}
        self._add_grammar()
        for concept in all_concepts():
            self._add(concept)

    def form(self, name: str, endings: tuple[str, ...] = ()) -> str:
        """The spelled word of a concept or grammatical meaning with its endings; digits stand for themselves."""
        key = (name, endings)
        known = self._forms.get(key)
        if known is None:
            known = self._forms[key] = self._spell(name, endings)
        return known

    def gender(self, concept: str) -> int:
        """The gender of a noun: arbitrary, but always the same."""
        if concept not in self._genders:
            draw_gender = Random(f"{self._seed}/{self.typology.code}/gender/{concept}").random()
            self._genders[concept] = int(draw_gender * self.typology.genders)
        return self._genders[concept]

    def _spell(self, name: str, endings: tuple[str, ...]) -> str:
        if name.isdigit():
            return name
        script, letters = self.typology.script, self.typology.letters
        ending = [syllable for ending in endings for syllable in self._roots[f"ending.{ending}"]]
        root = self._roots[name]
        if class_of(name) == "name":
            if script == "Jpan":
                return scripts.kana(root, katakana=True) + scripts.kana(ending)
            return scripts.spell(script, root, ending, letters).capitalize()
        if script == "Jpan" and (name in GRAMMAR or name.startswith("ending.")):
            return scripts.kana((*root, *ending))
        return scripts.spell(script, root, ending, letters)

    def _add_grammar(self) -> None:
        """Grammatical words have one syllable, endings start with their vowel where the script allows it."""
        typology = self.typology
        alphabetic = typology.script in ("Latn", "Cyrl")
        for name in (*GRAMMAR, *(f"ending.{ending}" for ending in ENDINGS)):
            if name in typology.homographs:
                continue
            for attempt in range(ATTEMPTS):
                random = Random(f"{self._seed}/{typology.code}/{name}/{attempt}")
                root = draw(random, typology.sound, 1 if attempt < ATTEMPTS // 2 else 2)
                if name.startswith("ending.") and alphabetic:
                    root = (("", *root[0][1:]), *root[1:])
                if self._claim(name, root):
                    break
        for name, original in typology.homographs.items():
            self._roots[name] = self._roots[original]

    def _add(self, concept: str) -> None:
        """Give a concept its root: a derived verb its noun's, a name the common one, others a stock's or an own one."""
        noun = base_noun(concept)
        if noun is not None:
            verbal = () if self.typology.zero_derivation else self._roots["ending.verbal"]
            self._roots[concept], self.stock[concept] = (*self._roots[noun], *verbal), self.stock[noun]
            return
        families = {"names": 1.0} if class_of(concept) == "name" else self.typology.stocks
        for family, share in families.items():
            random = Random(f"{self._seed}/{family}/{concept}")
            if random.random() < share:
                root = draw(random, FAMILIES[family])
                if self._claim(concept, root if family == "names" else self._changed(root)):
                    self.stock[concept] = family
                    return
        self.stock[concept] = self.typology.code
        for attempt in range(ATTEMPTS):
            random = Random(f"{self._seed}/{self.typology.code}/{concept}/{attempt}")
            if self._claim(concept, draw(random, self.typology.sound)):
                return

    def _claim(self, name: str, root: Root) -> bool:
        """Take `root` for `name` unless another word is spelled like it."""
        self._roots[name] = root
        spelled = self._spell(name, ())
        if spelled in self._taken:
            return False
        self._taken.add(spelled)
        return True

    def _changed(self, root: Root) -> Root:
        law = str.maketrans(dict(self.typology.changes))
        return tuple((onset.translate(law), vowel.translate(law), coda.translate(law)) for onset, vowel, coda in root)


def relatedness(first: Lexicon, second: Lexicon) -> float:
    """Share of the content concepts, names apart, whose roots the two languages have from the same stock."""
    concepts = [concept for concept in first.stock if class_of(concept) != "name"]
    shared = sum(first.stock[concept] == second.stock[concept] for concept in concepts)
    return shared / len(concepts)
