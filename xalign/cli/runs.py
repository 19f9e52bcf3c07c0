"""``xalign runs``: what is there, what a run was, how two differ, which can go, and what to keep of all."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xalign.cli import options as o
from xalign.cli.display import console, show_json, show_rows

runs_app = typer.Typer(help="Run directories: list, show, compare, clear away, archive.", no_args_is_help=True)

Directory = Annotated[Path, typer.Argument(help="A run directory.")]


@runs_app.command("list")
def runs_list(runs: o.Runs = Path("runs"), json: o.Json = False) -> None:
    """List every run with its state, time and size.

    Example: xalign runs list --runs runs/demo
    """
    from dataclasses import asdict

    from xalign.report.run_browsing import list_runs

    found = list_runs(runs)
    if json:
        return show_json([asdict(line) | {"directory": str(line.directory)} for line in found])
    rows = [
        (
            line.state,
            line.name,
            line.created,
            None if line.seconds is None else f"{line.seconds:,.0f} s",
            size(line.size),
        )
        for line in found
    ]
    show_rows(("state", "run", "created", "time", "size"), rows)
    console().print(f"{len(found)} runs, {size(sum(line.size for line in found))}", markup=False)


@runs_app.command("show")
def runs_show(directory: Directory, json: o.Json = False) -> None:
    """Show what a run was made with, where, from what, and what it found.

    Example: xalign runs show runs/demo/align/de-en/S1W0M0
    """
    from xalign.report.run_browsing import describe, flatten

    found = describe(directory)
    if json:
        return show_json(found)
    show_rows(("what", "value"), [row for part, value in found.items() for row in flatten(value, part)])


@runs_app.command("diff")
def runs_diff(first: Directory, second: Directory, json: o.Json = False) -> None:
    """Show all that differs between two runs: options, inputs, versions, machine, results.

    Example: xalign runs diff runs/demo/align/de-en/S1W0M0 runs/demo/align/de-en/S1W0M1
    """
    from xalign.report.run_browsing import difference

    found = difference(first, second)
    if json:
        return show_json([{"what": what, "first": a, "second": b} for what, a, b in found])
    show_rows(("what", str(first), str(second)), found)


@runs_app.command("prune")
def runs_prune(
    what: Annotated[list[str], typer.Argument(help="failed, incomplete, stale, checkpoints or models.")],
    runs: o.Runs = Path("runs"),
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it, only say what would be deleted.")] = False,
    json: o.Json = False,
) -> None:
    """Delete runs that failed, were left incomplete or are stale, or the checkpoints or models of others.

    Records stay when models go: reports still read them. Without --yes nothing is deleted.

    Example: xalign runs prune failed stale --runs runs/demo
    """
    from xalign.report.run_browsing import prune, removable

    found = removable(runs, what)
    freed = prune(found, runs) if yes else sum(each.size for each in found)
    if json:
        paths = [{"why": each.why, "path": str(each.path), "size": each.size} for each in found]
        return show_json({"deleted": yes, "size": freed, "paths": paths})
    show_rows(("why", "path", "size"), [(each.why, str(each.path), size(each.size)) for each in found])
    console().print(f"{size(freed)} {'freed' if yes else 'would be freed; --yes deletes'}", markup=False)


@runs_app.command("archive")
def runs_archive(
    output: Annotated[Path, typer.Option(help="Directory to write; an archive that stands there is replaced.")],
    runs: o.Runs = Path("runs"),
    json: o.Json = False,
) -> None:
    """Keep the records of all complete runs without their models: enough for every report, small enough to share.

    Example: xalign runs archive --runs runs/paper --output results/paper
    """
    from xalign.report.archive import archive

    kept = archive(runs, output)
    if json:
        return show_json({"directory": str(output), "runs": kept})
    console().print(f"{output}: {', '.join(f'{count} {phase}' for phase, count in kept.items())}", markup=False)


def size(count: int) -> str:
    """Bytes as people read them."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:,.1f} {unit}"
    return f"{count} B"
