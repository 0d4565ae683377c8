"""One subscription per process wakes the requests whose job has ended."""

from __future__ import annotations

import logging
import math
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Self

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from broker.link.faults import DiskError
from broker.sides.gateway.job_client import Jobs
from broker.state.job_reading import parse_reply
from contract.work.jobs import Job, reply_channel
from runtime.outages import Outages, repeat_in_thread

log = logging.getLogger(__name__)

CHECK_EVERY = 1.0
"""Seconds between two reads of all awaited jobs: a message is only a hint, and can be missed."""

MAX_UNANSWERED = 3
"""Pings without a reply, one with each check, after which the connection is given up: it can be dropped silently on its
way to Redis."""

PRECISION = 0.05
"""Seconds by which a wait may take longer than asked for."""

CONFIRMED_WITHIN = 2.0
"""Seconds that the first request waits for the subscription. Later, the checks find its job."""


class Waiter:
    """A request that waits for one job, within a `with` block."""

    __slots__ = ("_ended", "_forget", "deadline", "gone", "job", "job_id", "owner")

    def __init__(self, job_id: str, owner: str, gone: Callable[[], bool], forget: Callable[[Waiter], object]) -> None:
        self._ended = threading.Event()
        self._forget = forget
        self.job_id = job_id
        self.owner = owner
        self.gone = gone
        self.deadline = math.inf
        self.job: Job | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._forget(self)

    @property
    def ended(self) -> bool:
        return self._ended.is_set()

    def end(self, job: Job | None) -> None:
        """End the wait, unless it has ended."""
        if not self._ended.is_set():
            self.job = job
            self._ended.set()

    def wait(self, seconds: float) -> Job | None:
        """Return the job if it ends within `seconds`, else None."""
        self.deadline = time.monotonic() + seconds  # a timer for each request would cost it 1 % of its time
        self._ended.wait()
        return self.job


def _as_it_is(message: object) -> object:
    """Return the message. redis-py's own handler writes each as text, for a log that nobody reads."""
    return message


