"""Whether a publisher can be reached at all, found out in seconds and not after every timeout on the way."""

from __future__ import annotations

import socket
import threading
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from xalign.errors import XalignError

CONNECT_SECONDS = 3.0


class UnreachableError(XalignError):
    """No connection to a publisher: what else is wanted from there cannot be had either."""


def require_host(url: str) -> None:
    """Refuse within `CONNECT_SECONDS` a host to which no connection can be made.

    Name resolution knows no timeout, so a thread of its own waits for it.

    Raises:
        UnreachableError: there is none.
    """
    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    address = urlsplit(proxy) if proxy and not proxy_bypass(parts.hostname or "") else parts
    port = address.port or (443 if address.scheme == "https" else 80)
    connected: list[bool] = []

    def connect() -> None:
        try:
            socket.create_connection((address.hostname or "", port), timeout=CONNECT_SECONDS).close()
        except OSError:
            return
        connected.append(True)

    question = threading.Thread(target=connect, daemon=True)
    question.start()
    question.join(CONNECT_SECONDS)
    if not connected:
        raise UnreachableError(
            f"{address.hostname}: no connection; fetch where there is a network and copy the directory, "
            "or name a reachable --mirror"
        )
