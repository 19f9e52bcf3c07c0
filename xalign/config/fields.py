"""What a configuration field knows about itself: its default, its range, where its value comes from, whether it counts.

A configuration is a frozen dataclass whose fields are made by `option`. From the metadata follow the help texts,
the checks, the provenance that ``xalign config show`` prints, and the run's identity:
*identity* options change numbers and enter the run's key; *execution* options and *places* (paths) do not.
"""

from __future__ import annotations

import dataclasses
import math
import reprlib
import types
import typing
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from xalign.errors import UsageError
from xalign.extensions import like

MARKS = ("paper", "inferred", "lineage", "chosen", "user", "measured")
Kind = typing.Literal["identity", "execution", "place"]
T = TypeVar("T")
LARGEST = 2**63 - 1  # what seeds and counts of torch and numpy hold


@dataclass(frozen=True)
class Provenance:
    """Who says that a value should be what it is: a mark (one of `MARKS`) and a source in words."""

    mark: str
    source: str


@dataclass(frozen=True)
class Declaration:
    """The metadata of one field."""

    help: str
    provenance: Provenance
    kind: Kind
    choices: tuple[Any, ...] | None
    low: float | None
    high: float | None
    by: Mapping[str, Any] | None
    late: bool = False
    empty: bool = False
    also: Callable[[], Iterable[Any]] | None = None

    def admits(self, value: Any) -> bool:
        """Whether `value` is one of the choices, or one that an installed package adds to them."""
        return self.choices is None or value in self.choices or value in self.added()

    def added(self) -> tuple[Any, ...]:
        """The choices that installed packages add."""
        return tuple(self.also()) if self.also is not None else ()


def option(
    default: Any = dataclasses.MISSING,
    help: str = "",
    *,
    mark: str = "chosen",
    source: str = "",
    kind: Kind = "identity",
    choices: Iterable[Any] | None = None,
    low: float | None = None,
    high: float | None = None,
    by: Mapping[str, Any] | None = None,
    late: bool = False,
    empty: bool = False,
    also: Callable[[], Iterable[Any]] | None = None,
) -> Any:
    """Declare a field of a configuration.

    Args:
        default: its value where nothing else is said; without one the field is required.
        help: one line for the command line and ``config show``.
        mark: provenance, one of `MARKS`.
        source: the table, section or measurement that the value was read from.
        kind: *identity* (changes numbers), *execution* (does not), *place* (a path; its content is digested).
        choices: the only admissible values.
        low, high: inclusive bounds of a number.
        by: defaults that depend on the task, the mode or the pair, keyed as `pick` says. The field's own default is
            then ``None``.
        late: an identity option younger than runs that should stay valid: at its default it is left out of a run's key.
        empty: a list that has entries by default may be given without any.
        also: the choices that installed packages add.
    """
    if mark not in MARKS:
        raise ValueError(f"unknown provenance mark {mark!r}")
    provenance = Provenance(mark, source)
    limits = tuple(choices) if choices else None, low, high
    declared = Declaration(help, provenance, kind, *limits, by, late, empty, also)
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata={"option": declared})
    return dataclasses.field(default=default, metadata={"option": declared})


def declaration(field: dataclasses.Field[Any]) -> Declaration:
    """The `Declaration` behind a dataclass field."""
    declared: Declaration = field.metadata["option"]
    return declared


def pick(values: Mapping[str, Any], *, task: str = "", mode: str = "", pair: str = "") -> Any:
    """The best fit in a mapping keyed ``pos-full``, ``pos``, ``full``, ``en-kk`` or ``other``; None without one."""
    known = like(task)  # of a package's task: words have the defaults of pos, sentences those of topic
    tasks = (f"{task}-{mode}", task, f"{known}-{mode}", known)
    keys = (*tasks, mode, pair, "-".join(reversed(pair.split("-"))), "other")
    return next((values[key] for key in keys if key in values), None)


