"""Requests as they go over the wire, what their right answers are, and the load generator that sends them."""

from __future__ import annotations

import functools
import http.client
import json
import math
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from bench.processes import START_DEADLINE, WORK, DidNotStart, WrongAnswer
from bench.servers import Running
from contract.model.manifest import ModelManifest
from contract.model.repository import Repository
from contract.row import Row
from scoring import artifacts, predict
from scoring.trust import Trust

GENERATOR = WORK / "load"
GRACE = 90.0


@dataclass(frozen=True)
class LoadResult:
    """The generator's measurements: latencies of good answers in ms; `cpu`: its own share of the two cores."""

    good: int
    bad: int
    seconds: float
    cpu: float
    mean_ms: float
    p50_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        return self.good / self.seconds if self.seconds else 0.0


def compile_generator() -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise DidNotStart("the load generator needs a C compiler (apt install gcc)")
    GENERATOR.parent.mkdir(parents=True, exist_ok=True)
    source = Path(__file__).with_name("load.c")
    subprocess.run([compiler, "-O2", "-o", str(GENERATOR), str(source)], check=True)  # noqa: S603


@functools.cache
def manifest(repository: Path, model: str) -> ModelManifest:
    return Repository(repository).manifest(model, 1)


@functools.lru_cache(maxsize=4)  # of fifty models, one after the other
def estimator(repository: Path, model: str) -> Any:
    return artifacts.load(manifest(repository, model), Repository(repository).files(model, 1), Trust())


def truth(repository: Path, model: str, rows: Sequence[Row]) -> list[Any]:
    with threadpool_limits(1):  # as in a scorer
        return list(predict.predict(estimator(repository, model), manifest(repository, model), rows).values)


class Exchanges:
    """Requests of one model for one running server, each with the right answer as this server writes it."""

    def __init__(self, run: Running, model: str, requests: Sequence[Sequence[Row]]) -> None:
        """Asks each once. Raises `DidNotStart` if the first is not answered in time, `WrongAnswer` if one is wrong."""
        self._run = run
        self._model = model
        names = manifest(run.deployment.repository, model).signature.names
        bodies = [json.dumps(run.server.body(model, names, rows), separators=(",", ":")).encode() for rows in requests]
        self._await(bodies[0])
        self.pairs = [self._exchange(body, rows) for body, rows in zip(bodies, requests, strict=True)]
        """Each request as it goes over the wire, and what its right answer contains."""

    def _await(self, body: bytes) -> None:
        deadline = time.monotonic() + START_DEADLINE
        last = "no answer"
        while time.monotonic() < deadline and not self._run.trouble:
            with suppress(OSError, http.client.HTTPException):
                status, answer = self._ask(body)
                if status == 200 and self._run.server.marker.encode() in answer:
                    return
                last = f"{status}: {answer[:200].decode(errors='replace')}"
            time.sleep(0.1)
        raise DidNotStart(f"{self._run.trouble or last}")

    def _ask(self, body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._run.deployment.port, timeout=GRACE)
        try:
            connection.request("POST", self._path, body, self._headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    @property
    def _path(self) -> str:
        return self._run.server.path.format(model=self._model)

    @property
    def _headers(self) -> dict[str, str]:
        return {"Content-Type": "application/json", **self._run.server.headers}

    def _exchange(self, body: bytes, rows: Sequence[Row]) -> tuple[bytes, bytes]:
        status, answer = self._ask(body)
        output = re.escape(self._run.server.output.encode())
        match = re.search(rb'"' + output + rb'": ?(\[[^\]]*\])', answer)
        right = truth(self._run.deployment.repository, self._model, rows)
        if status != 200 or not match or not _alike(json.loads(match[1]), right):
            raise WrongAnswer(f"{status}: {answer[:300].decode(errors='replace')}; right: {str(right)[:100]}")
        head = [f"POST {self._path} HTTP/1.1", f"Host: 127.0.0.1:{self._run.deployment.port}"]
        head += [f"{name}: {value}" for name, value in self._headers.items()]
        request = "\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body
        return request, without_last_digits(match[0])

    def load(self, clients: int, seconds: float, warm: float, count: int = 0) -> LoadResult:
        server = self._run.server
        return send(to_wire(self.pairs), self._run.deployment.port, clients, seconds, warm, count, server.marker)


def without_last_digits(answer: bytes) -> bytes:
    """Return the beginning of an answer, without the last four digits of its last number: BLAS may add up in another
    order if more rows are scored together, with scikit-learn's own methods, too."""
    return re.sub(rb"(\.\d{4,})\d{4}\]$", rb"\1", answer)


def to_wire(pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return what the generator reads: each request and what its answer is to contain."""
    return b"".join(b"%d %d\n%b%b" % (len(request), len(expected), request, expected) for request, expected in pairs)


def send(wire: bytes, port: int, clients: int, seconds: float, warm: float, count: int, marker: str) -> LoadResult:
    """Keep `clients` connections busy: for `warm` seconds, then count for `seconds`, or until `count` answers."""
    command = [str(GENERATOR), *(str(part) for part in (port, clients, warm, seconds, count)), marker]
    done = subprocess.run(  # noqa: S603
        command, input=wire, capture_output=True, timeout=seconds + warm + GRACE, check=False
    )
    if done.returncode or not done.stdout:
        raise DidNotStart(f"the load broke off: {done.stderr.decode(errors='replace').strip()[-300:]}")
    seen = json.loads(done.stdout)
    bad = seen["non_2xx"] + seen["wrong"] + seen["broken"]
    cpu = seen["cpu_seconds"] / seen["seconds"] / 2
    return LoadResult(seen["good"], bad, seen["seconds"], cpu, seen["mean_ms"], seen["p50_ms"], seen["p99_ms"])


def _alike(answer: list[Any], right: list[Any]) -> bool:
    return len(answer) == len(right) and all(
        math.isclose(a, r, rel_tol=1e-9) if isinstance(r, float) else a == r for a, r in zip(answer, right, strict=True)
    )
