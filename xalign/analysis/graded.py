"""Weak alignment in the graded sense: does similarity rise with how much two sentences have in common?

Veitsman, Liu & Schütze 2026, appendix A, equations 3 to 6. FLORES's metadata give the grades: a translation, another
sentence of the same article, one of the same domain, any other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

OTHER, SAME_DOMAIN, SAME_ARTICLE, TRANSLATION = range(4)


def grades(articles: Sequence[str], domains: Sequence[str]) -> np.ndarray:
    """The grade of every cross-lingual pair of sentences: (n, n) int8, symmetric.

    Args:
        articles: what names the article of each sentence, such as its URL.
        domains: the domain of each sentence.
    """
    article, domain = (np.unique(np.array(names), return_inverse=True)[1] for names in (articles, domains))
    table = np.where(domain[:, None] == domain, SAME_DOMAIN, OTHER).astype(np.int8)
    table[article[:, None] == article] = SAME_ARTICLE
    np.fill_diagonal(table, TRANSLATION)
    return table


def rho_weak(similarity: np.ndarray, graded: np.ndarray) -> float | None:
    """Spearman's ρ of similarity with grade over all pairs; None where one of them does not vary.

    Args:
        similarity: (n, n) cosines.
        graded: (n, n) small integers, from `grades`.
    """
    first, second = _ranks(similarity.ravel()), _ranks_of_integers(graded.ravel())
    first -= first.mean()
    second -= second.mean()
    scale = np.sqrt((first @ first) * (second @ second))
    return float(first @ second / scale) if scale > 0 else None


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, equal values sharing the mean of theirs."""
    order = np.argsort(values)
    ordered = values[order]
    group = np.concatenate([[0], np.cumsum(ordered[1:] != ordered[:-1])])
    ranks = np.empty(len(values))
    ranks[order] = _mean_ranks(np.bincount(group))[group]
    return ranks


def _ranks_of_integers(values: np.ndarray) -> np.ndarray:
    counts = np.bincount(values)
    return _mean_ranks(counts)[values]


def _mean_ranks(counts: np.ndarray) -> np.ndarray:
    """The mean rank of each group of equal values, groups in rising order."""
    ranks: np.ndarray = np.cumsum(counts) - (counts - 1) / 2
    return ranks
