"""A receiver of webhooks: a real HTTP server that remembers what it gets and answers as a test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Received:
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.body)
        return message


@dataclass
class Receiver:
    """`answers`: statuses and headers of its answers, one after the other; then 204. None: it answers nothing until the
    end of the test."""

    port: int = 0
    answers: list[tuple[int, Mapping[str, str]] | None] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?token=1"

    def bodies(self) -> Sequence[dict[str, Any]]:
        return [message.json for message in self.received]


@contextmanager
def receiver(address: str = "127.0.0.1") -> Iterator[Receiver]:
    """Run a receiver on a free port of loopback; '': of all addresses."""
    remembered = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = remembered.answers.pop(0) if remembered.answers else (204, {})
            remembered.received.append(Received(self.path, dict(self.headers.items()), body))
            if answer is None:
                remembered.done.wait(60)
                return
            self.send_response(answer[0])
            for name, value in answer[1].items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((address, 0), Handler)
    remembered.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield remembered
    finally:
        remembered.done.set()
        server.shutdown()
        thread.join()
        server.server_close()
