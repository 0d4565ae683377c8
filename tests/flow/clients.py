"""Clients that send requests without a pause and keep the answers."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.support import InThreads, until


@dataclass(frozen=True)
class Answer:
    """The answer to a prediction for `value`, which the models of these tests double. `status` 0: no answer; `at`: when
    it came, by the monotonic clock. `waited`: the longest time that its client would wait, in seconds."""

    model: str
    value: float
    status: int
    body: dict[str, Any]
    retry_after: str | None = None
    waited: int = 0
    at: float = field(default_factory=time.monotonic)

    @property
    def accepted(self) -> bool:
        return self.status in (200, 202)

    @property
    def job_id(self) -> str:
        return str(self.body["id"])

    @property
    def succeeded(self) -> bool:
        return self.body.get("status") == "succeeded"

    @property
    def right(self) -> bool:
        return self.succeeded and bool(self.body["output"]["predictions"] == [2 * self.value])


class Clients(InThreads):
    """`count` clients; each posts one row after the other, to the `models` in turn, with `pause` seconds between."""

    def __init__(
        self, address: str, models: Sequence[str], count: int = 4, wait: int = 20, *, pause: float = 0
    ) -> None:
        self._address = address
        self._models = models
        self._wait = wait
        self._pause = pause
        self._values = itertools.count(1)
        super().__init__(*[self._ask] * count)
        self.answers: list[Answer] = []

    def _ask(self) -> None:
        session = requests.Session()
        while not self._stop.is_set():
            value = next(self._values)
            answer = self._post(session, self._models[value % len(self._models)], float(value))
            self.answers.append(answer)
            # A refused client does not retry at once.
            self._stop.wait(0.05 if answer.status in (0, 503) else self._pause)

    def _post(self, session: requests.Session, model: str, value: float) -> Answer:
        headers = {"Prefer": f"wait={self._wait}"} if self._wait else {}
        try:
            response = session.post(
                f"{self._address}/v1/models/{model}/predict", json={"a": value}, headers=headers, timeout=90
            )
            hint = response.headers.get("Retry-After")
            return Answer(model, value, response.status_code, response.json(), hint, self._wait)
        except (requests.RequestException, ValueError) as error:
            return Answer(model, value, 0, {"error": repr(error)})

    def seen(self, matching: Callable[[Answer], bool] = lambda answer: answer.right) -> int:
        return sum(map(matching, list(self.answers)))

    def until_more(
        self, more: int, what: str, matching: Callable[[Answer], bool] = lambda answer: answer.right
    ) -> None:
        """Wait for `more` further answers that are `matching`."""
        before = self.seen(matching)
        until(lambda: self.seen(matching) >= before + more, f"{more} more answers: {what}; {self.statuses()}")

    def statuses(self) -> Counter[int]:
        return Counter(answer.status for answer in list(self.answers))
