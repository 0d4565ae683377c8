"""The rows that are measured on a running server: single rows of 64 clients or of one, and one large request."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modelgate_kernels.matrix import to_matrix

from bench import models, servers
from bench.measures import Measure, Measures
from bench.processes import DidNotStart
from bench.servers import Running, Server, running
from bench.wire import Exchanges, LoadResult, estimator, manifest, send
from contract.row import Value

SAMPLES = 32
BULK_ROWS = 10_000
LIMIT = 30.0
"""Seconds that a row with a fixed number of requests may take."""


@dataclass(frozen=True)
class BenchRow:
    """A row of the table. `count`: that many requests are timed, not some seconds. `only`: not all servers."""

    name: str
    model: str
    clients: int = 64
    rows: int = 1
    count: int = 0
    only: tuple[str, ...] = ()

    def requests(self) -> list[list[list[Value]]]:
        if self.rows > 1:
            return [models.unseen_rows(self.rows)]
        return [[row] for row in models.samples(self.model, SAMPLES)]

    def value(self, load: LoadResult) -> float:
        """Rows per second; with one client the latency in ms: its median, or the mean where requests are counted."""
        if self.rows > 1:
            return self.rows * 1000 / load.p50_ms if load.p50_ms else 0.0
        if self.clients > 1:
            return load.rate
        return load.mean_ms if self.count else load.p50_ms


SINGLE = ("tiny", "forest", "table")
INLINE = ("modelgate", "flask", "fastapi")
"""Modelgate, and the servers that call the model inside the request."""
ROWS = (
    *(BenchRow(name, name) for name in SINGLE),
    BenchRow("text", models.TEXT, only=INLINE),
    *(BenchRow(name, name, only=INLINE) for name in models.TABULAR),
    BenchRow("one", "tiny", clients=1),
    *(BenchRow(f"one-{name}", name, clients=1, only=INLINE) for name in models.TABULAR),
    BenchRow("boston", "boston", clients=1, count=100),
    BenchRow("bulk", "table", clients=1, rows=BULK_ROWS, count=5, only=(*INLINE, "mlserver")),
)


@dataclass(frozen=True)
class Effort:
    """How long to measure: seconds that count, and seconds of warm-up before."""

    seconds: float
    warm: float


def anchor(effort: Effort, repository: Path) -> float:
    """Return the requests/s of hello world now, with 64 clients."""
    with running(servers.HELLO, repository, ["tiny"]) as hello:
        request = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{hello.deployment.port}\r\n\r\n"
        wire = f"{len(request)} 0\n{request}".encode()
        deadline = time.monotonic() + LIMIT
        while True:
            try:
                send(wire, hello.deployment.port, 1, LIMIT, 0, 1, "predictions")
                break
            except DidNotStart:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        return send(wire, hello.deployment.port, 64, effort.seconds / 2, effort.warm / 2, 0, "predictions").rate


def session(
    server: Server, rows: Sequence[BenchRow], number: int, repository: Path, effort: Effort, into: Measures
) -> None:
    """Start one server and measure `rows` on it, right after hello world. Failures are noted."""
    groups: dict[tuple[bool, str], list[BenchRow]] = {}
    for row in rows:
        if not row.only or server.name in row.only:
            alone = row.clients == 1 and server.alone is not None
            groups.setdefault((alone, row.model if server.one_model else ""), []).append(row)
    hello = anchor(effort, repository)
    for (alone, _), group in groups.items():
        names = sorted({row.model for row in group})
        with running(server.for_one_client() if alone else server, repository, names) as run:
            for row in group:
                _measure(run, row, number, hello, effort, into)


def _measure(run: Running, row: BenchRow, number: int, hello: float, effort: Effort, into: Measures) -> None:
    rate = row.clients > 1
    with into.failures(row.name, run.server.name):
        exchanges = Exchanges(run, row.model, row.requests())
        load = exchanges.load(row.clients, LIMIT if row.count else effort.seconds, effort.warm, row.count)
        into.add(
            Measure(
                row=row.name,
                server=run.server.name,
                round=number,
                value=row.value(load),
                bad=load.bad,
                hello=hello if rate else None,
                p50_ms=load.p50_ms,
                p99_ms=load.p99_ms if rate else None,
                cpu=load.cpu,
            )
        )


def plain_predict(number: int, repository: Path, into: Measures) -> None:
    """Measure `bulk` without a server: the model's `predict` on a finished matrix."""
    rows = models.unseen_rows(BULK_ROWS)
    entry = manifest(repository, "table")
    matrix = to_matrix(rows, entry.signature.inputs, entry.artifact.input_format, entry.artifact.input_dtype)
    model = estimator(repository, "table")
    times = []
    for _ in range(5):
        began = time.perf_counter()
        model.predict(matrix)
        times.append(time.perf_counter() - began)
    into.add(Measure("bulk", "plain predict", number, BULK_ROWS / sorted(times)[2]))
