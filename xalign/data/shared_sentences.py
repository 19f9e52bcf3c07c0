"""Corpora cut to the sentences that they share in one language, so that pairs differ in the other language alone.

Pairs differ in domain, length and size as well as in language. `en-kk`, `ja-kk` and `kk-ko` cut to their common Kazakh
sentences say the same things, at equal size, with the same sentences held out: what differs then is the language.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from xalign.data.languages import Language, parse_pair
from xalign.errors import UsageError, XalignError

Pair = tuple[str, str]


def common_language(pairs: Sequence[str]) -> Language:
    """The one language that is in every pair.

    Raises:
        UsageError: none, or both.
    """
    common = set.intersection(*(set(parse_pair(pair)) for pair in pairs))
    if len(common) != 1:
        what = "no language" if not common else "both languages"
        raise UsageError(f"shared_with: {', '.join(pairs)} have {what} in common; name pairs that share exactly one")
    return common.pop()


def side_of(pair: str, language: Language) -> int:
    """0 where `language` is named first in the pair, else 1."""
    return parse_pair(pair).index(language)


def keep_shared(pairs: Iterable[Pair], side: int, others: Sequence[Iterable[str]], where: str) -> dict[str, Pair]:
    """Of each sentence that all corpora have, one pair: the first by text, whatever the order of the file.

    Args:
        pairs: the cleaned pairs of this corpus.
        side: which sentence of a pair is in the common language.
        others: the cleaned sentences of the other corpora in that language.
        where: names the corpora in the error.

    Returns:
        sentence in the common language → pair.

    Raises:
        XalignError: no sentence is in all corpora.
    """
    shared = set.intersection(*map(set, others))
    chosen: dict[str, Pair] = {}
    for pair in pairs:
        sentence = pair[side]
        if sentence in shared and (sentence not in chosen or pair[1 - side] < chosen[sentence][1 - side]):
            chosen[sentence] = pair
    if not chosen:
        raise XalignError(f"{where}: no sentence in common; shared_with needs corpora that overlap")
    return chosen
