"""A web server on the loopback interface that serves what a test gives it, as well or as badly as the test wants."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """What the server has and how it behaves.

    Attributes:
        files: path → content.
        tags: path → ETag; a file without one gets none.
        ranges: whether it knows ranges.
        cut: path → how many bytes it sends of each of the next answers before it drops the connection.
        answers: path → status codes of the next answers.
        asked: (path, Range, If-Range) of all requests.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    cut: dict[str, list[int]] = field(default_factory=dict)
    answers: dict[str, list[int]] = field(default_factory=dict)
    asked: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    address: str = ""

    def add(self, url: str, content: bytes, *, tag: str | None = "auto") -> None:
        """Serve a publisher's file, as a mirror has it."""
        path = "/" + url.partition("://")[2]
        self.files[path] = content
        self.tags.pop(path, None)
        if tag is not None:
            self.tags[path] = f'"{hash(content)}"' if tag == "auto" else tag

    def path(self, url: str) -> str:
        """Where a publisher's file stands on this server."""
        return "/" + url.partition("://")[2]


class _Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        site, path = self.site, self.path
        wanted, condition = self.headers.get("Range"), self.headers.get("If-Range")
        site.asked.append((path, wanted, condition))
        if site.answers.get(path):
            return self.send_error(site.answers[path].pop(0))
        if path not in site.files:
            return self.send_error(404)
        content, tag = site.files[path], site.tags.get(path)
        start = 0
        if wanted and site.ranges and (condition is None or condition == tag):
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                return self.send_error(416)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        body = content[start:]
        self.send_header("Content-Length", str(len(body)))
        if tag:
            self.send_header("ETag", tag)
        self.end_headers()
        if site.cut.get(path):
            body = body[: site.cut[path].pop(0)]
            self.close_connection = True
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[Site]:
    """A running server; it ends with the block."""
    site = Site()
    handler = type("Handler", (_Handler,), {"site": site})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    site.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
