"""The load generator counts right, and so do the figures: a benchmark that miscounts is worse than none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench import wire
from bench.measures import Measure, Measures
from bench.results import BenchRun, page
from tests.support import InThreads

ANSWERS = {
    "/good": (200, b'{"predictions":[1]}'),
    "/wrong": (200, b'{"predictions":[2]}'),
    "/refused": (503, b"{}"),
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        status, body = ANSWERS[self.path.removesuffix("?close")]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if self.path.endswith("?close"):
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """The generator leaves when it has counted enough, also in the middle of an answer."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    if not shutil.which("cc") and not shutil.which("gcc") and not os.environ.get("CI"):
        pytest.skip("there is no C compiler")
    wire.compile_generator()
    with _Server(("127.0.0.1", 0), _Handler) as server, InThreads(server.serve_forever):
        yield server.server_port
        server.shutdown()


def _wire(*paths: str) -> bytes:
    return wire.to_wire([(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode(), b"[1]") for path in paths])


def _load(port: int, *paths: str, count: int) -> wire.LoadResult:
    return wire.send(_wire(*paths), port, 4, 30, 0, count, "predictions")


def test_good_answers_are_counted_and_timed(port: int) -> None:
    load = _load(port, "/good", count=100)
    assert load.good >= 100 and load.bad == 0
    assert 0 < load.p50_ms <= load.p99_ms


def test_a_connection_that_the_server_closes_is_made_anew(port: int) -> None:
    load = _load(port, "/good?close", count=50)
    assert load.good >= 50 and load.bad == 0


def test_wrong_and_refused_answers_are_bad(port: int) -> None:
    load = _load(port, "/good", "/wrong", "/refused", "/good", count=100)
    assert abs(load.good - load.bad) <= 4, "half of each, but for the few under way at the end"


def test_the_last_digits_of_an_answer_do_not_count() -> None:
    assert wire.without_last_digits(b'"predictions":[3488.3920076798245]') == b'"predictions":[3488.392007679'
    assert wire.without_last_digits(b'"predictions":["1.5"]') == b'"predictions":["1.5"]'
    assert wire.without_last_digits(b'"predictions":[22.75]') == b'"predictions":[22.75]'


def test_a_ratio_is_that_of_the_same_round() -> None:
    measures = Measures()
    for number, ours, theirs in ((1, 10.0, 5.0), (2, 100.0, 25.0)):
        measures.add(Measure("tiny", "modelgate", number, ours, hello=1000))
        measures.add(Measure("tiny", "flask", number, theirs, hello=1000))
    assert measures.ratios("tiny", "modelgate", "flask") == [2, 4]
    shown = page(measures, BenchRun(cores=2, rounds=2, seconds=5, took=60, whole=True))
    assert "| **Modelgate** | 55 (10–100) | 0.06 (0.01–0.10) | 3.00 (2.00–4.00) | 3.00 (2.00–4.00) |" in shown
