"""Tables in terminals of any width: nothing is cut, and what does not fit goes on below."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from xalign.report.render import Table
from xalign.report.terminal import to_rich

LANGUAGES = [f"la{number:02d}" for number in range(14)]
WIDE = Table(
    "by language",
    ("model", *LANGUAGES),
    (("base", *(f"0.{number:03d}" for number in range(14))), ("de-en S1W0M0", *(f"+{n}.5" for n in range(20, 34)))),
    ("a note",),
)


def printed(table: Table, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, no_color=True)
    with console.capture() as captured:
        console.print(to_rich(table))
    return captured.get().splitlines()


@pytest.mark.parametrize(("width", "parts"), [(200, 1), (80, 2), (50, 3)])
def test_a_table_wider_than_the_terminal_goes_on_below_with_its_first_column(width: int, parts: int) -> None:
    lines = printed(WIDE, width)
    assert all(len(line) <= width for line in lines)
    words = [word for line in lines for word in line.split()]
    assert words.count("base") == words.count("S1W0M0") == parts
    for row in ([*WIDE.columns[1:]], [*WIDE.rows[0][1:]], [*WIDE.rows[1][1:]]):
        assert [words.count(cell) for cell in row] == [1] * len(row)
    assert words.count("note") == 1


def test_long_names_of_rows_leave_room_for_what_is_said_of_them() -> None:
    claim = "a claim of several words that is longer than the terminal is wide"
    lines = printed(Table("claims", ("claim", "verdict", "why"), ((claim, "reproduced", "because of this"),)), 44)
    assert all(len(line) <= 44 for line in lines)
    assert any("a claim of" in line and "reproduced" in line and "because" in line for line in lines)
