"""How near languages are to each other: kinship, script, type, shared subwords; on the testbed, its known relatedness.

`data/typology.tsv` has the kinship and six features of type for the paper's languages and two more. A language
that is not in it has no proximity of these kinds.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np

from xalign.data.languages import Language, find
from xalign.storage import read_json

KINSHIP = ("family", "branch")
MEASURES = ("kinship", "script", "typology", "subwords", "relatedness")


@cache
def typology() -> dict[str, dict[str, str]]:
    """Code → feature → value."""
    text = (resources.files("xalign") / "data" / "typology.tsv").read_text(encoding="utf-8")
    return {row.pop("code"): row for row in csv.DictReader(text.splitlines(), delimiter="\t")}


def kinship(first: Language, second: Language) -> float | None:
    """1 for the same branch, ½ for the same family, 0 for neither; None where a language is not in the table."""
    table = typology()
    if first.code not in table or second.code not in table:
        return None
    return float(np.mean([table[first.code][level] == table[second.code][level] for level in KINSHIP]))


def same_script(first: Language, second: Language) -> float:
    """1 for the same script, else 0; Japanese shares its ideographs with Chinese, and counts ½."""
    scripts = {first.script, second.script}
    if len(scripts) == 1:
        return 1.0
    return 0.5 if "Jpan" in scripts and scripts & {"Hans", "Hant"} else 0.0


def typological_similarity(first: Language, second: Language) -> float | None:
    """Share of the features of type with the same value; None where a language is not in the table."""
    table = typology()
    if first.code not in table or second.code not in table:
        return None
    features = [name for name in table[first.code] if name not in KINSHIP]
    return float(np.mean([table[first.code][name] == table[second.code][name] for name in features]))


def subword_overlap(first: set[int], second: set[int]) -> float:
    """Jaccard overlap of the sets of subword ids that two languages use in translations of one text."""
    union = first | second
    return len(first & second) / len(union) if union else 0.0


def known_relatedness(testbed: Path) -> dict[frozenset[str], float]:
    """{language, language} → share of common roots, as the testbed in the directory `testbed` was built."""
    pairs = read_json(testbed / "TESTBED.json")["relatedness"]
    return {frozenset(name.split("-")): float(value) for name, value in pairs.items()}


def nearest(proximities: list[float | None]) -> float | None:
    """The largest of several proximities: how near a target is to the nearer of two alignment languages."""
    known = [value for value in proximities if value is not None]
    return max(known, default=None)


def proximity(measure: str, first: str, second: str, *, known: dict[frozenset[str], float] | None = None,
              subwords: Mapping[str, set[int]] | None = None) -> float | None:  # fmt: skip
    """One of `MEASURES` between two languages by code; None where it is not known."""
    if measure == "relatedness":
        return 1.0 if first == second else (known or {}).get(frozenset((first, second)))
    if measure == "subwords":
        both = subwords and first in subwords and second in subwords
        return subword_overlap(subwords[first], subwords[second]) if subwords and both else None
    compare = {"kinship": kinship, "script": same_script, "typology": typological_similarity}[measure]
    return compare(find(first), find(second))