def coerce(name: str, value: Any, annotation: Any) -> Any:
    """Turn a YAML value or a command line's string into the annotated type.

    Raises:
        UsageError: it cannot be read as that type.
    """
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        if value is None or value in ("none", "null"):
            return None
        return coerce(name, value, next(a for a in arguments if a is not type(None)))
    if typing.get_origin(annotation) is tuple:
        items = [part for part in value.split(",") if part] if isinstance(value, str) else value
        if not isinstance(items, (list, tuple)):
            items = [items]
        return tuple(coerce(name, item, arguments[0]) for item in items)
    try:
        if annotation is bool:
            return {"true": True, "false": False, "1": True, "0": False}[str(value).lower()]
        if annotation is int:
            number = value if isinstance(value, int) else int(value) if _is_integer(value) else float(value)
            if isinstance(value, bool) or number != int(number) or not abs(number) <= LARGEST:
                raise ValueError
            return int(number)
        if annotation is float and not isinstance(value, bool):
            return float(value)
        if annotation is str and not isinstance(value, (dict, list)):
            text = str(value)
            if not text:
                raise UsageError(f"{name} is empty: is a variable in it unset?")
            if not any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
                return text
    except (ValueError, KeyError, TypeError, OverflowError):
        pass
    kind = {str: "text without control characters", int: "int of 64 bits"}.get(annotation)
    raise UsageError(
        f"{name}={reprlib.repr(value)} is not a valid {kind or getattr(annotation, '__name__', annotation)}"
    )


def _is_integer(value: Any) -> bool:
    """Whether a text is an integer as such: through a float, a long one would lose its last digits."""
    return isinstance(value, str) and value.strip().lstrip("+-").isdecimal()


def resolve(config: Any) -> None:
    """Check every value, and fill in what depends on the task, the mode or the pair.

    Raises:
        UsageError: a value that does not fit, or none for this task, mode and pair.
    """
    check(config)
    for field in dataclasses.fields(config):
        by = declaration(field).by
        if by is not None and getattr(config, field.name) is None:
            value = pick(by, **{key: getattr(config, key, "") for key in ("task", "mode", "pair")})
            if value is None:
                raise UsageError(f"{field.name} has no default here: give it with --set {field.name}=…")
            object.__setattr__(config, field.name, value)
    check(config)


def check(config: Any) -> None:
    """Hold every field of a built configuration against its declared choices and bounds.

    Raises:
        UsageError: naming the first field that does not fit, and what would.
    """
    for field in dataclasses.fields(config):
        declared, value = declaration(field), getattr(config, field.name)
        if value == () and field.default != () and not declared.empty:
            raise UsageError(f"{field.name} is an empty list: name at least one")
        for item in value if isinstance(value, tuple) else (value,):
            if item is None:
                continue
            if declared.choices is not None and not declared.admits(item):
                known = ", ".join(map(str, (*declared.choices, *declared.added())))
                raise UsageError(f"{field.name}={str(item)[:100]} is unknown: choose from {known}")
            if isinstance(item, (int, float)) and not isinstance(item, bool):
                below = declared.low is not None and not item >= declared.low
                above = declared.high is not None and not item <= declared.high
                if below or above or not math.isfinite(item):
                    least = "" if declared.low is None else f" at least {declared.low}"
                    most = "" if declared.high is None else f" at most {declared.high}"
                    raise UsageError(f"{field.name}={item} is out of range:{least}{most}")


def identity(config: Any) -> dict[str, Any]:
    """The options of a configuration that change numbers, by name."""
    return {f.name: getattr(config, f.name) for f in dataclasses.fields(config) if declaration(f).kind == "identity"}


def keyed(config: Any) -> dict[str, Any]:
    """The options that enter a run's key: `identity`, less late ones at their default, which had that effect before."""
    late = {f.name: f.default for f in dataclasses.fields(config) if declaration(f).late}
    return {name: value for name, value in identity(config).items() if name not in late or value != late[name]}


def plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options by name as they stand in a run's record: JSON has lists, no tuples."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}


def as_dict(config: Any) -> dict[str, Any]:
    """All options by name, as plain JSON values."""
    return plain(dataclasses.asdict(config))


def require_switched_on(config: Any, switch: str, options: Iterable[str]) -> None:
    """Refuse options that would do nothing, because what they belong to is off.

    Args:
        switch: what turns them on, for the message: ``adapter=lora``.
        options: names of fields that must be at their defaults.

    Raises:
        UsageError: the first that is not.
    """
    defaults = {f.name: f.default for f in dataclasses.fields(config)}
    for name in options:
        if getattr(config, name) != defaults[name]:
            raise UsageError(f"{name}={getattr(config, name)} does nothing without {switch}: give both, or neither")
