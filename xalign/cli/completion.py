"""What a shell offers after an option, once ``xalign --install-completion`` was run.

Values come from where they are declared: the choices of a configuration's fields, the targets of the grid, the shipped
presets. Each is looked up when the shell asks, so that commands start no later for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import typer

Values = Callable[[typer.Context, str], list[str]]


def choices(field: str) -> Values:
    """The admissible values of an option of the command at hand; of any command that has such an option, failing that.

    Args:
        field: its name in the configurations.
    """

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        import dataclasses

        from xalign.config.fields import declaration
        from xalign.config.registry import PHASES

        here = PHASES.get(ctx.info_name or "")
        for config in (*((here,) if here else ()), *PHASES.values()):
            for each in dataclasses.fields(config):
                declared = declaration(each)
                if each.name == field and declared.choices:
                    return beginning(map(str, (*declared.choices, *declared.added())), incomplete)
        return []

    return complete


def pairs(ctx: typer.Context, incomplete: str) -> list[str]:
    """The pairs that ``--data`` holds where it was given, else the paper's."""
    from xalign.config.registry import PHASES

    data = ctx.params.get("data")
    if data is not None and Path(data).is_dir():
        from xalign.data.layout import DataDirectory
        from xalign.errors import XalignError

        try:
            return beginning(DataDirectory(Path(data)).available_pairs(), incomplete)
        except XalignError:
            return []
    return beginning(PHASES["grid"]().pairs, incomplete)


def presets(ctx: typer.Context, incomplete: str) -> list[str]:
    """The shipped presets and the YAML files of the current folder."""
    from xalign.config import preset_names

    return beginning([*preset_names(), *sorted(path.name for path in Path().glob("*.yaml"))], incomplete)


def targets(ctx: typer.Context, incomplete: str) -> list[str]:
    """What ``xalign grid`` makes."""
    from xalign.grid import TARGETS

    return beginning(TARGETS, incomplete)


def words(*known: str) -> Values:
    """A fixed list."""
    return lambda ctx, incomplete: beginning(known, incomplete)


def beginning(found: Iterable[str], incomplete: str) -> list[str]:
    """Those that begin with what was typed."""
    return [value for value in found if value.startswith(incomplete)]
