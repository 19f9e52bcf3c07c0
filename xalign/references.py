"""What to cite for a method, a data set or a tool: BibTeX entries by the names that xalign gives them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import resources

from xalign.errors import UsageError

ENTRY = re.compile(r"^@(?P<kind>\w+)\{(?P<key>[\w-]+),\n(?P<body>.*?)^\}$", re.M | re.S)
FIELD = re.compile(r"^  (?P<name>\w+) = \{(?P<value>.*)\},$", re.M)
SUBJECTS = "keywords"


@dataclass(frozen=True)
class Reference:
    """A BibTeX entry; `subjects` are the names that it stands for."""

    kind: str
    key: str
    fields: dict[str, str]
    subjects: tuple[str, ...]

    def bibtex(self) -> str:
        """The entry as a bibliography wants it."""
        lines = [f"  {name} = {{{value}}},\n" for name, value in self.fields.items()]
        return f"@{self.kind}{{{self.key},\n{''.join(lines)}}}\n"


def references() -> list[Reference]:
    """All entries, in the order of the file."""
    text = (resources.files("xalign") / "data" / "references.bib").read_text(encoding="utf-8")
    found = []
    for entry in ENTRY.finditer(text):
        fields = {field["name"]: field["value"] for field in FIELD.finditer(entry["body"])}
        subjects = tuple(fields.pop(SUBJECTS).split(", "))
        found.append(Reference(entry["kind"], entry["key"], fields, subjects))
    return found


def cite(methods: Sequence[str]) -> list[Reference]:
    """The entries for names such as ``lora``, or for what a run's lineage calls its method: ``realign-before+lora``.

    Raises:
        UsageError: a name that stands for nothing, with those that do.
    """
    entries = references()
    known = dict.fromkeys(sorted(subject for entry in entries for subject in entry.subjects))
    wanted = set()
    for name in (part for method in methods for part in method.lower().split("+")):
        # The most specific part: of joint-pcgrad it is pcgrad, of joint-sum joint.
        subject = next((part for part in (name, *reversed(name.split("-"))) if part in known), None)
        if subject is None:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise UsageError(f"nothing to cite for {name!r}: {hint}known are {', '.join(known)}")
        wanted.add(subject)
    return [entry for entry in entries if wanted & set(entry.subjects)]
