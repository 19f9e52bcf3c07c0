"""The report page: one HTML file with every table and figure of a runs directory, and nothing from elsewhere."""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from xalign.report.catalogue import Entry
from xalign.report.html import inline_svg, table_html
from xalign.report.layout import TESTBED
from xalign.report.lineage import read_run
from xalign.report.render import Drawing, Report
from xalign.runs import find_runs, state_of

FOLDER, PAGE = "report", "index.html"
DEMO, PLACEHOLDER = "demo", "PRESET"
STATES = ("complete", "incomplete", "failed")


@dataclass(frozen=True)
class Section:
    """A report that was made."""

    name: str
    entry: Entry
    report: Report


@dataclass(frozen=True)
class Missing:
    """A report that was not made, and why."""

    name: str
    entry: Entry
    why: str


@dataclass(frozen=True)
class Origin:
    """What the runs of a directory have in common."""

    encoder: str
    model: str
    data: str | None
    testbed: bool
    first: str
    last: str
    states: dict[str, Counter[str]]


def read_origin(runs: Path) -> Origin:
    """Read encoder, data, dates and states from all runs below `runs`."""
    found: list[dict[str, Any]] = []
    states: dict[str, Counter[str]] = {}
    for directory in find_runs(runs):
        run = read_run(directory)
        found.append(run)
        states.setdefault(run["phase"], Counter())[state_of(directory)] += 1
    # Every other run's model is a run directory; what they all started from is the model of a run without upstream.
    start = next((run for run in found if not run["upstream"]), found[0])
    created = sorted(str(run["created"])[:10] for run in found if run.get("created"))
    return Origin(
        encoder=", ".join(dict.fromkeys(str(run["lineage"].get("encoder")) for run in found)),
        model=str(start["config"].get("model", "MODEL")),
        data=start["config"].get("data"),
        testbed=any(run["testbed"] for run in found),
        first=created[0] if created else "–",
        last=created[-1] if created else "–",
        states=states,
    )


def report_command(name: str, runs: Path, step: int | None) -> str:
    """The command that makes a report from the runs that are there."""
    words = ["xalign", "report", name, "--runs", str(runs)]
    return shlex.join([*words, "--step", str(step)] if step is not None else words)


def grid_command(action: str, target: str, runs: Path, origin: Origin) -> str:
    """The command that makes the runs which a report lacks ('run'), or lists them ('status')."""
    preset = DEMO if origin.testbed and origin.data is None else PLACEHOLDER
    words = ["xalign", "grid", action, target, "--preset", preset, "--model", origin.model]
    return shlex.join([*words, *(["--data", origin.data] if origin.data else []), "--runs", str(runs)])


def making_command(entry: Entry, runs: Path, origin: Origin) -> str:
    """The command that makes the runs which a report lacks."""
    if entry.target:
        return grid_command("run", entry.target, runs, origin)
    words = ["xalign", *entry.command, "--model", origin.model, *(["--data", origin.data] if origin.data else [])]
    return shlex.join([*words, "--output", str(runs / entry.command[0])])


def page(runs: Path, sections: list[Section], missing: list[Missing], *, step: int | None = None) -> str:
    """The page as text. Equal runs give equal pages: no time of writing stands in it."""
    origin = read_origin(runs)
    style = files("xalign.report").joinpath("page.css").read_text(encoding="utf-8")
    entries = [(section.name, section.entry.title) for section in sections]
    entries.append(("missing", "What is missing"))
    links = "".join(f'<li><a href="#{name}">{escape(title)}</a></li>' for name, title in entries)
    parts = [
        head_html(runs, origin, step),
        f"<nav><h2>Contents</h2><ul>{links}</ul></nav>",
        *(section_html(section, runs, step) for section in sections),
        missing_html(missing, runs, origin),
    ]
    title = f"xalign: {origin.encoder}" + (", testbed" if origin.testbed else "")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(parts)
        + "\n</main>\n</body>\n</html>\n"
    )


def head_html(runs: Path, origin: Origin, step: int | None) -> str:
    """Encoder, data, dates, and how many runs of each phase there are."""
    facts = {
        "Base encoder": origin.encoder,
        "Data": TESTBED if origin.testbed else "real languages",
        "Runs made": origin.first if origin.first == origin.last else f"{origin.first} to {origin.last}",
        "Alignment step": "the last one of the runs" if step is None else f"{step:,}",
        "Runs": "; ".join(
            f"{phase} " + ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
            for phase, counts in origin.states.items()
        ),
    }
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    warning = (
        "<p class=testbed>Testbed: these languages are constructed. Nothing on this page is a finding about real "
        "languages.</p>"
        if origin.testbed
        else ""
    )
    command = code(report_command("all", runs, step))
    title = f"Alignment of {escape(origin.encoder)}: tables and figures"
    return f"<header><h1>{title}</h1>{warning}<dl>{rows}</dl>{command}</header>"


def section_html(section: Section, runs: Path, step: int | None) -> str:
    """One report: what it shows, its command, the leading tables, the figures, and the companions folded."""
    report = section.report
    leading, companions = report.tables[: report.leading], report.tables[report.leading :]
    notes = [table for table in companions if not table.columns]
    folded = [table for table in companions if table.columns]
    details = "".join(table_html(table) for table in folded)
    count = f"{len(folded)} {'more ' if leading else ''}table{'s' * (len(folded) > 1)}"
    more = f"<details><summary>{count}</summary>{details}</details>" if folded else ""
    return "\n".join(
        [
            f'<section id="{section.name}"><h2>{escape(section.entry.title)}</h2><p>{escape(section.entry.shows)}</p>',
            code(report_command(section.name, runs, step)),
            *map(table_html, leading),
            *(figure_html(drawing, runs / FOLDER) for drawing in report.figures),
            more,
            *map(table_html, notes),
            "</section>",
        ]
    )


def figure_html(drawing: Drawing, folder: Path) -> str:
    """A figure, whose SVG file was written before, as part of the page, with its caption."""
    svg = (folder / f"{drawing.name}.svg").read_bytes()
    caption = f"<b>{escape(drawing.title)}.</b> {escape(drawing.caption)}"
    return f"<figure>{inline_svg(svg, drawing.name, drawing.title)}<figcaption>{caption}</figcaption></figure>"


def missing_html(missing: list[Missing], runs: Path, origin: Origin) -> str:
    """How to list the runs that the whole matrix lacks; then each report that could not be made, why, and how to."""
    listing = code(grid_command("status", "all", runs, origin))
    parts = [f"<p>Which runs of the whole matrix are complete, failed, stale or missing:</p>{listing}"]
    for gap in missing:
        commands = [making_command(gap.entry, runs, origin), report_command(gap.name, runs, None)]
        parts.append(f"<h3>{escape(gap.entry.title)}</h3><p>{escape(gap.why)}</p>{code(*commands)}")
    if PLACEHOLDER in listing:
        parts.insert(0, f"<p>{PLACEHOLDER} stands for the preset that the other runs were made with.</p>")
    return f'<section id="missing"><h2>What is missing</h2>{"".join(parts)}</section>'


def code(*commands: str) -> str:
    """Commands to copy, one a line."""
    return f'<pre class="command">{escape(chr(10).join(commands))}</pre>'
