"""The heads of requests, put together from lines that gunicorn's parser has accepted before.

Clients repeat most lines of a head in each request, and gunicorn takes longer to parse one than to look all of them up.
"""

from __future__ import annotations

import functools
from io import BytesIO
from typing import Any

from gunicorn.http import message, wsgi
from gunicorn.http.body import Body, LengthReader
from gunicorn.http.errors import LimitRequestHeaders
from gunicorn.http.unreader import IterUnreader

LONGEST, MOST_LINES = 4096, 64
"""Bytes and lines of a head that is put together."""

MOST = 64 * 1024
"""Bytes of a head: gunicorn looks through all that has arrived for its end after each piece."""

REMEMBERED = 1024
"""Lines of each kind that a process remembers: of a hostile client, 8 MB."""

_RULES_OF_THEIR_OWN = frozenset({"EXPECT", "TRANSFER-ENCODING"})
_NO_CLIENT = ("", 0)

_create = wsgi.create


class Request(message.Request):
    """A request that gunicorn parses only if it has to.

    gunicorn's parser checks each line alone, and what it says of a line is remembered. It parses the whole head if it
    refuses a line, or a rule concerns several: a repeated name, folded lines, chunks. So it decides what is valid, and
    words all errors.
    """

    start: message.Request | None = None
    """What gunicorn made of the first line alone; None: it has parsed this head."""
    fields: dict[str, str]
    """The other lines, as an environment has them."""

    def __init__(self, cfg: Any, unreader: Any, peer: Any, number: int = 1) -> None:
        received = unreader.read()
        if not received:
            raise StopIteration  # the client has closed the connection
        if not self._put_together(cfg, unreader, received):
            unreader.unread(received)
            super().__init__(cfg, unreader, peer, number)

    def read_into(self, unreader: Any, buf: bytearray, stop: bool = False) -> None:
        super().read_into(unreader, buf, stop)
        if len(buf) > MOST:
            raise LimitRequestHeaders(f"the head of the request is larger than {MOST // 1024} KB")

    def _put_together(self, cfg: Any, unreader: Any, received: bytes) -> bool:
        head, end, rest = received.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        if not end or len(head) > LONGEST or len(lines) > MOST_LINES or (start := _start(cfg, first)) is None:
            return False
        known = [_field(cfg, line) for line in lines]
        if None in known or len(fields := dict(known)) < len(known):  # type: ignore[arg-type]
            return False
        vars(self).update(vars(start))
        self.start, self.fields, self.unreader = start, fields, unreader
        connection = fields.get("HTTP_CONNECTION")
        self.headers = [] if connection is None else [("CONNECTION", connection)]  # gunicorn asks for no other
        self.body = _body(unreader, rest, int(fields.get("CONTENT_LENGTH", 0)))
        return True


class Received(BytesIO):
    """A body that has arrived with its head."""

    reader = LengthReader(None, 0)
    """What is left to receive."""


class ExpectedBody:
    """A body that the client sends only once it is asked for it, which a refusal does not do."""

    def __init__(self, req: Any, sock: Any) -> None:
        self._req = req
        self._sock = sock

    def read(self, size: int | None = None) -> bytes:
        if self._req._expected_100_continue:
            self._req._expected_100_continue = False
            self._sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        data: bytes = self._req.body.read(size)
        return data


def create(req: Any, sock: Any, client: Any, server: Any, cfg: Any, *response: Any) -> tuple[Any, dict[str, Any]]:
    """Return the response and the environment, as gunicorn does."""
    if req.start is None:
        expected, req._expected_100_continue = req._expected_100_continue, False
        made: tuple[Any, dict[str, Any]] = _create(req, sock, client, server, cfg, *response)
        if expected:
            req._expected_100_continue = True
            made[1]["wsgi.input"] = ExpectedBody(req, sock)
        return made
    address, port = client[:2]
    connection = {"wsgi.input": req.body, "gunicorn.socket": sock, "REMOTE_ADDR": address, "REMOTE_PORT": str(port)}
    return wsgi.Response(req, sock, cfg), {**_environ(cfg, server, req.start), **req.fields, **connection}


def _body(unreader: Any, rest: bytes, length: int) -> Any:
    if len(rest) < length:
        unreader.unread(rest)
        return Body(LengthReader(unreader, length))
    if len(rest) > length:  # the next request
        unreader.unread(rest[length:])
    return Received(rest[:length])


@functools.lru_cache(REMEMBERED)
def _start(cfg: Any, line: bytes) -> message.Request | None:
    """Return a request of this line alone, or None if gunicorn refuses it."""
    try:
        return message.Request(cfg, IterUnreader([line + b"\r\n\r\n"]), _NO_CLIENT)
    except Exception:
        return None


@functools.lru_cache(REMEMBERED)
def _field(cfg: Any, line: bytes) -> tuple[str, str] | None:
    """Return the key and the value that this line adds to an environment; None if gunicorn refuses or drops it, or has
    more to do than that."""
    try:
        ((name, value),) = _parser(cfg).parse_headers(line)
    except Exception:
        return None
    if name in _RULES_OF_THEIR_OWN or (name == "CONTENT-LENGTH" and not _is_length(value)):
        return None
    key = name.replace("-", "_")
    return (key if name in ("CONTENT-TYPE", "CONTENT-LENGTH") else f"HTTP_{key}"), value


def _is_length(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 16


@functools.cache
def _parser(cfg: Any) -> message.Request:
    return message.Request(cfg, IterUnreader([b"GET / HTTP/1.1\r\n\r\n"]), _NO_CLIENT)


@functools.lru_cache(REMEMBERED)
def _environ(cfg: Any, server: Any, start: message.Request) -> dict[str, Any]:
    """Return the part of the environment that all requests with this first line share."""
    environ: dict[str, Any] = _create(start, None, _NO_CLIENT, server, cfg)[1]
    del environ["wsgi.early_hints"]  # it would hold on to a response; nothing here sends hints
    return environ
