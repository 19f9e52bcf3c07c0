"""Tables in a terminal: one that is too wide goes on below itself, and no number is cut in two."""

from __future__ import annotations

from typing import Literal

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.markup import escape
from rich.table import Table as Grid
from rich.text import Text

from xalign.report.render import Table, is_number, shown

SPACES = 2  # around a column


def to_rich(table: Table) -> Group:
    """A renderable for `rich.console.Console.print`: the table, then its notes."""
    notes = [Text(f"- {note}", style="dim") for note in table.notes]
    return Group(Text(table.title, style="bold"), *([_Fitted(table)] if table.columns else []), *notes, Text(""))


class _Fitted:
    """As few grids as the width of the terminal allows, each with the first column."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = options.max_width
        widths = [_least_width(self.table, column, room) for column in range(len(self.table.columns))]
        part = [0]
        for column in range(1, len(widths)):
            if len(part) > 1 and sum(widths[index] + SPACES for index in [*part, column]) > room:
                yield _grid(self.table, part, widths)
                part = [0]
            part.append(column)
        yield _grid(self.table, part, widths)


def _least_width(table: Table, column: int, room: int) -> int:
    """Of the longest word; names of rows stay on one line where that leaves half of the terminal."""
    cells = [table.columns[column], *(shown(row[column]) for row in table.rows)]
    whole = max(map(cell_len, cells))
    if column == 0 and whole <= room // 2:
        return whole
    return max((cell_len(word) for cell in cells for word in cell.split()), default=1)


def _grid(table: Table, columns: list[int], widths: list[int]) -> Grid:
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for index in columns:
        justify: Literal["left", "right"] = "right" if is_number(index, table) else "left"
        grid.add_column(escape(table.columns[index]), justify=justify, overflow="fold", min_width=widths[index])
    for row in table.rows:
        grid.add_row(*(escape(shown(row[index])) for index in columns))
    return grid
