"""Groups of languages whose changes are averaged: by what XLM-R has seen, by kinship with a pair, script and family."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from xalign.data.language_facts import SCRIPT_NAMES, facts
from xalign.data.languages import Language, find, parse_pair
from xalign.report.estimates import ENGLISH

ALL, SEEN, PAIR, SCRIPT, FAMILY = "all", "pre-training", "pair", "script", "family"
KINDS = (ALL, SEEN, PAIR, SCRIPT, FAMILY)
MOST = 12  # groups of a kind; where there are more, those of one language are put together
IN_PAIR, NEAR_PAIR, FAR = "in the pair", "same script or family as the pair", "neither"


@dataclass(frozen=True)
class Group:
    """Languages that are averaged: `kind` is one of `KINDS`, `languages` are codes."""

    kind: str
    name: str
    languages: tuple[str, ...]


def make_groups(codes: Sequence[str], pair: str) -> list[Group]:
    """The groups of tested languages, kind after kind, largest first; English, the language of training, is in none.

    Args:
        codes: of the tested languages.
        pair: that the encoder was aligned on.
    """
    others = [find(code) for code in codes if code != ENGLISH]
    if not others:
        return []
    groups = [Group(ALL, "all languages", tuple(language.code for language in others))]
    groups += _sorted_by(SEEN, others, lambda language: _seen(facts(language).in_xlmr))
    near = relation_to(pair)
    by_relation = {group.name: group for group in _sorted_by(PAIR, others, near)}
    groups += [by_relation[name] for name in (IN_PAIR, NEAR_PAIR, FAR) if name in by_relation]
    groups += _pooled(_sorted_by(SCRIPT, others, lambda language: SCRIPT_NAMES[language.script]), "scripts")
    return groups + _pooled(_sorted_by(FAMILY, others, lambda language: facts(language).family), "families")


def relation_to(pair: str) -> Callable[[Language], str]:
    """What a language has to do with the pair of an alignment."""
    members = parse_pair(pair)
    scripts = {member.script for member in members}
    families = {facts(member).family for member in members}

    def relation(language: Language) -> str:
        if language in members:
            return IN_PAIR
        return NEAR_PAIR if language.script in scripts or facts(language).family in families else FAR

    return relation


def _seen(in_xlmr: bool) -> str:
    return "seen by XLM-R" if in_xlmr else "not seen by XLM-R"


def _sorted_by(kind: str, languages: list[Language], name: Callable[[Language], str]) -> list[Group]:
    found: dict[str, list[str]] = defaultdict(list)
    for language in languages:
        found[name(language)].append(language.code)
    ordered = sorted(found, key=lambda group: (-len(found[group]), group))
    return [Group(kind, group, tuple(found[group])) for group in ordered]


def _pooled(groups: list[Group], what: str) -> list[Group]:
    single = [group for group in groups if len(group.languages) == 1]
    if len(groups) <= MOST or len(single) < 2:
        return groups
    together = tuple(code for group in single for code in group.languages)
    kept = [group for group in groups if group not in single]
    return [*kept, Group(groups[0].kind, f"{len(single)} {what} of one language", together)]
