"""Commands in forks of one process that has imported everything: a hundred commands without a hundred imports.

Run as a program, this file is that process. It reads a request a line and answers with a line of JSON; `Forks` is the
side of the tests. A command can also be ended from within, at the n-th change that it makes to a file below a folder:
points that no clock would find, such as the instant between two renames.
"""

from __future__ import annotations

import json
import os
import resource
import signal as signals
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "shutil.rmtree")


class Forks:
    """Starts ``xalign WORDS`` in a fork; one command at a time."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert self._ask({}) == {"threads": 1}, "a process with threads cannot be forked safely"

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        answer: dict[str, Any] = json.loads(self._server.stdout.readline())
        return answer

    def start(
        self,
        words: list[str],
        folder: Path,
        *,
        environment: dict[str, str] | None = None,
        within: Path | None = None,
        printed: Path | None = None,
        change: int = 0,
        signal: int = 0,
        room: int = 0,
    ) -> int:
        """Start a command and return its process id.

        Args:
            words: its arguments.
            folder: where its changes to files are counted, and where ``said.txt`` and ``changes.txt`` go: what it
                printed to standard error, and how many changes it made.
            environment: its environment; None is that of the process that forks.
            within: its working directory; None is that of the tests.
            printed: the file for its standard output; None is nowhere.
            change: before this change (from 1) the process sends itself `signal`; 0 is never.
            room: bytes that a file can take, as if the disk were full then; 0 is no limit.
        """
        asked = {"words": words, "folder": str(folder), "change": change, "signal": signal, "room": room}
        asked |= {"within": str(within or Path.cwd()), "printed": str(printed or os.devnull)}
        pid: int = self._ask(asked | {"environment": environment})["pid"]
        return pid

    def wait(self, pid: int) -> int:
        """Wait for a command; its exit code, or the negative number of the signal that ended it."""
        code: int = self._ask({"wait": pid})["code"]
        return code


def _counting(folder: str, change: int, signal: int) -> tuple[Callable[..., None], list[int]]:
    made = [0]

    def noticed(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            writes = isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if not writes:
                return
        elif event not in CHANGES:
            return
        if not str(arguments[0]).startswith(folder):
            return
        made[0] += 1
        if made[0] == change:
            os.kill(os.getpid(), signal)

    return noticed, made


def _run(request: dict[str, Any]) -> None:
    """The child: never returns."""
    from xalign.__main__ import main

    folder = request["folder"]
    os.chdir(request["within"])
    if request["environment"] is not None:
        os.environ.clear()
        os.environ.update(request["environment"])
    for number, file in ((1, request["printed"]), (2, f"{folder}/said.txt")):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    # A shell starts what runs in the background with SIGINT ignored, and children inherit that.
    signals.signal(signals.SIGINT, signals.default_int_handler)
    noticed, made = _counting(f"{folder}/", request["change"], request["signal"])
    sys.addaudithook(noticed)
    if request["room"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["room"], request["room"]))
    sys.argv = ["xalign", *request["words"]]
    code: Any = 1
    try:
        main()
    except SystemExit as leaving:
        code = leaving.code
    except BaseException:
        traceback.print_exc()
    total = made[0]
    Path(f"{folder}/changes.txt").write_text(str(total))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0)


def _serve() -> None:
    import importlib
    import pkgutil
    import threading

    import accelerate  # noqa: F401
    import transformers.models.xlm_roberta  # noqa: F401

    import xalign.cli.app
    import xalign.phases
    import xalign.report.figures

    for phase in pkgutil.iter_modules(xalign.phases.__path__, "xalign.phases."):
        importlib.import_module(phase.name)

    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        request = json.loads(line)
        if "words" in request:
            pid = os.fork()
            if pid == 0:
                _run(request)
            answer = {"pid": pid}
        elif "wait" in request:
            answer = {"code": os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1])}
        else:
            answer = {"threads": threading.active_count()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    _serve()
