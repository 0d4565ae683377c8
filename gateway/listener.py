"""One subscription a process wakes everybody in it who waits for a job."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from contract.jobs import ENDED_CHANNEL

log = logging.getLogger(__name__)


class Listener:
    """Listens from its first use on. A message is only a hint: it can be missed while the connection is
    made anew, so whoever waits looks at the job itself now and then."""

    def __init__(self, connection: Redis) -> None:
        self._redis: Any = connection
        self._waiting: defaultdict[str, set[threading.Event]] = defaultdict(set)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextmanager
    def ended(self, job_id: str) -> Iterator[threading.Event]:
        """An event that is set when the job may have ended. Enter before reading the job."""
        self._start()
        event = threading.Event()
        with self._lock:
            self._waiting[job_id].add(event)
        try:
            yield event
        finally:
            with self._lock:
                self._waiting[job_id].discard(event)
                if not self._waiting[job_id]:
                    del self._waiting[job_id]

    def _start(self) -> None:
        # Not in the constructor: a thread does not survive the fork of a gunicorn worker.
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._listen, name="listener", daemon=True)
                self._thread.start()

    def _listen(self) -> None:
        pause = threading.Event()
        lost = False
        while True:
            try:
                with self._redis.pubsub(ignore_subscribe_messages=True) as subscription:
                    subscription.subscribe(ENDED_CHANNEL)
                    if lost:
                        log.warning("the listener has Redis again")
                    lost = False
                    while True:
                        message = subscription.get_message(timeout=30)
                        if message:
                            self._wake(message["data"].decode())
            except RedisError as error:
                if not lost:
                    log.warning("the listener lost Redis and tries again: %s", error)
                lost = True
                pause.wait(0.5)

    def _wake(self, job_id: str) -> None:
        with self._lock:
            for event in self._waiting.get(job_id, ()):
                event.set()
