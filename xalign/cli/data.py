"""``xalign data``: fetch corpora from their publishers, list and check a data directory, write the testbed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xalign.cli import options as o
from xalign.cli.display import console, show_json, show_rows
from xalign.cli.runs import size
from xalign.errors import XalignError

if TYPE_CHECKING:
    from xalign.data.fetching.fetch import Report
    from xalign.data.fetching.plan import Wanted

data_app = typer.Typer(help="Data directories: fetch, list, check, or write the testbed.", no_args_is_help=True)

Directory = Annotated[Path, typer.Option(help="Data directory.")]


@data_app.command("fetch")
def data_fetch(
    what: Annotated[
        list[str], typer.Argument(help="opus100, multiccaligned, parallel, ud, ud-treebanks, sib200, flores200, muse.")
    ],
    data: Directory,
    pairs: Annotated[str | None, typer.Option(help="Comma-separated pairs, for example de-en,kk-ko.")] = None,
    languages: o.Languages = None,
    treebanks: Annotated[str | None, typer.Option(help="Comma-separated treebanks, for example German-GSD.")] = None,
    release: Annotated[str, typer.Option(help="Release of Universal Dependencies.")] = "2.16",
    mirror: Annotated[
        str | None, typer.Option(help="Address below which the files stand by host and path, as wget -x saves them.")
    ] = None,
    renew: Annotated[
        bool, typer.Option("--renew", help="Fetch again what is there, also if the publisher changed it.")
    ] = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Fetch corpora from their publishers into a data directory; a call that was stopped goes on where it was.

    Licences are shown before and kept, with addresses, digests and dates, in the directory's sources.json.

    Example: xalign data fetch opus100 sib200 flores200 --pairs de-en,en-kk --languages de,kk,en --data data
    """
    from xalign.data.fetching.fetch import bring, raise_failures
    from xalign.data.fetching.plan import plan
    from xalign.data.languages import parse_list

    chosen = parse_list(languages) if languages else []
    wanted = plan(what, pairs=items(pairs), languages=chosen, treebanks=items(treebanks), release=release)
    if not json:
        sources = dict.fromkeys(each.source for each in wanted)
        rows = [(each.name, each.licence, each.licence_url, " ".join(each.cite), each.size) for each in sources]
        show_rows(("data set", "licence", "where it stands", "xalign cite", "size"), rows)
    try:
        with _progress(quiet or json) as report:
            done = bring(wanted, data, mirror=mirror, renew=renew, report=report)
    except KeyboardInterrupt:
        raise XalignError(f"interrupted; what arrived is kept in {data}, the same call goes on") from None
    if json:
        show_json([each.as_dict() for each in done])
    else:
        states = Counter(each.state for each in done)
        console().print(
            f"{states['fetched']} fetched ({size(sum(each.bytes for each in done))}), {states['there']} already there, "
            f"{states['absent']} that the publisher does not have; look at them with: xalign data check --data {data}",
            markup=False,
        )
        if absent := [each.wanted.label for each in done if each.state == "absent"]:
            console().print(f"not published: {', '.join(absent)}", markup=False)
    errors = [each.error for each in done if each.error]
    for error in errors if len(errors) > 1 else ():
        typer.echo(f"failed: {error}", err=True)
    raise_failures(done)


@data_app.command("list")
def data_list(
    data: Annotated[Path | None, typer.Option(help="Data directory whose content to list as well.")] = None,
    json: o.Json = False,
) -> None:
    """List what can be fetched under which licence, and what a data directory holds.

    Example: xalign data list --data data
    """
    from xalign.data.fetching.catalogue import SOURCES
    from xalign.data.fetching.record import read_record, totals
    from xalign.data.inventory import inventory
    from xalign.data.layout import DataDirectory

    holdings = [] if data is None else inventory(DataDirectory(data))
    record = {} if data is None else read_record(data)
    if json:
        found = {
            "holdings": [asdict(each) for each in holdings],
            "downloads": [asdict(each) for each in record.values()],
        }
        return show_json({"sources": [asdict(each) for each in SOURCES.values()]} | (found if data else {}))
    show_rows(
        ("to fetch", "what", "licence"),
        [(each.name, f"{each.what} ({each.size})", each.licence) for each in SOURCES.values()],
    )
    if data is None:
        return
    console().print()
    show_rows(
        ("there", "in", "size", "count", "which"),
        [(each.kind, each.folder, size(each.bytes), len(each.names), some(each.names)) for each in holdings],
    )
    if record:
        console().print()
        show_rows(
            ("fetched", "downloads", "size", "last", "licence"),
            [
                (each.source, each.downloads, size(each.bytes), each.last, each.licence)
                for each in totals(record.values())
            ],
        )


