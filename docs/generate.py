"""Write a page for each command into docs/commands, from the command line itself and from docs/examples.yaml.

    python docs/generate.py          # or: make docs

Nothing is run: synopsis, options and keys come from the app and the configurations, outputs from docs/examples.yaml,
which docs/measure.py fills. A test holds the pages equal to what this makes.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import typer
import yaml

FOLDER = Path(__file__).resolve().parent
EXAMPLES = FOLDER / "examples.yaml"
PAGES = FOLDER / "commands"
ABSENT = "–"
KINDS = {str: "text", int: "integer", float: "number", Path: "path", bool: "flag"}
HEAD = "<!-- Made by docs/generate.py from the command line's help and docs/examples.yaml: edit those, not this. -->"
EXIT_CODES = (
    "0: done. 2: a usage error: one line says what does not fit, and nothing was written. 1: a failure: one line, and "
    "a run that had begun goes on with `--resume`. Under `accelerate launch` every failure is 1."
)
PLAIN_EXIT_CODES = "0: done. 2: a usage error, before anything was written. 1: a failure. Both say why in one line."


def commands() -> dict[str, Any]:
    """Every command of the app by its words (``grid run``), in the order of the help."""
    from xalign.cli.app import app

    return dict(_leaves(typer.main.get_command(app), ()))


def _leaves(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for name, each in command.commands.items():
        if each.hidden:
            continue
        if hasattr(each, "commands"):
            yield from _leaves(each, (*words, name))
        else:
            yield " ".join((*words, name)), each


def read_examples() -> dict[str, dict[str, Any]]:
    """The worked example of each command: ``run``, ``output`` and perhaps ``about``, ``files``, ``unmeasured``."""
    return dict(yaml.safe_load(EXAMPLES.read_text(encoding="utf-8"))["examples"])


def pages() -> dict[str, str]:
    """File name to content: a page for each top-level command, with its sub-commands.

    Raises:
        ValueError: a command without a worked example, or a file of a run directory that is not explained.
    """
    found, examples = commands(), read_examples()
    if lacking := [name for name in found if name not in examples]:
        raise ValueError(f"{EXAMPLES}: no worked example for: {', '.join(lacking)}; add it and run docs/measure.py")
    if surplus := [name for name in examples if name not in found]:
        raise ValueError(f"{EXAMPLES}: there is no such command: {', '.join(surplus)}")
    meanings = yaml.safe_load(EXAMPLES.read_text(encoding="utf-8"))["files"]
    groups: dict[str, list[str]] = {}
    for name in found:
        groups.setdefault(name.split()[0], []).append(name)
    written = {}
    for group, names in groups.items():
        parts = [HEAD, f"# xalign {group}"]
        if names != [group]:
            links = (f"- [xalign {n}](#{_anchor(n)}): {_first(found[n])}" for n in names)
            parts += [_group_help(group), "\n".join(links)]
        for name in names:
            if names != [group]:
                parts.append(f"## xalign {name}")
            parts += _sections(name, found[name], examples[name], meanings, "##" if names == [group] else "###")
        written[f"{group}.md"] = "\n\n".join(parts) + "\n"
    return written


def _group_help(group: str) -> str:
    from xalign.cli.app import app

    return str(typer.main.get_command(app).commands[group].help or "")  # type: ignore[attr-defined]


def _anchor(name: str) -> str:
    return f"xalign-{name.replace(' ', '-')}"


def _first(command: Any) -> str:
    return str(command.help or "").split("\n\n")[0].replace("\n", " ").strip()


def _sections(name: str, command: Any, example: dict[str, Any], meanings: dict[str, str], level: str) -> Iterator[str]:
    from xalign.config.fields import declaration
    from xalign.config.registry import PHASES

    paragraphs = [" ".join(part.split()) for part in str(command.help or "").split("\n\n")]
    yield "\n\n".join(part for part in paragraphs if not part.startswith("Example:"))
    yield f"```\n{_synopsis(name, command)}\n```"
    phase = PHASES.get(name)
    fields = dataclasses.fields(phase) if phase else ()
    keys = {field.name for field in fields if declaration(field).kind != "place"}
    hints = typing.get_type_hints(inspect.unwrap(command.callback))
    for panel, parameters in _panels(command):
        yield f"{level} {panel}"
        rows = (_parameter(each, hints[each.name], keys) for each in parameters)
        yield _table(("name", "type", "default", "meaning"), rows)
    if phase is not None:
        yield f"{level} Keys of `--set`"
        yield (
            "What each is without a preset, and who says so: *paper* states it, *inferred* follows from it, *lineage* "
            "was read in released code, *chosen* is ours, *user* is yours to choose, *measured* was measured. Keys "
            "of kind *execution* do not change numbers and do not enter a run's identity."
        )
        yield _table(("key", "value", "mark", "source", "kind", "meaning"), _keys(phase))
    if files := example.get("files"):
        yield f"{level} Files"
        yield "What the example below leaves in its directory:"
        yield _table(("file", ""), ((f"`{file}`", meaning(file, meanings)) for file in files))
    yield f"{level} Exit codes"
    yield EXIT_CODES if phase is not None else PLAIN_EXIT_CODES
    yield f"{level} Example"
    yield from _example(example)


def _synopsis(name: str, command: Any) -> str:
    words = [f"xalign {name}"]
    for each in command.params:
        if each.param_type_name == "argument":
            word = each.name.upper() + ("..." if each.nargs == -1 else "")
            words.append(word if each.required else f"[{word}]")
        elif each.required:
            words.append(f"{each.opts[0]} {each.name.upper()}")
    return " ".join([*words, "[OPTIONS]"])


def _panels(command: Any) -> list[tuple[str, list[Any]]]:
    """Parameters under the headings that the help gives them, in its order."""
    panels: dict[str, list[Any]] = {}
    for each in command.params:
        usual = "Arguments" if each.param_type_name == "argument" else "Options"
        panels.setdefault(getattr(each, "rich_help_panel", None) or usual, []).append(each)
    return list(panels.items())


def _parameter(each: Any, hint: Any, keys: set[str]) -> tuple[str, ...]:
    name = each.name.upper() if each.param_type_name == "argument" else ", ".join((*each.opts, *each.secondary_opts))
    given = _given_type(hint)
    several = typing.get_origin(given) is list
    kind = each.metavar or KINDS[typing.get_args(given)[0] if several else given]
    default = each.default
    if each.required:
        shown = "required"
    elif kind == "flag":
        shown = "on" if default else "off"
    elif default is None or default == [] or default == ():
        shown = "by preset" if each.name in keys else ABSENT
    else:
        shown = f"`{default}`"
    more = ", several" if several else ""
    return f"`{name}`", kind + more, shown, str(each.help or "")


def _given_type(hint: Any) -> Any:
    """``int`` for ``int | None``."""
    if not isinstance(hint, types.UnionType):
        return hint
    return next(each for each in typing.get_args(hint) if each is not type(None))


def _keys(phase: type) -> Iterator[tuple[str, ...]]:
    """A row for each key: without a preset's own values, which ``config show`` prints."""
    from xalign.config.fields import declaration

    for field in dataclasses.fields(phase):  # type: ignore[arg-type]
        said = declaration(field)
        if said.kind == "place" or field.default is dataclasses.MISSING:
            continue
        value = said.by if said.by is not None else field.default
        yield f"`{field.name}`", _value(value), said.provenance.mark, said.provenance.source, said.kind, said.help


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {item}" for key, item in value.items())
    if isinstance(value, (tuple, list)):
        return ",".join(map(str, value)) or "none"
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def meaning(file: str, meanings: dict[str, str]) -> str:
    """What a file of a run directory is, by its name or the pattern that fits it.

    Raises:
        ValueError: nothing in docs/examples.yaml explains it.
    """
    from fnmatch import fnmatch

    for pattern, text in meanings.items():
        if fnmatch(file, pattern):
            return text
    raise ValueError(f"{EXAMPLES}: files: nothing explains {file}")


def _example(example: dict[str, Any]) -> Iterator[str]:
    if example.get("about"):
        yield str(example["about"])
    yield f"```bash\n{example['run']}\n```"
    if example.get("output"):
        yield f"```\n{example['output'].rstrip()}\n```"
    if example.get("unmeasured"):
        yield f"Not run by the tests: {example['unmeasured']}."


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [columns, tuple("---" for _ in columns), *rows]
    escaped = ([cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in lines)
    return "\n".join(f"| {' | '.join(row)} |" for row in escaped)


def main() -> None:
    """Write the pages; pages of commands that are gone are removed."""
    PAGES.mkdir(exist_ok=True)
    made = pages()
    for stale in {path.name for path in PAGES.glob("*.md")} - set(made):
        (PAGES / stale).unlink()
    for name, text in made.items():
        (PAGES / name).write_text(text, encoding="utf-8")
    print(f"{len(made)} pages in {PAGES}")


if __name__ == "__main__":
    main()
