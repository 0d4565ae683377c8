"""`python -m bench.bodies`: sends 10,000 rows to one Modelgate as JSON and an array of NumPy, and asks for compressed
answers, each in turn.
The time is that of a client, from its rows to its answers. The processor time is that of gateway, Redis and worker.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from bench import models
from bench.console import say
from bench.measures import spread
from bench.processes import WORK, use_two_cores
from bench.servers import MODELGATE, Running, modelgate, running
from contract.model.repository import Repository
from gateway.protocols import npy

NUMBERS, MIXED = "tiny", "loan"
JSON = "application/json"
ALL = ("gunicorn.conf", "redis.sock", "-m worker")

Encode = Callable[[pd.DataFrame], bytes]
Decode = Callable[[bytes], Any]


def _as_json(frame: pd.DataFrame) -> bytes:
    return json.dumps({"columns": frame.to_dict("list")}).encode()


def _as_npy(frame: pd.DataFrame) -> bytes:
    file = io.BytesIO()
    np.save(file, frame.to_numpy())
    return file.getvalue()


def _of_json(body: bytes) -> list[Any]:
    return list(json.loads(body)["output"]["predictions"])


@dataclass(frozen=True)
class Way:
    """A media type of the rows, one of the answer, and the coding that the answer may have."""

    name: str
    model: str
    sent: str
    accepted: str
    encode: Encode
    decode: Decode
    coding: str = "identity"


WAYS = [
    *(Way("JSON", model, JSON, JSON, _as_json, _of_json) for model in (NUMBERS, MIXED)),
    Way("NumPy", NUMBERS, npy.CONTENT_TYPE, npy.CONTENT_TYPE, _as_npy, lambda body: np.load(io.BytesIO(body)).tolist()),
    *(Way(f"JSON, answer in {coding}", MIXED, JSON, JSON, _as_json, len, coding) for coding in ("gzip", "zstd")),
]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.bodies", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--rows", type=int, default=10_000)
    options = parser.parse_args()
    use_two_cores()
    models.build(WORK / "models", say)
    server = replace(MODELGATE, commands=modelgate())
    with running(server, WORK / "models" / models.SPEED, [NUMBERS, MIXED]) as run:
        run.wait_until_ready()
        say(table(measured(run, options.rounds, options.rows), options.rows))
    return 0


def measured(run: Running, rounds: int, rows: int) -> dict[int, list[tuple[float, float, int, int]]]:
    """Return for each way of each round the seconds, those of processors, and the bytes of request and answer. A first
    round does not count."""
    repository = Repository(run.deployment.repository)
    frames = {name: _frame(repository, name, rows) for name in (NUMBERS, MIXED)}
    found: dict[int, list[tuple[float, float, int, int]]] = {number: [] for number in range(len(WAYS))}
    for turn in range(-1, rounds):
        for number, way in enumerate(WAYS):
            before, began = run.cpu_seconds(*ALL), time.perf_counter()
            body = way.encode(frames[way.model])
            answer = _ask(run.deployment.port, way, body)
            way.decode(answer)
            seconds = time.perf_counter() - began
            if turn >= 0:
                found[number].append((seconds, run.cpu_seconds(*ALL) - before, len(body), len(answer)))
    return found


def _frame(repository: Repository, model: str, rows: int) -> pd.DataFrame:
    names = repository.manifest(*repository.resolve(model)).signature.names
    return pd.DataFrame(models.samples(model, rows), columns=names)


def _ask(port: int, way: Way, body: bytes) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    headers = {"Content-Type": way.sent, "Accept": way.accepted, "Accept-Encoding": way.coding, "Prefer": "wait=60"}
    connection.request("POST", f"/v1/models/{way.model}/predict", body, headers)
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != 200:
        raise SystemExit(f"{way.name}: {answer.status} {content[:300]!r}")
    return content


def table(found: dict[int, list[tuple[float, float, int, int]]], rows: int) -> str:
    """Return a line for each way: medians of the rounds, with their least and most."""
    head = ["| model | rows as | rows/s | ms of processors | KB of the request | of the answer |"]
    lines = [*head, "| --- | --- |" + " ---: |" * 4]
    for number, way in enumerate(WAYS):
        seconds, processors, sent, answered = zip(*found[number], strict=True)
        rates = spread([rows / each for each in seconds], 0)
        costs = spread([each * 1000 for each in processors], 0)
        sizes = [f"{statistics.median(size) / 1024:,.0f}" for size in (sent, answered)]
        lines.append(f"| {way.model} | {way.name} | {rates} | {costs} | {' | '.join(sizes)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
