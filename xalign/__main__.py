"""Entry point: runs the command line and turns every refusal into one line and an exit code.

0 = done, 2 = usage error (nothing was written), 1 = failure. Under a launcher every process fails alike, and only the
first one speaks.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the ``xalign`` command."""
    for name, value in {"TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "error"}.items():
        os.environ.setdefault(name, value)
    speaks = os.environ.get("RANK", "0") == "0"
    if not speaks:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(run(sys.argv[1:], speaks=speaks))


def run(arguments: list[str], *, speaks: bool = True) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: the command line without the program's name.
        speaks: whether this process prints messages.
    """
    import typer

    from xalign.cli.app import app
    from xalign.errors import LostProcessError, XalignError

    command = typer.main.get_command(app)
    try:
        code = command.main(args=arguments, prog_name="xalign", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except LostProcessError as error:
        return _refuse(str(error), error.exit_code, speaks or os.environ.get("LOCAL_RANK") == "0")
    except XalignError as error:
        return _refuse(str(error), error.exit_code, speaks)
    except KeyboardInterrupt:
        return _refuse("interrupted; continue with --resume", 1, speaks)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _refuse(f"{where}{error.strerror or error}", 1, speaks)
    except Exception as error:
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # the parser's own refusals
            return _refuse(error.format_message() or "see --help", int(error.exit_code), speaks)
        if hasattr(error, "exit_code"):
            return int(error.exit_code)
        raise


def _refuse(message: str, code: int, speaks: bool) -> int:
    if speaks:
        print(f"xalign: {' '.join(message.split())}", file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    main()
