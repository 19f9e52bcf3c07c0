"""The two ways in which xalign refuses: the user asked for something impossible, or the work itself failed.

A message is one line and says what is wrong, where (``file:line`` if there is one), and what to do.
The command line prints it without a traceback and exits with ``exit_code``.
"""

from __future__ import annotations


class XalignError(Exception):
    """The work failed: a broken file, a non-finite loss, a dead process. Exit code 1."""

    exit_code = 1


class LostProcessError(XalignError):
    """Another process of the launch is gone; each machine says so, for the first one may be the one that died."""


class UsageError(XalignError):
    """The request cannot be carried out as asked; nothing was written. Exit code 2."""

    exit_code = 2