@data_app.command("check")
def data_check(
    data: Directory,
    what: Annotated[
        list[str] | None, typer.Argument(help="What must be sound: parallel, ud, sib200, flores200, muse, mono.")
    ] = None,
    pairs: Annotated[str | None, typer.Option(help="Comma-separated pairs that must be there.")] = None,
    languages: Annotated[str | None, typer.Option(help="Comma-separated languages that must be there.")] = None,
    splits: Annotated[str, typer.Option(help="Comma-separated splits that the languages must have.")] = "test",
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Count what a data directory holds, and look for damage, repetitions and test sentences in training text.

    Without arguments all is looked at, and nothing found is a failure. What is asked for must be there and sound.

    Example: xalign data check ud sib200 --languages deu,kaz --pairs de-en --data data
    """
    from xalign.data.checking.check import Asked, check, gaps, missing
    from xalign.data.languages import parse_list
    from xalign.data.layout import DataDirectory

    asked = Asked(
        kinds=tuple(what or ()),
        pairs=tuple(items(pairs)),
        languages=tuple(parse_list(languages) if languages else ()),
        splits=tuple(items(splits)),
    )
    directory = DataDirectory(data)
    absent = missing(directory, asked)
    found = []
    with console().status("checking", spinner="line") if not (quiet or json) else nullcontext() as status:
        for each in check(directory, asked):
            found.append(each)
            if status:
                status.update(f"checked {each.kind} {each.what}")
    lacking = [] if asked else gaps(directory)
    if json:
        show_json({"checked": [asdict(each) for each in found], "missing": absent, "gaps": lacking})
    else:
        rows = [
            (
                each.state,
                each.kind,
                each.what,
                ", ".join(f"{n:,} {name}" for name, n in each.counts.items() if n) or None,
            )
            for each in found
        ]
        show_rows(("", "kind", "what", "counted"), rows)
        for each in found:
            for line in [*(f"broken: {line}" for line in each.broken), *(f"note: {line}" for line in each.notes)]:
                console().print(f"{line} [{each.kind} {each.what}]", markup=False)
        for line in lacking:
            console().print(f"note: {line}", markup=False)
    broken = [line for each in found for line in each.broken] if asked else []
    problems = [f"missing: {line}" for line in absent] + [f"broken: {line}" for line in broken]
    if problems:
        for line in problems:
            typer.echo(line, err=True)
        raise XalignError(f"{len(absent)} missing, {len(broken)} broken of what was asked for")


@data_app.command("testbed")
def data_testbed(
    output: Annotated[Path, typer.Option(help="Directory to write; it must not exist.")],
    seed: Annotated[int, typer.Option(help="Seed of the whole testbed.", min=0, max=2**63 - 1)] = 13,
) -> None:
    """Write the testbed of constructed languages in the layouts of the real corpora."""
    from xalign.data.testbed import write_testbed

    console().print(f"testbed written to {write_testbed(output, seed=seed)}", markup=False)


def some(names: list[str], most: int = 12) -> str | None:
    """The first of many names; --json has all."""
    return (" ".join(names[:most]) + (" …" if len(names) > most else "")) or None


def items(text: str | None) -> list[str]:
    """The items of a comma-separated option."""
    return [item.strip() for item in text.split(",") if item.strip()] if text else []


@contextmanager
def _progress(quiet: bool) -> Iterator[Report | None]:
    """A bar for the file that is arriving; none where nobody looks."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    out = console()
    if quiet or not out.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=out, transient=True) as progress:
        task = progress.add_task("", total=None)

        def report(wanted: Wanted, here: int, total: int | None) -> None:
            progress.update(task, description=wanted.label, completed=here, total=total)

        yield report
