"""Clients of the stack that ask all the time, and what went wrong for them."""

from __future__ import annotations

import functools
import time

import requests

from tests.qa.system.stack import FINAL, IRIS, Stack, until
from tests.support import InThreads


class Load(InThreads):
    """`clients` clients ask for predictions: every other one waits for its result within the request, the rest poll.

    `failures` has each answer that is not a correct prediction, and `accepted` the ids of all jobs. Those in `polled`
    stay for `RESULT_TTL`, and the others expire a minute after their answer.
    """

    def __init__(self, stack: Stack, clients: int = 6) -> None:
        self._stack = stack
        self.clients = clients
        super().__init__(*(functools.partial(self._ask, number % 2 == 0) for number in range(clients)))
        self.failures: list[str] = []
        self.accepted: list[str] = []
        self.polled: list[str] = []
        self.answered = 0
        self.longest_gap = 0.0
        self._last = time.monotonic()

    def _ask(self, waits: bool) -> None:
        with requests.Session() as session:
            while not self._stop.wait(0.01):
                try:
                    self._predict(session, waits)
                except (requests.RequestException, AssertionError) as error:
                    self.failures.append(f"{error!r}")
                    self._stop.wait(0.1)

    def _predict(self, session: requests.Session, waits: bool) -> None:
        headers = self._stack.headers | ({"Prefer": "wait=30"} if waits else {})
        response = session.post(f"{self._stack.url}/v1/models/iris/predict", json=IRIS, headers=headers, timeout=60)
        assert response.status_code in (200, 202), response.text
        job = response.json()
        self.accepted.append(job["id"])
        if job["status"] not in FINAL:
            self.polled.append(job["id"])
        now = time.monotonic()
        self.longest_gap, self._last = max(self.longest_gap, now - self._last), now
        while job["status"] not in FINAL:
            time.sleep(0.01)
            response = session.get(f"{self._stack.url}/v1/jobs/{job['id']}", headers=self._stack.headers, timeout=60)
            assert response.status_code == 200, response.text
            job = response.json()
        assert job["output"]["predictions"] == [0], job
        self.answered += 1

    def go_on(self, more: int = 100) -> None:
        """Return after `more` further answers."""
        enough = self.answered + more
        until(lambda: self.answered >= enough)
