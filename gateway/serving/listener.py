"""One subscription a process tells everybody in it who waits for a job that it has ended."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from broker.gateway.jobs import Jobs
from broker.gateway.reading import parse_reply
from contract.jobs import Job, reply_channel

log = logging.getLogger(__name__)

LOOK_EVERY = 1.0
"""Seconds after which all jobs that are waited for are looked at: a message is a hint, and can be missed."""

MOST_UNANSWERED = 3
"""Pings, one with each look, after which a subscription from which nothing comes is given up: between here and Redis
connections can be dropped without a word."""

CONFIRMED_WITHIN = 2.0
"""Seconds the first request waits for the subscription; after that it is found by looking."""


class Waiter:
    """Somebody who waits for one job."""

    __slots__ = ("_ended", "gone", "job")

    def __init__(self, gone: Callable[[], bool]) -> None:
        self._ended = threading.Event()
        self.gone = gone
        self.job: Job | None = None

    def end(self, job: Job | None) -> None:
        self.job = job
        self._ended.set()

    def wait(self, seconds: float) -> Job | None:
        """The job if it ends within `seconds`."""
        self._ended.wait(seconds)
        return self.job


class Listener:
    """Starts with its first use: a thread does not survive the fork of a gunicorn worker."""

    def __init__(self, connection: Redis, jobs: Jobs) -> None:
        self.channel = reply_channel(uuid.uuid4().hex)
        self._redis: Any = connection
        self._jobs = jobs
        self._waiting: dict[str, list[Waiter]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._subscribed = threading.Event()

    @contextmanager
    def expect(self, job_id: str, gone: Callable[[], bool] = lambda: False) -> Iterator[Waiter]:
        """Waits for the job from here on; its end must be published to `channel`. Enter before that is asked for.

        `gone` is asked each second whether there is still somebody who would want to know.
        """
        if not self._subscribed.is_set():
            self._start()
            self._subscribed.wait(CONFIRMED_WITHIN)
        waiter = Waiter(gone)
        with self._lock:
            self._waiting.setdefault(job_id, []).append(waiter)
        try:
            yield waiter
        finally:
            with self._lock:
                waiters = self._waiting[job_id]
                waiters.remove(waiter)
                if not waiters:
                    del self._waiting[job_id]

    def release(self) -> None:
        """Lets everybody go who waits, with what is known so far: this process is about to end."""
        for waiter in self._all():
            waiter.end(None)

    def _all(self) -> list[Waiter]:
        with self._lock:
            return [waiter for waiters in self._waiting.values() for waiter in waiters]

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._live, name="listener", daemon=True)
                self._thread.start()

    def _live(self) -> None:
        """Survives whatever happens to its connection; says once that it was lost."""
        lost = False
        while True:
            try:
                with self._redis.pubsub() as subscription:
                    subscription.subscribe(self.channel)
                    self._listen(subscription)
            except RedisError as error:
                if not lost and self._subscribed.is_set():
                    log.warning("the listener lost Redis and tries again: %s", error)
                lost = True
                time.sleep(0.5)
            except Exception:
                log.exception("the listener starts anew")
                time.sleep(0.5)
            else:
                lost = False

    def _listen(self, subscription: Any) -> None:
        look_at = time.monotonic() + LOOK_EVERY
        unanswered = 0
        while True:
            message = subscription.get_message(timeout=max(0.0, look_at - time.monotonic()))
            if message:
                unanswered = 0
            if message and message["type"] == "message":
                self._ended(parse_reply(message["data"]))
            elif message and message["type"] == "subscribe":
                # Also after redis-py has connected anew by itself: what was published meanwhile is gone.
                self._subscribed.set()
                look_at = 0.0
            if time.monotonic() >= look_at:
                if unanswered == MOST_UNANSWERED:
                    raise RedisConnectionError("nothing comes from it any more")
                subscription.ping()
                unanswered += 1
                self._look(list(self._waiting))
                for waiter in self._all():
                    if waiter.gone():
                        waiter.end(None)
                look_at = time.monotonic() + LOOK_EVERY

    def _ended(self, ended: Iterable[tuple[str, Job | None]]) -> None:
        """Wakes who waits for these; reads the jobs that were too large to be published."""
        large = []
        for job_id, job in ended:
            if job is None:
                large.append(job_id)
            else:
                self._wake(job)
        self._look([job_id for job_id in large if job_id in self._waiting])

    def _look(self, job_ids: list[str]) -> None:
        for job in self._jobs.read(job_ids) if job_ids else ():
            if job and job.status.final:
                self._wake(job)

    def _wake(self, job: Job) -> None:
        with self._lock:
            waiters = list(self._waiting.get(job.id, ()))
        for waiter in waiters:
            waiter.end(job)
