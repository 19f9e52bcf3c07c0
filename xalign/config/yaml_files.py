"""YAML that people write by hand: plain values only, every key once, and of a size that a hand can write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from xalign.errors import UsageError

MOST_VALUES = 20_000  # counted with every repetition that an alias stands for
DEEPEST = 50


class _OnceLoader(yaml.SafeLoader):
    """Plain values (no Python objects); a key that occurs twice in a mapping is an error, not a silent choice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        written: dict[str, yaml.ScalarNode] = {}
        for key_node, _ in node.value:
            if isinstance(key_node, yaml.ScalarNode) and key_node.tag != "tag:yaml.org,2002:merge":
                other = written.setdefault(key_node.value, key_node)
                if other is not key_node:
                    problem = f"the key {key_node.value!r} occurs twice, here and in line {other.start_mark.line + 1}"
                    raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
        found: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return found


def read_text(path: Path, where: str) -> str:
    """The text of a file that people write by hand.

    Args:
        where: how messages call the file.

    Raises:
        UsageError: it cannot be read, or is not UTF-8, with the line.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{where}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        number = error.object.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{where}:{number}: not UTF-8; convert the file to UTF-8") from None


def parse_yaml(text: str, where: str) -> Any:
    """The content of a YAML file; None if it is empty.

    Args:
        where: how messages call the file.

    Raises:
        UsageError: it is not YAML, names a type of a programming language, repeats a key, or is deeper or longer than
            a hand writes; with the line where there is one.
    """
    try:
        content = _OnceLoader(text).get_single_data()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise UsageError(f"{where}{line}: not valid YAML ({problem[:300]})") from None
    except RecursionError:
        raise UsageError(f"{where}: nested more than {DEEPEST} deep; a preset is a mapping of phases") from None
    except (ValueError, TypeError, AttributeError, LookupError) as error:  # a tag or a date that its text does not fit
        raise UsageError(f"{where}: not valid YAML ({str(error)[:300]})") from None
    _check_size(content, where)
    return content


def _check_size(content: Any, where: str) -> None:
    """Refuse what a few lines of aliases make: content that is endless, or longer than memory when it is printed."""
    seen, pending = 0, [(content, 0)]
    while pending:
        value, depth = pending.pop()
        seen += 1
        if depth > DEEPEST:
            raise UsageError(f"{where}: nested more than {DEEPEST} deep; a preset is a mapping of phases")
        if seen + len(pending) > MOST_VALUES:
            raise UsageError(f"{where}: more than {MOST_VALUES:,} values; a preset has a few hundred")
        if isinstance(value, dict):
            pending += [(part, depth + 1) for item in value.items() for part in item]
        elif isinstance(value, (list, tuple, set)):
            pending += [(part, depth + 1) for part in value]
