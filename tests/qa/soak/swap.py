"""`python -m tests.qa.soak.swap`: trains, publishes, promotes and rolls back versions under a steady load.

Prints how many requests failed, how many got an answer from a version that was not current at the time, and how long
requests took before and during the swaps.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import requests

from contract.settings import Settings
from tests.flow.swaps import MODEL, Move, move, publish_one, swap_again_and_again
from tests.stacks.gateways import Site, start_site
from tests.support import InThreads, until


@dataclass(frozen=True)
class Answer:
    """The answer to a request. `version` 0: it was wrong, and `error` says how. Times are monotonic seconds."""

    due: float
    sent: float
    came: float
    version: int
    error: str = ""


class Load(InThreads):
    """Sends `rate` requests a second, without waiting for earlier answers."""

    def __init__(self, address: str, rate: float, clients: int = 8) -> None:
        self.answers: list[Answer] = []
        self._url = f"{address}/v1/models/{MODEL}/predict"
        self._interval = clients / rate
        self._values = itertools.count(1)
        starts = [time.monotonic() + i / rate for i in range(clients)]
        super().__init__(*(functools.partial(self._run, start) for start in starts))

    def _run(self, due: float) -> None:
        session = requests.Session()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            self.answers.append(self._ask(session, due))
            due += self._interval

    def _ask(self, session: requests.Session, due: float) -> Answer:
        value, sent = float(next(self._values)), time.monotonic()
        try:
            response = session.post(self._url, json={"a": value}, headers={"Prefer": "wait=20"}, timeout=60)
            body = response.json()
            version = int(body["model"]["version"])
            right = body["status"] == "succeeded" and body["output"]["predictions"] == [2 * value + version]
            return Answer(due, sent, time.monotonic(), version if right else 0, "" if right else response.text)
        except (requests.RequestException, ValueError, KeyError) as error:
            return Answer(due, sent, time.monotonic(), 0, repr(error))


def strange(answers: Sequence[Answer], moves: Sequence[Move]) -> list[Answer]:
    """Return the answers of versions that were never current between request and answer."""

    def possible(answer: Answer) -> set[int]:
        before = [move.version for move in moves if move.ended <= answer.sent]
        meanwhile = {move.version for move in moves if move.began <= answer.came and move.ended > answer.sent}
        return meanwhile | set(before[-1:])

    return [answer for answer in answers if answer.version and answer.version not in possible(answer)]


def swap_under_load(
    site: Site, *, rounds: int, rate: float, rows: int, seconds_before: float, pause: float
) -> dict[str, Any]:
    """Swap versions under load and return figures. `rows` to train on, `pause` between two moves. Fails if a request
    fails."""
    settings = Settings(redis_url=site.cluster.url, models_dir=site.cluster.models)
    moves = [move(settings, publish_one(settings.models_dir, rows=rows))]
    here, there = multiprocessing.Pipe()
    trainer = multiprocessing.get_context("spawn").Process(
        target=swap_again_and_again, args=(settings, rounds, rows, pause, there), daemon=True
    )
    with Load(site.gateway.address, rate) as load:
        until(lambda: len(load.answers) > rate / 2, "it has begun")
        began = time.monotonic()
        until(lambda: time.monotonic() > began + seconds_before, "there is something to compare with", 600)
        trainer.start()
        began_to_swap = time.monotonic()
        while (noted := here.recv() if here.poll(120) else None) is not None:
            moves.append(noted)
    trainer.join(10)
    assert len(moves) == 1 + 3 * rounds, "the trainer did not come to its end"
    before = [answer for answer in load.answers if began < answer.sent < began_to_swap]
    during = [answer for answer in load.answers if answer.sent >= began_to_swap]
    failed = [answer for answer in load.answers if not answer.version]
    odd = strange(load.answers, moves)
    assert not failed, failed[:3]
    assert not odd, odd[:3]
    return {
        "requests": len(load.answers),
        "a second": rate,
        "failed": len(failed),
        "by neither version": len(odd),
        "versions": len({answer.version for answer in load.answers}),
        "moves": len(moves),
        "remarks": [move.remark for move in moves if move.remark],
        "p50, p99 before, ms": _milliseconds(before),
        "p50, p99 during, ms": _milliseconds(during),
        "promote, median and longest, ms": _durations([move for move in moves[1:] if move.kind == "promote"]),
        "roll back, median and longest, ms": _durations([move for move in moves if move.kind == "roll back"]),
    }


def _milliseconds(answers: Sequence[Answer]) -> tuple[float, float]:
    """Return the latencies, counted from when a request was due: waiting for a connection counts."""
    times = sorted(answer.came - answer.due for answer in answers)
    return round(1000 * median(times), 1), round(1000 * times[int(0.99 * (len(times) - 1))], 1)


def _durations(moves: Sequence[Move]) -> tuple[float, float]:
    times = [1000 * (move.ended - move.began) for move in moves]
    return round(median(times), 1), round(max(times), 1)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.qa.soak.swap", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--rate", type=float, default=50, help="requests a second")
    parser.add_argument("--rows", type=int, default=3000, help="of each training")
    parser.add_argument("--before", type=float, default=20, help="seconds without a swap, to compare with")
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_args()
    effort = {"rounds": chosen.rounds, "rate": chosen.rate, "rows": chosen.rows}
    with tempfile.TemporaryDirectory(prefix="swap-") as name:
        folder = Path(name)
        (folder / "models").mkdir()
        with start_site(folder, folder / "models", gateway_processes=2) as site:
            for number in range(chosen.workers):
                site.cluster.start(f"w{number}")
            for worker in site.cluster.workers:
                worker.ready()
            figures = swap_under_load(site, **effort, seconds_before=chosen.before, pause=0.5)
    for key, value in figures.items():
        print(f"{key:36} {value}", flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
