"""What an operator sees of a fault: /health/ready five times a second, the metrics that moved, the new lines of the
logs."""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import requests

from tests.flow.clients import Answer
from tests.qa.faults.stage import Stage

AROUND = 2.5
"""Seconds around an answer in which /health/ready must agree with it: /health/ready is probed five times a second and
keeps its answer for a second, and a request is refused after two."""


ACCESS = re.compile(r"^\s*$|INFO gateway: (GET|POST|PUT|not logged) ")
"""The lines of requests, which name no fault."""


@dataclass(frozen=True)
class Probe:
    """An answer of /health/ready. `status` 0: none."""

    moment: float
    status: int
    said: str
    seconds: float

    @property
    def words(self) -> str:
        return f"{self.status} {self.said}" if self.status else "no answer"


@dataclass
class Witness:
    """Probes /health/ready from entry to exit. `seen` and the methods after it cover the time since `begin`."""

    stage: Stage
    probes: list[Probe] = field(default_factory=list)
    began: float = 0.0

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self._sizes: dict[Path, int] = {}
        self.metrics: Mapping[str, float] = {}
        """Before the fault."""

    def __enter__(self) -> Witness:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._stop.wait(0.2):
            began = time.monotonic()
            status, body = self.stage.readiness()
            said = ": ".join(str(body[part]) for part in ("status", "detail") if body.get(part))
            if status == 503:
                said = str(body.get("detail"))
            self.probes.append(Probe(time.monotonic(), status, said, time.monotonic() - began))

    def begin(self) -> None:
        """Note what the logs and the metrics are before the fault."""
        self._sizes = {path: path.stat().st_size for path in self.stage.logs().values() if path.exists()}
        self.metrics = metrics(self.stage)
        self.began = time.monotonic()

    def seen(self, until: float) -> list[Probe]:
        return [probe for probe in self.probes if self.began <= probe.moment <= until]

    def new_lines(self) -> list[str]:
        """The lines since `begin`, service by service."""
        lines = []
        for service, path in self.stage.logs().items():
            with suppress(FileNotFoundError), path.open(errors="replace") as log:
                log.seek(self._sizes.get(path, 0))
                lines += [f"{service.split()[0]}: {line.strip()}" for line in log if not ACCESS.search(line)]
        return lines

    def moved(self, now: Mapping[str, float]) -> list[str]:
        """The series that have changed since `begin`, each with its value `now`."""
        return [f"{name} {value:g}" for name, value in now.items() if value != self.metrics.get(name)]


def metrics(stage: Stage) -> dict[str, float]:
    """Read /metrics; empty without an answer."""
    try:
        response = requests.get(f"{stage.gateway.address}/metrics", timeout=3)
    except requests.RequestException:
        return {}
    if not response.ok:
        return {}
    samples = re.findall(r"^(modelgate_\S+?(?:\{[^}]*\})?) (\S+)$", response.text, re.MULTILINE)
    return {name: float(value) for name, value in samples}


def in_words(probes: Iterable[Probe]) -> list[str]:
    """Each thing that was said, once, in order."""
    return [words for words, _ in itertools.groupby(probe.words for probe in probes)]


def contradictions(probes: Sequence[Probe], answers: Sequence[Answer]) -> list[str]:
    """Return what /health/ready said that the answers of that time contradict, each once."""
    contradictory: dict[str, None] = {}
    for answer in answers:
        around = [probe for probe in probes if abs(probe.moment - answer.at) <= AROUND]
        if not around or not all(probe.said.startswith("ok") for probe in around):
            continue
        if answer.status == 503:
            contradictory[f"a request was refused ({answer.body.get('code')}) while it said ok"] = None
        elif answer.status == 202 and answer.waited:
            contradictory[f"a request waited {answer.waited} s in vain while it said ok"] = None
    for probe in probes:
        # Requests wait for the end of a short outage, so only a long one contradicts.
        lasted = all(other.status == 503 for other in probes if abs(probe.moment - other.moment) <= AROUND)
        near = [answer.accepted for answer in answers if abs(probe.moment - answer.at) <= AROUND]
        if lasted and len(near) > 10 and all(near):
            contradictory[f"every request was accepted while it said 503: {probe.said}"] = None
    return list(contradictory)
