"""Compares the calls a second of the Python client with those of plain `requests`: one row, one caller.

    python -m bench.python_client http://127.0.0.1:8080

The calls alternate one by one, so that what else the machine does slows all of them alike. The model is iris.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import requests
from modelgate import Client

ROUNDS, CALLS = 10, 200
ROW = [[5.1, 3.5, 1.4, 0.2]]
WAITING = {"Prefer": "wait=20"}


def main(url: str) -> None:
    session, model = requests.Session(), Client(url).model("iris")
    address = f"{url}/v1/models/iris/predict"

    def plain(post: Callable[..., requests.Response]) -> Any:
        answer = post(address, json=ROW, headers=WAITING, timeout=60)
        answer.raise_for_status()
        return answer.json()["output"]["predictions"]

    ways: dict[str, Callable[[], Any]] = {
        "client": lambda: model.predict(ROW),
        "requests.Session": lambda: plain(session.post),
        "requests.post": lambda: plain(requests.post),
    }
    for way in ways.values():
        way()
    rates = [one_round(ways) for _ in range(ROUNDS)]
    for name in list(ways)[1:]:
        ratios = [rate["client"] / rate[name] for rate in rates]
        middle, spread = statistics.median(ratios), f"{min(ratios):.2f} to {max(ratios):.2f}"
        ours, theirs = (statistics.median(rate[way] for rate in rates) for way in ("client", name))
        sys.stdout.write(f"client {ours:.0f} calls/s, {name} {theirs:.0f}, ratio {middle:.2f} ({spread})\n")


def one_round(ways: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Return the calls a second of each way: of the median call, which a pause of the machine does not change."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(CALLS):
        for name in random.sample(list(ways), len(ways)):
            began = time.perf_counter()
            ways[name]()
            took[name].append(time.perf_counter() - began)
    return {name: 1 / statistics.median(seconds) for name, seconds in took.items()}


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080")
