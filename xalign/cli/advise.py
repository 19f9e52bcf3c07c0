"""``xalign advise``: which alignment should help a task, and whether such advice was right in finished runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from xalign.cli import completion
from xalign.cli import options as o
from xalign.cli.display import console, show_config
from xalign.cli.phases import prepare
from xalign.cli.report import Format, check_output, show_report
from xalign.config import AdviseConfig
from xalign.errors import UsageError, XalignError
from xalign.naming import BASE, advise_name

UNVALIDATED = "Nobody has checked such advice on your data: give --runs with finished transfer and advise runs."


def advise(
    task: Annotated[
        str | None,
        typer.Option(
            autocompletion=completion.choices("task"), help="pos (UD part-of-speech tags) or topic (SIB-200)."
        ),
    ] = None,
    pair: Annotated[
        str | None, typer.Option(autocompletion=completion.pairs, help="The pair to align on, for example de-en.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="The run; default: runs/advise/TASK/PAIR/base.")] = None,
    model: o.Model = "mini",
    data: o.Data = None,
    runs: Annotated[Path | None, typer.Option(help="Finished runs, on which such advice is checked.")] = None,
    validate: Annotated[bool, typer.Option("--validate", help="Only check the advice below --runs.")] = False,
    as_json: o.Json = False,
    preset: o.Preset = None,
    assignments: o.Assignments = None,
    format: Format = "rich",
    dry_run: o.DryRun = False,
    resume: o.Resume = False,
    overwrite: o.Overwrite = False,
    tracking: o.Tracking = None,
    quiet: o.Quiet = False,
) -> None:
    """Say which alignment should help a task, and how sure that is, from minutes of gradients before any alignment.

    Example: xalign advise --task topic --pair de-en --model xlm-roberta-base --data DATA --runs runs/finished
    """
    chosen = check_output(format, tracking)
    if runs is not None and not runs.is_dir():
        raise UsageError(f"{runs}: no such directory; --runs takes the directory that holds the runs")
    if validate:
        if runs is None:
            raise UsageError("--validate needs --runs: the directory with transfer and advise runs")
        return _validate(runs, format, chosen, as_json)
    place = output or Path("runs") / advise_name(task or "", pair or "", BASE)
    given = {
        "task": task, "pair": pair, "output": place, "model": model, "data": data, "resume": resume,
        "overwrite": overwrite, "tracking": tracking, "quiet": quiet or as_json,
    }  # fmt: skip
    config = prepare(AdviseConfig, "advise", preset, assignments, given)
    if dry_run:
        return show_config("advise", config, as_json)
    from xalign.phases.advise import advise as run

    directory = run(config).directory
    found = json.loads((directory / "advice.json").read_text(encoding="utf-8"))
    found["validation"] = _validation(runs)
    if as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        _show(found, directory)


def _validation(runs: Path | None) -> dict[str, Any]:
    """Whether such advice was right in finished runs; never a reason to withhold the advice."""
    if runs is None:
        return {"validated": False, "verdict": UNVALIDATED}
    from xalign.report.advice_validation import validate

    try:
        return {"validated": True, **validate(runs).summary}
    except XalignError as error:
        return {"validated": False, "verdict": f"Such advice could not be checked on your data: {error}"}


def _validate(runs: Path, format: str, tracking: str, as_json: bool) -> None:
    from xalign.report.advice_validation import validate
    from xalign.report.writing import keep

    found = validate(runs)
    keep(found.report, runs, tracking=tracking)
    if as_json:
        print(json.dumps(found.summary, indent=2, ensure_ascii=False))
    else:
        show_report(found.report, runs, format)


def _show(found: dict[str, Any], directory: Path) -> None:
    from xalign.methods.advice import NOTHING
    from xalign.report.render import Table
    from xalign.report.terminal import to_rich

    rows = []
    for row in found["ranking"]:
        interval = None if row["low"] is None else f"[{row['low']:+.3f}, {row['high']:+.3f}]"
        name = "do nothing" if row["configuration"] == NOTHING else row["configuration"]
        numbers = (row["score"], interval, f"{100 * row['share_first']:.0f} %", row["cosine_shared"])
        rows.append((row["rank"], name, *numbers, row["cosine_target"], row["rule"]))
    columns = ("", "configuration", "score", "interval", "first in", "shared", "target", "paper's rule")
    table = Table(f"{found['task']} on {found['pair']}, {found['model']}", columns, tuple(rows))
    out = console()
    out.print(to_rich(table))
    for line in (*found["words"], found["validation"]["verdict"]):
        out.print(line, markup=False)
    out.print(f"{directory / 'advice.json'}, advice.csv", markup=False)
