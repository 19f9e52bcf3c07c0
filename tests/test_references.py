"""References: every entry is whole, and every name that xalign uses finds one."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from xalign.__main__ import run
from xalign.errors import UsageError
from xalign.references import Reference, cite, references

TEXT = (resources.files("xalign") / "data" / "references.bib").read_text(encoding="utf-8")
SUBJECTS = (
    "xalign", "align", "hictl", "survey", "realign", "alignfreeze", "langalign", "lora", "monolingual", "simcse",
    "codeswitch", "procrustes", "centring", "pcgrad", "cagrad", "mgda", "gradvac", "gradcache", "muse", "sib200",
    "flores200", "opus", "opus100", "multiccaligned", "ud", "xlmr", "zero", "deepspeed",
)  # fmt: skip
WHERE = {"misc": "eprint", "inproceedings": "booktitle", "article": "journal"}


def test_every_entry_of_the_file_is_read_and_keys_are_unique() -> None:
    keys = [entry.key for entry in references()]
    assert len(keys) == TEXT.count("\n@") == len(set(keys))
    lines = [line for line in TEXT.splitlines() if " = " in line]
    assert len(lines) == sum(len(entry.fields) + 1 for entry in references())


@pytest.mark.parametrize("entry", references(), ids=lambda entry: entry.key)
def test_an_entry_is_whole(entry: Reference) -> None:
    assert {"title", "author", "year", WHERE[entry.kind]} <= set(entry.fields)
    assert re.fullmatch(r"(19|20)\d\d", entry.fields["year"]) and entry.fields["year"] in entry.key
    for value in entry.fields.values():
        depth = 0
        for character in value:
            depth += (character == "{") - (character == "}")
            assert depth >= 0
        assert depth == 0 and value.isascii() and value.strip() == value
    if "eprint" in entry.fields:
        assert re.fullmatch(r"\d{4}\.\d{5}", entry.fields["eprint"]) and entry.fields["archiveprefix"] == "arXiv"
        assert 2000 + int(entry.fields["eprint"][:2]) <= int(entry.fields["year"])
    authors = entry.fields["author"].split(" and ")
    assert all(", " in author or author.startswith("{") for author in authors)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_subject_has_an_entry(subject: str) -> None:
    assert all(subject in entry.subjects for entry in cite([subject])) and cite([subject])


def test_a_lineage_s_method_cites_each_part_once() -> None:
    keys = [entry.key for entry in cite(["realign-before+lora", "lora"])]
    assert keys == ["gaschi2023realignment", "bakos2025alignfreeze", "hu2022lora"]
    assert [entry.key for entry in cite(["joint-pcgrad-w0.3"])] == [entry.key for entry in cite(["pcgrad"])]
    assert [entry.key for entry in cite(["joint-sum-lower"])] == ["veitsman2026alignment"]


def test_an_unknown_method_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"'lorra': did you mean lora\? known are advise, align, .*zero"):
        cite(["lorra"])


def test_the_command_prints_what_bibtex_reads(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cite", "align", "LoRA"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("@") == 3 and "keywords" not in shown and shown.count("{") == shown.count("}")
    assert "@inproceedings{hu2022lora,\n  title = {{LoRA}: Low-Rank" in shown
    assert run(["cite", "nothing-known"]) == 2
