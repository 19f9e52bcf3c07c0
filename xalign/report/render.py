"""One table, four ways to show it: terminal (rich), Markdown, CSV, LaTeX (booktabs)."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xalign.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Value = str | int | float | None
FORMATS = ("rich", "markdown", "csv", "latex")
ABSENT = "–"
LATEX_ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "−": "$-$",
    "·": r"$\cdot$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "³": r"$^3$",
    "Δ": r"$\Delta$",
    "ρ": r"$\rho$",
    "γ": r"$\gamma$",
    "ε": r"$\varepsilon$",
    "…": r"\dots{}",
    "≤": r"$\leq$",
}
MINUS = re.compile(r"(?<![\w.])-(?=\d)")


@dataclass(frozen=True)
class Table:
    """A rectangular table; without columns it is a list of notes. None is an empty field in CSV, a dash elsewhere.

    Raises:
        ValueError: a row is not as long as the header.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{self.title}: {len(row)} values under {len(self.columns)} columns")


def render(table: Table, format: str) -> str:
    """A table as text in one of the `FORMATS`; "rich" gives what a terminal of 120 columns without colours shows.

    Raises:
        UsageError: an unknown format.
    """
    if format == "rich":
        from rich.console import Console

        from xalign.report.terminal import to_rich

        console = Console(file=io.StringIO(), width=120, no_color=True)
        with console.capture() as captured:
            console.print(to_rich(table))
        return captured.get()
    writers = {"markdown": to_markdown, "csv": to_csv, "latex": to_latex}
    if format not in writers:
        raise UsageError(f"format {format!r} is unknown: choose from {', '.join(FORMATS)}")
    return writers[format](table)


def shown(value: Value) -> str:
    """A value as people read it: three decimals, a dash for none."""
    if value is None:
        return ABSENT
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def is_number(column: int, table: Table) -> bool:
    """Whether to align a column to the right: the first one names the row, the others hold values."""
    return column > 0 and any(isinstance(row[column], (int, float)) for row in table.rows)


@dataclass(frozen=True)
class Drawing:
    """A figure: the name of its files, its title, a sentence on what it shows, and the function that draws it."""

    name: str
    title: str
    caption: str
    draw: Callable[[], Figure]

    def text(self, format: str) -> str:
        """A reference to the PNG file in Markdown or LaTeX (needs ``\\usepackage{graphicx}``); else the caption."""
        if format == "markdown":
            return f"![{self.title}]({self.name}.png)\n\n{self.title}. {self.caption}\n"
        if format == "latex":
            caption = escape_latex(f"{self.title}. {self.caption}")
            image = rf"\includegraphics[width=\linewidth]{{{self.name}.png}}"
            return "\n".join([r"\begin{figure}", r"\centering", image, rf"\caption{{{caption}}}", r"\end{figure}", ""])
        return f"{self.title}: {self.name}.png, {self.name}.svg\n"


@dataclass(frozen=True)
class Report:
    """Tables and figures for people, and tidy tables for programs, keyed by the name of their file.

    The first `leading` tables are the report's answer, the others its companions; the first of `data` is the main one.
    """

    name: str
    tables: tuple[Table, ...]
    data: dict[str, Table]
    figures: tuple[Drawing, ...] = ()
    leading: int = 1

    def text(self, format: str) -> str:
        """The whole report in one of the `FORMATS`; "csv" gives the main tidy table.

        Raises:
            UsageError: an unknown format.
        """
        if format == "csv":
            return to_csv(next(iter(self.data.values())))
        return "\n".join([*(render(table, format) for table in self.tables), *(f.text(format) for f in self.figures)])


def to_markdown(table: Table) -> str:
    """A GitHub table under a heading, with the notes as a list."""

    def line(values: list[str]) -> str:
        return "| " + " | ".join(value.replace("|", "\\|") for value in values) + " |"

    lines = [f"### {table.title}", ""]
    if table.columns:
        rule = ["---:" if is_number(index, table) else "---" for index in range(len(table.columns))]
        lines += [line(list(table.columns)), line(rule)]
        lines += [line([shown(value).strip().replace("*", "\\*") for value in row]) for row in table.rows]
        lines += [""] if table.notes else []
    lines += ["- " + note.replace("*", "\\*") for note in table.notes]
    return "\n".join(lines) + "\n"


def to_csv(table: Table) -> str:
    """Header and rows: full precision (6 decimals), an empty field for no value; title and notes are left out."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(table.columns)
    for row in table.rows:
        writer.writerow([f"{value:.6f}" if isinstance(value, float) else value for value in row])
    return stream.getvalue()


def to_latex(table: Table) -> str:
    """A ``table`` environment with booktabs rules; needs ``\\usepackage{booktabs}``. A list of notes is a paragraph."""
    notes = [rf"\par\footnotesize {escape_latex(note)}" for note in table.notes]
    if not table.columns:
        return "\n".join([rf"\paragraph{{{escape_latex(table.title)}}}", *notes]) + "\n"
    alignment = "".join("r" if is_number(index, table) else "l" for index in range(len(table.columns)))
    lines = [
        r"\begin{table}",
        r"\centering\small",
        rf"\caption{{{escape_latex(table.title)}}}",
        rf"\begin{{tabular}}{{{alignment}}}",
        r"\toprule",
        " & ".join(escape_latex(column) for column in table.columns) + r" \\",
        r"\midrule",
        *(" & ".join(escape_latex(shown(value)) for value in row) + r" \\" for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        *notes,
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def escape_latex(text: str) -> str:
    """Text in which LaTeX sees no commands, and negative numbers have a minus sign.

    A bracket at the start of a cell would be read as the optional argument of the row before it.
    """
    parts = ("".join(LATEX_ESCAPES.get(character, character) for character in part) for part in MINUS.split(text))
    escaped = "$-$".join(parts)
    return "{" + escaped + "}" if escaped.startswith("[") else escaped
