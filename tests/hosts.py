"""Two hosts on one machine: network namespaces joined by a virtual cable."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from launching import REPOSITORY, environment

ADDRESSES = ("10.77.0.1", "10.77.0.2")


def why_not() -> str | None:
    """Why namespaces cannot be made here; None if they can."""
    if shutil.which("ip") is None:
        return "no ip (Debian: apt-get install iproute2)"
    made = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False)
    return None if made.returncode == 0 else "network namespaces need root"


@dataclass
class Hosts:
    """The names of two namespaces, and of the interface that each has."""

    names: tuple[str, str]

    def start(self, host: int, words: Sequence[str]) -> subprocess.Popen[str]:
        """Start a command on a host."""
        settings = environment() | {"GLOO_SOCKET_IFNAME": "cable"}
        return subprocess.Popen(
            ["ip", "netns", "exec", self.names[host], *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, cwd=REPOSITORY, env=settings,
        )  # fmt: skip

    def cut(self) -> None:
        """Unplug the cable."""
        _ip("-n", self.names[1], "link", "set", "cable", "down")


@contextmanager
def two_hosts() -> Iterator[Hosts]:
    """Make the hosts, and remove them after the block."""
    names = tuple(f"xalign-{os.getpid()}-{number}" for number in range(2))
    try:
        for name in names:
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", names[0], "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", names[1])
        for name, address in zip(names, ADDRESSES, strict=True):
            _ip("-n", name, "addr", "add", f"{address}/24", "dev", "cable")
            _ip("-n", name, "link", "set", "cable", "up")
        yield Hosts((names[0], names[1]))
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
