"""Versions that are published, and files that are scored, while machines fail."""

from __future__ import annotations

import io
import itertools
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import joblib
import numpy as np
import requests
from sklearn.linear_model import LinearRegression

from tests.qa.machines.callers import MODEL, PATIENCE
from tests.support import InThreads

ROWS = 5000


class Changes(InThreads):
    """One thread publishes a version after the other, another scores files. Each version adds a number of its own to
    twice the value."""

    def __init__(self, gateways: Sequence[str]) -> None:
        super().__init__(self._publish, self._score)
        self._gateways = gateways
        self._next = itertools.count(1)
        self.offsets: dict[int, int] = {}
        """What each version adds, by version. Who got no answer may have published as well."""
        self.tried: set[int] = set()
        self.published: Counter[str] = Counter()
        self.files: Counter[str] = Counter()
        self.problems: list[str] = []

    def publish(self) -> bool:
        """Publish a version; return whether it was accepted."""
        offset = next(self._next)
        self.tried.add(offset)
        artifact = io.BytesIO()
        x = np.array([[0.0], [1.0]])
        joblib.dump(LinearRegression().fit(x, 2 * x[:, 0] + offset), artifact)
        files = {"file": ("model.joblib", artifact.getvalue()), "sample": ("sample.csv", "a\n1\n2\n")}
        try:
            answer = requests.post(f"{self._gateway()}/v1/models/{MODEL}/versions", files=files, timeout=(2, 90))
        except requests.RequestException:
            self.published["no answer"] += 1
            return False
        self.published[str(answer.status_code) if answer.ok else f"{answer.status_code} {answer.json()['code']}"] += 1
        if answer.ok:
            version = answer.json()["version"]
            if version in self.offsets:
                self.problems.append(f"version {version} twice")
            self.offsets[version] = offset
        return answer.ok

    def wrong(self, answers: Sequence[tuple[int, int, float]]) -> list[str]:
        """Return a sentence for each wrong answer."""
        added: dict[int, set[int]] = defaultdict(set)
        for value, version, answer in answers:
            added[version].add(round(answer - 2 * value))
        expected = {version: {offset} for version, offset in self.offsets.items()}
        wrong = [f"version {v} added {a}" for v, a in added.items() if a != expected.get(v, a) or not a <= self.tried]
        wrong += [f"version {version} added {several}" for version, several in added.items() if len(several) > 1]
        inexact = [f"{v}: {answer}" for v, _, answer in answers if abs(answer - round(answer)) > 1e-6]
        return wrong + inexact

    def _gateway(self) -> str:
        return random.choice(self._gateways)

    def _publish(self) -> None:
        while not self._stop.wait(3):
            self.publish()

    def _score(self) -> None:
        body = "\n".join(["a", *map(str, range(ROWS)), ""])
        while not self._stop.wait(1):
            path = f"/v1/models/{MODEL}/predict-file"
            try:
                answer = requests.post(
                    self._gateway() + path, data=body, headers={"Content-Type": "text/csv"}, timeout=(2, 90)
                )
            except requests.RequestException:
                self.files["no answer"] += 1
                continue
            if not answer.ok:
                self.files[f"{answer.status_code} {answer.json()['code']}"] += 1
                continue
            self._check(answer.json()["id"])

    def _check(self, job: str) -> None:
        """Wait for the end of a file, and compare its output."""
        ended = self._get(f"/v1/jobs/{job}?wait=5", lambda answer: answer.json()["completed_at"])
        if ended is None or ended.json()["status"] != "succeeded":
            self.problems.append(f"file {job}: {ended.json() if ended is not None else 'has not ended'}")
            return
        output = self._get(f"/v1/jobs/{job}/output", lambda _answer: True)
        lines = output.text.splitlines()[1:] if output is not None else []
        added = {round(float(line.split(",")[-1]) - 2 * float(line.split(",")[0])) for line in lines}
        if len(lines) != ROWS or len(added) != 1 or not added <= self.tried:
            self.problems.append(f"file {job}: {len(lines)} rows, added {added}")
        self.files["right"] += 1

    def _get(self, path: str, enough: Callable[[requests.Response], object]) -> requests.Response | None:
        """Return the first answer that is `enough`, of whichever gateway."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                answer = requests.get(self._gateway() + path, timeout=(2, 30))
            except requests.RequestException:
                continue
            if answer.ok and enough(answer):
                return answer
            self._stop.wait(0.1)
        return None
