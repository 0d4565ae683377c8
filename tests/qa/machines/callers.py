"""Callers of two gateways who account for each job that was accepted."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.support import InThreads

MODEL = "line"
PATIENCE = 180.0
"""Seconds until a job that has not ended counts as lost."""


def live(gateway: str) -> bool:
    try:
        return requests.get(f"{gateway}/health/live", timeout=1).ok
    except requests.RequestException:
        return False


@dataclass
class Account:
    """What became of the jobs of all callers."""

    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    answers: list[tuple[int, int, float]] = field(default_factory=list)
    """Value, version and prediction of each job that has succeeded."""
    longest_gap: float = 0.0
    """The longest time without an answer for anybody since the last `gap`, in seconds."""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._last = time.monotonic()

    def ended(self, value: int, job: Mapping[str, Any]) -> None:
        with self._lock:
            if job["status"] != "succeeded":
                self.failed.append(f"{job['id']}: {job['status']} {job['error']}")
                return
            (answer,) = job["output"]["predictions"]
            self.answers.append((value, job["model"]["version"], answer))
            now = time.monotonic()
            self.longest_gap, self._last = max(self.longest_gap, now - self._last), now

    def gap(self) -> float:
        """Return the longest gap since the last call."""
        with self._lock:
            gap = max(self.longest_gap, time.monotonic() - self._last)
            self.longest_gap = 0.0
            return gap

    def accept(self) -> None:
        with self._lock:
            self.accepted += 1

    def refuse(self, why: str) -> None:
        with self._lock:
            self.refused[why] += 1


class Callers(InThreads):
    """Post one row after the other to the gateways that are live, as a load balancer would."""

    def __init__(self, gateways: Sequence[str], account: Account, count: int) -> None:
        self._gateways = self._live = gateways
        self._account = account
        self._values = itertools.count(1)
        super().__init__(self._check, *[self._ask] * count)

    def _check(self) -> None:
        while not self._stop.wait(0.5):
            self._live = list(filter(live, self._gateways)) or self._gateways

    def _ask(self) -> None:
        session = requests.Session()
        chance = random.Random()
        while not self._stop.is_set():
            value = next(self._values)
            try:
                answer = session.post(
                    f"{chance.choice(self._live)}/v1/models/{MODEL}/predict",
                    json={"a": value},
                    headers={"Prefer": "wait=10"} if value % 2 else {},
                    timeout=(2, 20),
                )
            except requests.RequestException:
                self._account.refuse("no answer")
                continue
            if answer.status_code not in (200, 202):
                self._account.refuse(f"{answer.status_code} {answer.json().get('code')}")
                self._stop.wait(0.05)
                continue
            self._account.accept()
            self._follow(session, value, answer.json())

    def _follow(self, session: requests.Session, value: int, job: dict[str, Any]) -> None:
        deadline = time.monotonic() + PATIENCE
        for gateway in itertools.cycle(self._gateways):
            if job.get("completed_at"):
                self._account.ended(value, job)
                return
            if time.monotonic() > deadline:
                self._account.lost.append(f"{job['id']} has not ended")
                return
            try:
                answer = session.get(f"{gateway}/v1/jobs/{job['id']}?wait=5", timeout=(2, 20))
            except requests.RequestException:
                continue
            if answer.status_code == 404:
                self._account.lost.append(f"{job['id']} is not known")
                return
            if answer.ok:
                job = answer.json()
            else:
                self._stop.wait(0.05)
