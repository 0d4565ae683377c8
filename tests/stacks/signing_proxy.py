"""A proxy that signs everybody in as one person, as oauth2-proxy does behind nginx: a real one, for one Modelgate."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_OF_THE_CONNECTION = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})


@contextmanager
def signing_proxy(port: int, source: str, header: str, person: str) -> Iterator[str]:
    """Forward requests to `port` of loopback, from the address `source`, with the `header` that names the `person`.
    Yields the proxy's own address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            kept = {name: value for name, value in self.headers.items() if name.lower() not in _OF_THE_CONNECTION}
            headers = {name: value for name, value in kept.items() if name.lower() != header.lower()}
            upstream = http.client.HTTPConnection("127.0.0.1", port, timeout=90, source_address=(source, 0))
            upstream.request(self.command, self.path, body or None, {**headers, header: person})
            answer = upstream.getresponse()
            content = answer.read()
            upstream.close()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _OF_THE_CONNECTION:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