class Listener:
    """Starts its thread on first use, since a thread does not survive the fork of a gunicorn worker."""

    def __init__(self, connection: Redis, jobs: Jobs) -> None:
        self.channel = reply_channel(uuid.uuid4().hex)
        self._redis: Any = connection
        self._jobs = jobs
        self._waiting: dict[str, list[Waiter]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._subscribed = threading.Event()
        self._closed = threading.Event()
        self._outages = Outages("the listener", log)

    def expect(self, job_id: str, owner: str = "", gone: Callable[[], bool] = lambda: False) -> Waiter:
        """Return a waiter that the end of the job wakes. Call this before asking for its end on `channel`, and enter
        the waiter at once.

        `owner` is the caller's. `gone` is called once a second; when it returns True, the wait ends.
        """
        if not self._subscribed.is_set():
            self._start()
            self._subscribed.wait(CONFIRMED_WITHIN)
        waiter = Waiter(job_id, owner, gone, self._forget)
        with self._lock:
            self._waiting.setdefault(job_id, []).append(waiter)
        return waiter

    def ended_within(self, job: Job, owner: str, seconds: float, gone: Callable[[], bool]) -> Job | None:
        """Return a job that exists already once it is final, or its state after `seconds`; None if it no longer exists.
        `owner` and `gone`: as for `expect`."""
        if not seconds or job.status.final:
            return job
        with self.expect(job.id, owner, gone) as waiter:
            try:
                ended = self._jobs.wait([job.id], self.channel).get(job.id, job)
            except DiskError:
                ended = job  # it takes no subscription, but the listener also reads the job each second
            if ended is None or ended.status.final:
                return ended
            return waiter.wait(seconds) or self._jobs.read([job.id])[0]

    def release(self) -> None:
        """Wake all waiting requests, without a job: this process is about to end."""
        for waiter in self._all():
            waiter.end(None)

    def close(self) -> None:
        """Wake all waiting requests and end the threads. A closed listener serves no other request."""
        self._closed.set()
        self.release()
        if self._subscribed.is_set():
            with suppress(RedisError):  # the subscription then ends with its next check
                self._redis.publish(self.channel, "[]")
        if self._thread:
            self._thread.join(CHECK_EVERY)

    def make_room(self, count: int) -> None:
        """Wake up to `count` waiting requests of the owner who has most of them, without a job: connections run out."""
        if count <= 0 or not (waiting := [waiter for waiter in self._all() if not waiter.ended]):
            return
        ((most, _),) = Counter(waiter.owner for waiter in waiting).most_common(1)
        for waiter in [waiter for waiter in waiting if waiter.owner == most][:count]:
            waiter.end(None)

    def _forget(self, waiter: Waiter) -> None:
        with self._lock:
            waiters = self._waiting[waiter.job_id]
            waiters.remove(waiter)
            if not waiters:
                del self._waiting[waiter.job_id]

    def _all(self) -> list[Waiter]:
        with self._lock:
            return [waiter for waiters in self._waiting.values() for waiter in waiters]

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = repeat_in_thread("listener", self._subscribe, 0.5, log, self._closed)
                threading.Thread(target=self._end_overdue, name="waits", daemon=True).start()

    def _end_overdue(self) -> None:
        while not self._closed.wait(PRECISION):
            now = time.monotonic()
            for waiter in self._all():
                if waiter.deadline <= now:
                    waiter.end(None)

    def _subscribe(self) -> None:
        """Subscribe and listen, on a connection of redis-py: its own `PubSub` makes four more system calls for each
        message. Raises `RedisError`."""
        pool, connection = self._redis.connection_pool, None
        try:
            connection = pool.get_connection()
            connection._parser.set_pubsub_push_handler(_as_it_is)
            connection.send_command("SUBSCRIBE", self.channel)
            self._listen(connection)
        except RedisError as error:
            if self._subscribed.is_set():
                self._outages.failed(error)
            raise
        finally:
            if connection:
                connection.disconnect()
                pool.release(connection)

    def _listen(self, connection: Any) -> None:
        check_at = time.monotonic() + CHECK_EVERY
        unanswered = 0
        while not self._closed.is_set():
            with suppress(RedisTimeoutError):
                kind, *_, content = self._message(connection, check_at)
                unanswered = 0
                if kind == b"pong":  # a Redis that cannot write takes a subscription, and answers nothing else
                    self._outages.worked()
                if kind == b"message":
                    self._ended(parse_reply(content))
                elif kind == b"subscribe":
                    self._subscribed.set()
                    check_at = 0.0  # messages published before are lost
            if time.monotonic() >= check_at:
                if unanswered == MAX_UNANSWERED:
                    raise RedisConnectionError("the subscription no longer responds")
                connection.send_command("PING")
                unanswered += 1
                self._check(list(self._waiting))
                for waiter in self._all():
                    if waiter.gone():
                        waiter.end(None)
                check_at = time.monotonic() + CHECK_EVERY

    def _message(self, connection: Any, until: float) -> Sequence[Any]:
        """Return the next message. Raises `TimeoutError` of redis-py if there is none until then."""
        seconds = max(0.001, until - time.monotonic())
        message = connection.read_response(timeout=seconds, disconnect_on_error=False, push_request=True)
        return message if isinstance(message, list) else (b"pong", message)

    def _ended(self, ended: Iterable[tuple[str, Job | None]]) -> None:
        """Wake the requests that wait for these jobs. Read the jobs that were too large to publish."""
        large = []
        for job_id, job in ended:
            if job is None:
                large.append(job_id)
            else:
                self._wake(job)
        self._check([job_id for job_id in large if job_id in self._waiting])

    def _check(self, job_ids: list[str]) -> None:
        for job in self._jobs.read(job_ids) if job_ids else ():
            if job and job.status.final:
                self._wake(job)

    def _wake(self, job: Job) -> None:
        with self._lock:
            waiters = list(self._waiting.get(job.id, ()))
        for waiter in waiters:
            waiter.end(job)
