from __future__ import annotations

import csv
import io

import pytest

from xalign.errors import UsageError
from xalign.report.render import Report, Table, escape_latex, render

TABLE = Table(
    "A & B_1",
    ("model", "100 %", "note|s"),
    (("base", 0.5, None), ("de-en", -0.25, "a|b [x] *")),
    ("five * and a dash –",),
)


def test_csv_keeps_full_precision_and_leaves_absent_values_empty() -> None:
    rows = list(csv.reader(io.StringIO(render(TABLE, "csv"))))
    assert rows == [["model", "100 %", "note|s"], ["base", "0.500000", ""], ["de-en", "-0.250000", "a|b [x] *"]]


def test_markdown_escapes_what_would_break_the_table() -> None:
    lines = render(TABLE, "markdown").splitlines()
    assert lines[0] == "### A & B_1"
    assert lines[2:6] == [
        r"| model | 100 % | note\|s |",
        "| --- | ---: | --- |",
        "| base | 0.500 | – |",
        r"| de-en | -0.250 | a\|b [x] \* |",
    ]
    assert lines[-1] == r"- five \* and a dash –"


def test_latex_has_booktabs_rules_and_no_live_special_characters() -> None:
    text = render(TABLE, "latex")
    assert r"\caption{A \& B\_1}" in text and r"\begin{tabular}{lrl}" in text
    assert r"base & 0.500 & -- \\" in text and r"de-en & $-$0.250 & a|b [x] * \\" in text
    assert text.index(r"\toprule") < text.index(r"\midrule") < text.index(r"\bottomrule")
    assert escape_latex(r"50% \x ~ {#} ^2") == (r"50\% \textbackslash{}x \textasciitilde{} \{\#\} \textasciicircum{}2")


def test_latex_protects_a_bracket_at_the_start_of_a_cell() -> None:
    assert escape_latex("[-0.1, +0.2]") == "{[$-$0.1, +0.2]}"
    assert escape_latex("de-en S1W0-M1") == "de-en S1W0-M1"


def test_rich_shows_markup_characters_as_they_are() -> None:
    text = render(TABLE, "rich")
    assert "a|b [x] *" in text and "A & B_1" in text and "five * and a dash" in text


def test_a_table_without_columns_is_a_list_of_notes() -> None:
    notes = Table("Notes", (), (), ("one", "two"))
    assert render(notes, "markdown") == "### Notes\n\n- one\n- two\n"
    assert "tabular" not in render(notes, "latex") and "two" in render(notes, "rich")


def test_a_report_is_all_its_tables_and_in_csv_its_main_data() -> None:
    report = Report("r", (TABLE, TABLE), {"r": TABLE, "r-more": Table("m", ("x",), ())})
    assert report.text("markdown").count("### A & B_1") == 2
    assert report.text("csv") == render(TABLE, "csv")


def test_an_unknown_format_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="rich, markdown, csv, latex"):
        render(TABLE, "html")


def test_a_row_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="1 values under 2 columns"):
        Table("t", ("a", "b"), (("x",),))
