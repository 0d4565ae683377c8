"""Bodies in chunks as gunicorn reads them, and responses as it sends them, at less cost."""

from __future__ import annotations

import functools
import time
from io import BytesIO
from typing import Any

from gunicorn import SERVER, util
from gunicorn.http import message, wsgi
from gunicorn.http.body import ChunkedReader

FREE_CHUNKS, MIN_CHUNK = 10_000, 32
"""Chunks of a body that may have any size, and the bytes that each further one must have on average."""


class Chunks(ChunkedReader):
    """Refuses bodies in many small chunks, which cost more to parse than to read."""

    _count = _size = 0

    def parse_chunk_size(self, unreader: Any, data: bytes | None = None) -> tuple[int, bytes | None]:
        size, rest = super().parse_chunk_size(unreader, data)
        self._count += 1
        self._size += size
        if self._count > FREE_CHUNKS + self._size // MIN_CHUNK:
            raise ValueError(f"its chunks are too small; send at least {MIN_CHUNK} bytes in each")
        return size, rest

    def release(self) -> None:
        """Free what has been read of an unfinished body: parser and reader refer to each other, so the megabytes would
        stay until the garbage collector runs, hundreds of requests later."""
        if self.parser is not None:
            self.parser.close()
            self.parser, self.buf = None, BytesIO()


NOSNIFF = "X-Content-Type-Options: nosniff\r\n"
"""Sent with every answer, so that browsers do not guess its media type."""

MAX_UNREAD = 8 * 1024 * 1024
"""Bytes of a refused body that are read and dropped at most, so that the client reads the answer before the connection
is closed."""

_NAMES = 256
"""Names of headers that are remembered."""


class OneWrite(wsgi.Response):
    """Sends headers and body together: a write to a socket costs as much as parsing the request."""

    _head = b""

    def process_headers(self, headers: list[tuple[str, str]]) -> None:
        """Add headers. gunicorn checks those that it acts on, and every value that is not printable ASCII."""
        for name, value in headers:
            if _is_plain(name) and value.isascii() and value.isprintable():
                self.headers.append((name, value.strip(" ")))
            else:
                super().process_headers([(name, value)])

    def send_headers(self) -> None:
        if not self.headers_sent:
            # A client that was not asked for its body may send it or not.
            if self.req._expected_100_continue or _has_long_unread_body(self.req.body.reader):
                self.force_close()
            major, minor = self.req.version
            lines = [
                f"HTTP/{major}.{minor} {self.status}\r\n{_server_and_date(int(time.time()))}",
                "Connection: close\r\n" if self.should_close() else "Connection: keep-alive\r\n",
                "Transfer-Encoding: chunked\r\n" if self.chunked else "",
                NOSNIFF,
                *[f"{name}: {value}\r\n" for name, value in self.headers],
                "\r\n",
            ]
            self._head = "".join(lines).encode("latin-1")
            self.headers_sent = True

    def _emit_body(self, data: bytes) -> None:
        if self.chunked:
            self._send_head()
            super()._emit_body(data)
        else:
            whole, self._head = self._head + data, b""
            # gevent's sendall asks the kernel for the size of its buffer first; most answers fit.
            sent = self.sock.send(whole)
            if sent < len(whole):
                self.sock.unread = len(whole)
                self.sock.sendall(memoryview(whole)[sent:])
                self.sock.unread = 0

    def close(self) -> None:
        self.send_headers()
        self._send_head()
        super().close()
        if isinstance(reader := self.req.body.reader, Chunks):
            reader.release()

    def _send_head(self) -> None:
        if self._head:
            util.write(self.sock, self._head)
            self._head = b""


@functools.lru_cache(_NAMES)
def _is_plain(name: str) -> bool:
    """Return whether gunicorn sends a header of this name as it is."""
    acted_on = util.is_hoppish(name) or name.lower() == "content-length"
    return message.TOKEN_RE.fullmatch(name) is not None and not acted_on


@functools.lru_cache(maxsize=1)
def _server_and_date(seconds: int) -> str:
    """Return the headers `Server` and `Date`. Formatting a date for each answer costs 2 % of a request."""
    return f"Server: {SERVER}\r\nDate: {util.http_date(seconds)}\r\n"


def drop_body(parser: Any, **_limits: Any) -> bool:
    """Read what a refused request left of its body, in place of gunicorn's `finish_body`, which copies for each KB all
    that has arrived. Returns whether the next request may follow."""
    if parser.mesg is None:
        return True
    reader = parser.mesg.body.reader
    if isinstance(reader, ChunkedReader):
        return reader.parser is None
    while reader.length and (data := parser.unreader.read(read_ahead=reader.length)):
        parser.unreader.unread(data[reader.length :])
        reader.length -= min(reader.length, len(data))
    return not reader.length


def _has_long_unread_body(reader: Any) -> bool:
    if isinstance(reader, ChunkedReader):
        return reader.parser is not None
    return bool(reader.length > MAX_UNREAD)
