"""Many rows of numbers go as an array, with the answers that they get as JSON; an older server gets JSON."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from modelgate import Client
from modelgate.packing import NPY
from modelgate.rows import Inputs, rows_of

from contract.settings import Settings
from tests.stacks.gateways import Gateway, serving

COUNT = 250
NUMBERS = np.random.default_rng(0).random((COUNT, 2))
FRAME = pl.DataFrame({"a": NUMBERS[:, 0], "b": NUMBERS[:, 1]})


@pytest.fixture
def roomy(settings: Settings) -> Iterator[Gateway]:
    """A gateway whose queue takes all rows at once."""
    with serving(replace(settings, max_queue_rows=10_000)) as gateway:
        yield gateway


@contextmanager
def older(gateway: Gateway) -> Iterator[tuple[str, list[str]]]:
    """Stand before a gateway, and refuse what a server of release 1.0 does not read; yield the address, and the media
    types that were sent."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._forward(b"")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append(self.headers["Content-Type"])
            if seen[-1] == "application/json":
                self._forward(body)
            else:
                self._answer(415, b'{"code": "unsupported_media_type", "detail": "send JSON"}')

        def _forward(self, body: bytes) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
            sent = {name: value for name, value in self.headers.items() if name != "Host"}
            connection.request(self.command, self.path, body, sent)
            answer = connection.getresponse()
            self._answer(answer.status, answer.read())
            connection.close()

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.usefixtures("scoring")
def test_an_array_of_numbers_has_the_answers_that_its_lists_have(roomy: Gateway) -> None:
    total = Client(roomy.address, timeout=60).model("sum")
    for dtype in ("f8", "f4", "f2", "i8", "u1", "i4"):
        for order in ("C", "F"):
            array = np.array(NUMBERS * 100, dtype=dtype, order=order)  # type: ignore[call-overload]
            assert rows_of(array, total.inputs).content(0, COUNT, packed=True)[0] == NPY
            np.testing.assert_array_equal(total.predict(array), total.predict(array.tolist()), f"{dtype} {order}")


@pytest.mark.slow
@pytest.mark.usefixtures("scoring")
def test_a_frame_of_numbers_has_the_answers_that_its_columns_have(roomy: Gateway) -> None:
    total = Client(roomy.address, timeout=60).model("sum")
    columns = {"b": NUMBERS[:, 0], "a": np.arange(COUNT) * 2**40}
    for frame in (pl.DataFrame(columns), pd.DataFrame(columns)):
        assert rows_of(frame, total.inputs).content(0, COUNT, packed=True)[0] == NPY
        np.testing.assert_array_equal(total.predict(frame), total.predict(columns))


@pytest.mark.parametrize(
    "rows",
    [
        NUMBERS[:100],
        NUMBERS.astype(object),
        NUMBERS > 0.5,
        NUMBERS.tolist(),
        FRAME.with_columns(c=1),
        FRAME.with_columns(a=pl.Series(["x"] * COUNT)),
        FRAME.with_columns(a=pl.Series([True] * COUNT)),
        FRAME.with_columns(a=pl.Series([2**53 + 1] * COUNT)),
        FRAME.with_columns(a=pl.Series([None, "x"] * 125)),
        pd.DataFrame({"a": pd.array([1, None] * 125, dtype="Int64"), "b": 1.5}),
    ],
    ids=["few", "objects", "booleans", "lists", "another column", "text", "flags", "beyond a float", "nulls", "NA"],
)
def test_what_packing_might_change_stays_json(rows: Any) -> None:
    inputs = Inputs(("a", "b"), ("number", "number"), "dataframe", "table") if hasattr(rows, "columns") else None
    assert rows_of(rows, inputs).content(0, len(rows), packed=True)[0] == "application/json"


@pytest.mark.slow
@pytest.mark.usefixtures("scoring")
def test_an_older_server_gets_json(roomy: Gateway) -> None:
    with older(roomy) as (address, seen):
        total = Client(address, timeout=60).model("sum")
        for _ in range(2):
            np.testing.assert_allclose(total.predict(NUMBERS), NUMBERS.sum(axis=1))
    assert seen == [NPY, "application/json", "application/json"]
