"""Streams of what happens to a job: its progress, its log, its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

from redis.exceptions import RedisError

from broker.sides.gateway.watching import JobState
from contract.work.jobs import Job
from gateway.problems import Problem
from gateway.protocols import event_stream
from gateway.serving.job_events import Watcher
from runtime.exact_json import loads

LONGEST = 600.0
"""Seconds after which a stream breaks off, so that its key is checked again and gateways share the streams."""
RETRY = 1.0
"""Seconds that clients wait before they connect again."""


def events(
    watcher: Watcher, read_log: Callable[[int], tuple[int, bytes]], read_job: Callable[[], Job], position: int
) -> Iterator[bytes]:
    """Yield the stream: the state of the job, its log from byte `position` on, its end; and a comment after `SILENCE`.

    It breaks off without an end after `LONGEST` seconds, or when the watcher is closed: then the client connects again,
    with the id of the last event. While Redis is away, nothing happens.
    """
    shown: tuple[str, bytes] | None = None
    until = time.monotonic() + LONGEST
    yield event_stream.retry(RETRY)
    while time.monotonic() < until:
        state = watcher.next()
        if watcher.closed:
            return
        if state is None:
            yield event_stream.COMMENT
            continue
        if not state.over and shown != (state.status, state.progress):
            shown = (state.status, state.progress)
            yield event_stream.event("progress", _progress(state), position)
        try:
            if state.log > position:
                first, text = read_log(position)
                position = first + len(text)
                yield event_stream.event("log", text.decode(errors="replace").removesuffix("\n"), position)
            if state.over:
                yield event_stream.event("end", _end(read_job), event_stream.END)
                return
        except RedisError:
            watcher.state = None  # so that the next look finds a change


def _progress(state: JobState) -> Mapping[str, object]:
    return {"status": state.status, **(loads(state.progress) if state.progress else {})}


def _end(read_job: Callable[[], Job]) -> Mapping[str, object]:
    """Return the job; or why there is none, if it was deleted."""
    try:
        return read_job().to_json()
    except Problem as refusal:
        return {"code": str(refusal.code), "detail": refusal.detail}
