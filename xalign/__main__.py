"""Entry point: runs the command line and turns every refusal into one line and an exit code.

0 = done, 2 = usage error (nothing was written), 1 = failure. Under a launcher every process fails alike, and only the
first one speaks. What nobody foresaw is one line too; with `TRACEBACK` set in the environment it keeps its traceback.
"""

from __future__ import annotations

import io
import os
import re
import sys
import traceback
import unicodedata

TRACEBACK = "XALIGN_TRACEBACK"
LONGEST_MESSAGE = 4000  # characters
EMPTY = re.compile(r"(--[\w-]+=)?")  # what the shell leaves of --data "$DATA" where that is unset


def main() -> None:
    """Run the ``xalign`` command."""
    for name, value in {"TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "error"}.items():
        os.environ.setdefault(name, value)
    speaks = os.environ.get("RANK", "0") == "0"
    if not speaks:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    for stream in (sys.stdout, sys.stderr):  # a terminal without Unicode shows a stand-in for what it lacks
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:], speaks=speaks))


def run(arguments: list[str], *, speaks: bool = True) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: the command line without the program's name.
        speaks: whether this process prints messages.
    """
    try:
        return _run(arguments, speaks)
    except KeyboardInterrupt:  # also while modules are imported and the command line is read
        return _refuse("interrupted; continue with --resume", 1, speaks)


def _run(arguments: list[str], speaks: bool) -> int:
    import typer

    from xalign.cli.app import app
    from xalign.errors import LostProcessError, XalignError

    command = typer.main.get_command(app)
    if garbled := next((word for word in arguments if not _is_text(word)), None):
        return _refuse(f"{garbled!r} is not UTF-8 text; rename the file, or set a UTF-8 locale", 2, speaks)
    if empty := next((at for at, word in enumerate(arguments) if EMPTY.fullmatch(word)), None):
        given = arguments[empty] or arguments[empty - 1] or "xalign"
        return _refuse(f"{given}: the value is empty; is a variable in it unset?", 2, speaks)
    try:
        code = command.main(args=arguments, prog_name="xalign", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except LostProcessError as error:
        return _refuse(str(error), error.exit_code, speaks or os.environ.get("LOCAL_RANK") == "0")
    except XalignError as error:
        return _refuse(str(error), error.exit_code, speaks)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _refuse(f"{where}{error.strerror or error}", 1, speaks)
    except Exception as error:
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # the parser's own refusals
            return _refuse(error.format_message() or "see --help", int(error.exit_code), speaks)
        if hasattr(error, "exit_code"):
            return int(error.exit_code)
        if os.environ.get(TRACEBACK):
            raise
        return _refuse(_unforeseen(error), 1, True)  # a process of a launch may be the only one that met it


def _is_text(word: str) -> bool:
    """Whether a word of the command line can be written to a file: no NUL, and no byte that did not decode."""
    return not any(character == "\0" or unicodedata.category(character) == "Cs" for character in word)


def _unforeseen(error: Exception) -> str:
    """One line about an error that no part of the program foresaw: what, where, and how to see all of it."""
    frames = traceback.extract_tb(error.__traceback__)
    own = next((frame for frame in reversed(frames) if f"{os.sep}xalign{os.sep}" in frame.filename), None)
    place = f" at {own.filename.rpartition(f'{os.sep}xalign{os.sep}')[2]}:{own.lineno}" if own else ""
    return (
        f"unforeseen {type(error).__name__}{place}: {str(error)[:500]}; this is a fault of xalign: "
        f"repeat the command with {TRACEBACK}=1 and report what it prints"
    )


def _refuse(message: str, code: int, speaks: bool) -> int:
    if speaks:
        line = " ".join(message.split())
        if len(line) > LONGEST_MESSAGE:
            line = f"{line[: LONGEST_MESSAGE // 2]} … {line[-LONGEST_MESSAGE // 2 :]}"
        # What a file or an option says must not steer the terminal.
        line = "".join(repr(c)[1:-1] if unicodedata.category(c) in ("Cc", "Cs") else c for c in line)
        print(f"xalign: {line}", file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    main()
