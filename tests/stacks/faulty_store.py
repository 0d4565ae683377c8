"""A proxy in front of an object store: it answers 503, cuts answers, drops them, waits, or refuses connections."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FAULTS = ("unavailable", "half", "lost", "slow")


class FaultyStore:
    """Listens at `host`, where the store is as well. `choose(method, path)` names the fault of a request, or none."""

    def __init__(
        self,
        upstream: int,
        choose: Callable[[str, str], str] = lambda _method, _path: "",
        host: str = "127.0.0.1",
    ) -> None:
        self.choose = choose
        self.seen: Counter[str] = Counter()
        """Requests by method and by fault."""
        self.writing = threading.Lock()
        """One write at a time: moto looks at `If-Match` and writes in two steps, and S3 in one."""
        store = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                if len(body) < length:  # the client was killed: no store keeps half of what it was sent
                    self.close_connection = True
                    return
                fault = store.choose(self.command, self.path)
                store.seen.update([self.command, fault])
                if fault == "unavailable":
                    self.answer(503, {}, b"<Error><Code>SlowDown</Code></Error>")
                    return
                with store.writing if self.command == "PUT" else nullcontext():
                    upstream_connection = HTTPConnection(host, upstream, timeout=60)
                    upstream_connection.request(self.command, self.path, body, dict(self.headers))
                    reply = upstream_connection.getresponse()
                    data = reply.read()
                    upstream_connection.close()
                if fault == "lost":
                    self.close_connection = True
                    self.connection.close()
                    return
                if fault == "slow":
                    store.stopped.wait(0.3)
                self.answer(reply.status, dict(reply.getheaders()), data, half=fault == "half")

            def answer(self, status: int, headers: dict[str, str], data: bytes, half: bool = False) -> None:
                self.send_response_only(status)
                for name, value in headers.items():
                    if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                        self.send_header(name, value)
                length = headers.get("Content-Length") if self.command == "HEAD" else len(data)
                self.send_header("Content-Length", str(length))
                self.send_header("Connection", "close")  # nothing stays open when a test ends
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data[: len(data) // 2] if half else data)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass  # a client that has gone

        self.stopped = threading.Event()
        self._server = Server((host, 0), Handler)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()


def at_random(share: float, seed: int) -> Callable[[str, str], str]:
    """Return what gives this share of requests one of the faults."""
    chance = random.Random(seed)
    return lambda _method, _path: chance.choice(FAULTS) if chance.random() < share else ""
