"""``xalign data``: fetch corpora from their publishers, list and check a data directory, write the testbed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xalign.cli import options as o
from xalign.cli.display import console, show_json, show_rows
from xalign.cli.runs import Json, size
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
    json: Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Fetch corpora from their publishers into a data directory; a call that was stopped goes on where it was.

    Licences are shown before and kept, with addresses, digests and dates, in the directory's sources.json.

    Example: xalign data fetch opus100 sib200 flores200 --pairs de-en,en-kk --languages de,kk,en --data data
    """
    from xalign.data.fetching.fetch import fetch
    from xalign.data.fetching.plan import plan
    from xalign.data.languages import parse_list

    chosen = {
        "pairs": o_list(pairs),
        "languages": parse_list(languages) if languages else [],
        "treebanks": o_list(treebanks),
    }
    sources = dict.fromkeys(each.source for each in plan(what, release=release, **chosen))  # type: ignore[arg-type]
    if not json:
        rows = [(each.name, each.licence, each.licence_url, " ".join(each.cite), each.size) for each in sources]
        show_rows(("data set", "licence", "where it stands", "xalign cite", "size"), rows)
    with _progress(quiet or json) as report:
        done = fetch(what, data, release=release, mirror=mirror, renew=renew, report=report, **chosen)  # type: ignore[arg-type]
    failed = [each for each in done if each.state == "failed"]
    if json:
        show_json(
            [
                {
                    "source": each.wanted.source.name,
                    "url": each.wanted.url,
                    "state": each.state,
                    "files": list(each.files),
                    "bytes": each.bytes,
                    "licence": each.wanted.source.licence,
                    "error": each.error,
                }
                for each in done
            ]
        )
    else:
        counts = {state: [each for each in done if each.state == state] for state in ("fetched", "there", "absent")}
        fetched, there, absent = counts.values()
        console().print(
            f"{len(fetched)} fetched ({size(sum(each.bytes for each in fetched))}), {len(there)} already there, "
            f"{len(absent)} that the publisher does not have; look at them with: xalign data check --data {data}",
            markup=False,
        )
    if len(failed) > 1:
        for each in failed:
            typer.echo(f"failed: {each.error}", err=True)
        raise XalignError(f"{len(failed)} of {len(done)} files could not be fetched; the same call tries them again")
    if failed:
        raise XalignError(failed[0].error)


@data_app.command("list")
def data_list(
    data: Annotated[Path | None, typer.Option(help="Data directory whose content to list as well.")] = None,
    json: Json = False,
) -> None:
    """List what can be fetched under which licence, and what a data directory holds.

    Example: xalign data list --data data
    """
    from xalign.data.fetching.catalogue import SOURCES
    from xalign.data.fetching.record import read_record
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
    rows = [
        (each.name, each.what, ", ".join(f"--{option}" for option in each.chosen_by), each.size, each.licence)
        for each in SOURCES.values()
    ]
    show_rows(("to fetch", "what", "chosen by", "size", "licence"), rows)
    if data is None:
        return
    console().print()
    show_rows(
        ("there", "in", "size", "count", "which"),
        [
            (each.kind, each.folder, size(each.bytes), len(each.names), " ".join(each.names) or None)
            for each in holdings
        ],
    )
    if record:
        console().print()
        show_rows(
            ("fetched", "from", "date", "size", "licence"),
            [(each.source, each.url, each.date, size(each.bytes), each.licence) for each in record.values()],
        )


@data_app.command("testbed")
def data_testbed(
    output: Annotated[Path, typer.Option(help="Directory to write; it must not exist.")],
    seed: Annotated[int, typer.Option(help="Seed of the whole testbed.")] = 13,
) -> None:
    """Write the testbed of constructed languages in the layouts of the real corpora."""
    from xalign.data.testbed import write_testbed

    console().print(f"testbed written to {write_testbed(output, seed=seed)}")


def o_list(text: str | None) -> list[str]:
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
