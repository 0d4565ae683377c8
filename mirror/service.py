"""The service: brings the folder up to date when a change is announced, and looks at the whole store now and then."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from redis import Redis
from redis.exceptions import RedisError

from broker.state.mirrors import MOST_PROBLEMS, MirrorLink, MirrorReport
from contract.errors import ModelgateError
from runtime.backoff import Backoff
from runtime.outages import Outages
from storage.disk import StoreError
from storage.models.mirrored import MirroredRepository

log = logging.getLogger("mirror")

LOOK_EVERY = 30.0
"""Seconds between two looks at all heads: they find what was changed while Redis was away."""

LISTEN_EVERY = 0.2
REPORT_EVERY = 2.0


@dataclass
class _Problem:
    """Why a model is not as it is in the store. It is tried again after pauses that grow: its files may be large."""

    reason: str = ""
    backoff: Backoff = field(default_factory=lambda: Backoff(1, 300))


class Mirror:
    """Mirrors `repository`. `name` is that of this mirror in Redis."""

    def __init__(self, repository: MirroredRepository, connection: Redis, name: str) -> None:
        self._repository = repository
        self._link = MirrorLink(connection)
        self._name = name
        self._problems: dict[str, _Problem] = {}
        self._waiting: dict[str, None] = {}
        """The models to look at, in the order in which they were named."""
        self._announced = 0
        self._seen = 0
        self._look_at = 0.0
        self._away = ""
        self._store = Backoff(0.5, 15)
        self._outages = Outages("the mirror", log)
        self._changed = threading.Event()

    def step(self) -> None:
        """Do what is due, once."""
        self._listen()
        if self._store.over:
            try:
                if time.monotonic() >= self._look_at:
                    self._look()
                self._refresh(self._due())
            except (StoreError, OSError) as error:
                self._failed(error)
            else:
                self._worked()

    def report(self) -> None:
        """Say in Redis what the mirror has. Runs in a thread of its own: a download may take minutes."""
        self._changed.wait(REPORT_EVERY)
        self._changed.clear()
        problems = {model: problem.reason for model, problem in list(self._problems.items())[:MOST_PROBLEMS]}
        self._link.report(self._name, MirrorReport(self._seen, problems, self._away))

    def stop(self) -> None:
        try:
            self._link.withdraw(self._name)
        except RedisError as error:
            log.warning("no Redis: %s", error)

    def problems(self) -> list[str]:
        """Return what is wrong, in sentences; a store that is away is not this process's fault."""
        return [] if self._repository.notes.is_complete() else [self._away or "it has not yet fetched all models"]

    def _listen(self) -> None:
        """Note what was announced. Without Redis the store alone says what has changed."""
        if self._outages.paused:
            return
        try:
            last, models = self._link.changes(self._announced)
        except RedisError as error:
            self._outages.failed(error)
            return
        self._outages.worked()
        if last < self._announced:  # Redis has lost its data
            self._look_at = 0.0
        self._announced = last
        self._waiting.update(dict.fromkeys(models))

    def _look(self) -> None:
        """Look at the heads of all models."""
        for model in self._repository.changed():
            self._waiting[model] = None
        self._look_at = time.monotonic() + LOOK_EVERY

    def _due(self) -> list[str]:
        again = [model for model, problem in self._problems.items() if problem.backoff.over]
        for model in again:
            self._waiting[model] = None
        return list(self._waiting)

    def _refresh(self, models: Iterable[str]) -> None:
        upto = self._announced
        for model in models:
            problem = self._problems.get(model)
            if problem is None or problem.backoff.over:
                self._refresh_one(model)
            del self._waiting[model]
        if not self._problems and not self._repository.notes.is_complete():
            self._repository.notes.set_complete()
            log.info("the models are as they are in %s", self._repository.bucket.objects.url)
        if self._seen != upto:
            self._seen = upto
            self._changed.set()

    def _refresh_one(self, model: str) -> None:
        try:
            reasons = self._repository.refresh(model)
        except ModelgateError as error:
            reasons = [str(error)]
        if not reasons:
            if self._problems.pop(model, None):
                log.info("%s is as it is in the store again", model)
            return
        problem = self._problems.setdefault(model, _Problem())
        if problem.reason != reasons[0]:
            log.warning("%s stays as it was: %s", model, "; ".join(reasons))
        problem.reason = reasons[0]
        problem.backoff.failed()

    def _failed(self, error: OSError) -> None:
        if not self._away:
            log.warning("the store is away, and models stay as they are: %s", error)
        self._away = str(error)
        self._store.failed()

    def _worked(self) -> None:
        if self._away:
            log.info("the store is back")
            self._away = ""
            self._look_at = 0.0
            self._changed.set()
        self._store.worked()


def run(mirror: Mirror, stop: threading.Event, beat: Callable[[], None]) -> None:
    """Mirror until `stop` is set. Calls `beat` often."""
    while not stop.wait(LISTEN_EVERY):
        beat()
        mirror.step()
    mirror.stop()
