"""Tables and figures as pieces of a page that needs nothing from outside."""

from __future__ import annotations

import re
from html import escape

from xalign.report.figures import INK, MUTED, PAPER, RULE
from xalign.report.render import Table, is_number, shown

# Colours of a figure that follow the page's theme.
THEMED = {INK: "var(--ink)", MUTED: "var(--muted)", RULE: "var(--rule)", PAPER: "var(--paper)"}
OUTSIDE = re.compile(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>", re.S)
NAMED = re.compile(r'\bid="([^"]+)"')
USED = re.compile(r'(url\(#|href="#)([^")]+)')


def table_html(table: Table) -> str:
    """A table with its title as caption and its notes below; without columns, a list of notes."""
    notes = "".join(f"<li>{escape(note)}</li>" for note in table.notes)
    below = f'<ul class="notes">{notes}</ul>' if notes else ""
    if not table.columns:
        return f'<div class="table"><h4>{escape(table.title)}</h4>{below}</div>'
    numeric = [is_number(index, table) or index > 0 for index in range(len(table.columns))]
    head = "".join(
        f'<th scope="col"{" class=n" if right else ""}>{escape(column)}</th>'
        for column, right in zip(table.columns, numeric, strict=True)
    )
    rows = []
    for row in table.rows:
        secondary = str(row[0]).startswith(" ")
        first, *cells = (escape(shown(value).strip()) for value in row)
        columns = "".join(f'<td class="n">{cell}</td>' for cell in cells)
        rows.append(f'<tr{" class=sub" if secondary else ""}><th scope="row">{first}</th>{columns}</tr>')
    body = "\n".join(rows)
    return (
        f'<div class="table"><h4>{escape(table.title)}</h4><div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>\n{body}\n</tbody></table></div>{below}</div>"
    )


def inline_svg(svg: bytes, name: str, title: str) -> str:
    """An SVG file as an element of a page: in the page's colours, with ids that no other figure has.

    Args:
        name: is put before each id.
        title: read aloud in place of the drawing.
    """
    text = OUTSIDE.sub("", svg.decode())
    text = NAMED.sub(rf'id="{name}-\1"', text)
    text = USED.sub(rf"\g<1>{name}-\2", text)
    for colour, variable in THEMED.items():
        text = text.replace(colour, variable)
    # The size in points becomes the largest size: a figure shrinks with the window.
    opening = re.search(r'<svg\b[^>]*?width="([\d.]+)pt"', text)
    width = float(opening.group(1)) if opening else 720.0
    text = re.sub(r'(<svg\b[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg\b[^>]*?) height="[^"]*"', r"\1", text, count=1)
    style = f'style="max-width:{width * 4 / 3:.0f}px"'
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(title)}" {style}', 1).strip()
