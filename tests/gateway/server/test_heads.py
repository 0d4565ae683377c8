"""Heads that are put together from remembered lines mean what gunicorn's own parser reads in them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http import message, wsgi
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import IterUnreader

from gateway.server import heads
from gateway.server.responses import drop_body
from tests.support import SOAK

GUNICORNS = message.Request, wsgi.create
OURS = heads.Request, heads.create
CLIENT, SERVER = ("127.0.0.1", 50123), ("127.0.0.1", 8080)
MADE_FOR_EACH = {"wsgi.errors", "wsgi.early_hints", "wsgi.input", "gunicorn.socket"}

FIRST_LINES = (
    *["POST /v1/models/loan/predict HTTP/1.1"] * 4,
    *("GET /v1/jobs/1?wait=5 HTTP/1.1", "GET /health/live HTTP/1.0", "HEAD / HTTP/1.1", "OPTIONS * HTTP/1.1"),
    *("GET http://evil.example/v1/jobs?x=1#y HTTP/1.1", "POST //a//b?c HTTP/1.1", "GET /%2e%2E/%zz%00\u00e4 HTTP/1.1"),
    *("GET * HTTP/1.1", "CONNECT a:1 HTTP/1.1", "get / HTTP/1.1", "GET / HTTP/2.0", "GET  / HTTP/1.1", "GET /", ""),
    *("GET /\u00e4 HTTP/1.1", "GET /a\tb HTTP/1.1", "G\u00c4T / HTTP/1.1", "GET /" + "x" * 8180 + " HTTP/1.1"),
)
LINES = (
    *("Host: localhost", "Host: localhost:8080", "host:evil.example", "Content-Type: application/json", "A-B: 1,2"),
    *("Prefer: wait=30", "X-Request-ID: 1", "Origin: http://x", "Connection: close", "connection: Keep-Alive"),
    *("Connection: upgrade", "Upgrade: h2c", "Expect: 100-continue", "Expect: more", "Transfer-Encoding: chunked"),
    *("Transfer-Encoding: gzip, chunked", "Content-Length: 4", "Content-Length: 0", "Content-Length: 9"),
    *("Content-Length: +4", "Content-Length: \u00b2", "Content-Length: 4, 4", "Content-Length:", "Content-Length: -1"),
    *("Content_Type: text/csv", "X_Y: 1", "X-Forwarded-Proto: https", "X-Forwarded-For: 1.2.3.4", "Script-Name: /v1"),
    *(" folded", "\tfolded", "no colon", ": nameless", "a b: c", "a : c", "\u00e4: c", "a: \u00e4", "a: b\x00"),
    *("a: b\x7f", "a: b\nc: d", "a: b\rc: d", "a:\t b \t", "a:", "x: " + "y" * 8300, "x: " + "y" * 3000, "Proxy: x"),
    "Content-Length: 4 ",
)
BODIES = (b"", b"[1]\n", b"[1]\nGET / HTTP/1.1\r\n\r\n", b"4\r\n[1]\n\r\n0\r\n\r\n", b"[1", b"\r\n\r\n")


@pytest.fixture(scope="module")
def cfg() -> Any:
    made: Any = Config()
    made.set("forwarded_allow_ips", "")
    made.set("limit_request_line", 8190)
    return made


def test_a_head_means_what_gunicorn_reads_in_it(cfg: Any) -> None:
    chance = random.Random(11)
    put_together = 0
    for _ in range(6000 * SOAK):
        pieces = some_pieces(chance)
        expected = read(GUNICORNS, cfg, pieces)
        assert read(OURS, cfg, pieces) == expected, pieces
        put_together += is_put_together(cfg, pieces)
    assert put_together > 1000 * SOAK


def test_the_usual_heads_of_clients_are_put_together(cfg: Any) -> None:
    for name in ("X-Request-ID: 1", "X-Request-ID: 2", "Authorization: Bearer x", "Connection: keep-alive"):
        head = f"POST /v1/models/loan/predict HTTP/1.1\r\nHost: localhost\r\n{name}\r\nContent-Length: 4\r\n\r\n"
        assert is_put_together(cfg, [head.encode() + b"[1]\n"])


class CountingUnreader(IterUnreader):
    reads = 0

    def read(self, *arguments: Any, **options: Any) -> bytes:
        self.reads += 1
        data: bytes = super().read(*arguments, **options)
        return data


class Parser(RequestParser):
    mesg_class = heads.Request
    finish_body = drop_body


def test_a_body_that_nobody_has_read_is_dropped_in_the_pieces_that_arrive(cfg: Any) -> None:
    """Not in smaller ones: gunicorn copies all that has arrived for each KB."""
    head, piece = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n", b"x" * 250_000
    for rest in ([piece] * 4, [b"x" * 1000, *[piece] * 3, b"x" * 249_000]):
        parser = Parser(cfg, [], CLIENT)
        parser.unreader = unreader = CountingUnreader(
            [head + rest[0], *rest[1:-1], rest[-1] + b"GET / HTTP/1.1\r\n\r\n"]
        )
        assert next(parser).method == "POST"
        assert (next(parser).method, unreader.reads) == ("GET", 2 + len(rest))
        with pytest.raises(StopIteration):
            next(parser)
    cut_off = Parser(cfg, [head, piece], CLIENT)
    next(cut_off)
    with pytest.raises(StopIteration):
        next(cut_off)


def some_pieces(chance: random.Random) -> list[bytes]:
    """Return a request as it may arrive: most are valid, some have odd lines, some are damaged."""
    usual = ["Host: localhost", "Content-Type: application/json", "Content-Length: 4"]
    lines = [chance.choice(FIRST_LINES), *usual[: chance.randrange(4)]]
    lines += chance.choices(LINES, k=chance.choice((0, 0, 1, 1, 2, 3)))
    if chance.random() < 0.02:
        lines += [f"x-{number}: y" for number in range(chance.choice((50, 61, 62, 63, 97, 98, 99, 100, 101)))]
    data = "\r\n".join([*lines, "", ""]).encode("latin-1") + chance.choice(BODIES)
    if chance.random() < 0.2:
        at = chance.randrange(len(data) + 1)
        data = data[:at] + chance.choice((b"\r\n", b"\n", b"\r", b" ", b"\x00", b":", b"\xff", b"")) + data[at + 1 :]
    cut = chance.randrange(len(data) + 1) if chance.random() < 0.2 else len(data)
    return [piece for piece in (data[:cut], data[cut:]) if piece]


def read(way: tuple[Any, Any], cfg: Any, pieces: list[bytes]) -> dict[str, Any]:
    """Return everything that matters of what is read: the environment, the body, what is left, or the error."""
    make, create = way
    unreader, sent = IterUnreader(pieces), Socket()
    seen: dict[str, Any] = {}
    try:
        request = make(cfg, unreader, CLIENT, 1)
        response, environ = create(request, sent, CLIENT, SERVER, cfg)
        kept = {name: value for name, value in environ.items() if name not in MADE_FOR_EACH}
        seen |= {"environ": kept, "closes": request.should_close(), "version": request.version}
        seen |= {"chunked": type(request.body.reader).__name__ == "ChunkedReader", "forced": response.must_close}
        seen["body"] = environ["wsgi.input"].read()
        seen["left"] = b"".join([unreader.take_buffered(), *drain(unreader)])
    except (Exception, StopIteration) as error:
        seen["error"] = type(error), str(error), getattr(error, "code", None)
    return {**seen, "sent": sent.data}  # ours asks for a body when it reads it, gunicorn before


def is_put_together(cfg: Any, pieces: list[bytes]) -> bool:
    try:
        return heads.Request(cfg, IterUnreader(pieces), CLIENT, 1).start is not None
    except (Exception, StopIteration):
        return False


def drain(unreader: IterUnreader) -> Iterator[bytes]:
    while piece := unreader.chunk():
        yield piece


class Socket:
    """Takes what a server sends."""

    data = b""

    def send(self, data: bytes) -> int:
        self.data += data
        return len(data)

    def sendall(self, data: bytes) -> None:
        self.data += data
