"""Streams of what happens to a job, its progress, its log, its end, as server-sent events (HTML Living Standard, 9.2).

The id of an event is the number of bytes of the log that the client has, or `end`.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping

from redis.exceptions import RedisError

from broker.sides.gateway.job_client import JobState
from contract.work.jobs import Job
from gateway.problems import Problem, ProblemCode
from gateway.serving.job_events import Watcher
from runtime.exact_json import loads

LONGEST = 600.0
"""Seconds after which a stream breaks off, so that its key is checked again and gateways share the streams."""
RETRY = 1.0
"""Seconds that clients wait before they connect again."""

_RETRY = f"retry: {round(RETRY * 1000)}\n".encode()
"""Begins events of progress, which come first. Some clients take it for an event where it stands alone."""
_COMMENT = b": \n\n"
"""Says to client and proxies that the stream is alive."""
_END = "end"

EVENT_ID = re.compile(rf"[0-9]{{1,15}}|{_END}", re.ASCII)
_LINE_END = re.compile(r"\r\n|\r|\n")


def position_of(last_event_id: str | None) -> int | None:
    """Return the bytes of the log that a client with this `Last-Event-ID` has, None if it has seen the end. Raises
    `Problem` for another id."""
    if last_event_id == _END:
        return None
    if not last_event_id:
        return 0
    if not EVENT_ID.fullmatch(last_event_id):
        detail = f"Last-Event-ID {last_event_id[:64]!r} is not the id of an event of this stream; leave it out"
        raise Problem(ProblemCode.INVALID_PARAMETER, detail)
    return int(last_event_id)


def events(
    watcher: Watcher, read_log: Callable[[int], tuple[int, bytes]], read_job: Callable[[], Job], position: int
) -> Iterator[bytes]:
    """Yield the stream: the state of the job, its log from byte `position` on, its end; and a comment after `SILENCE`.

    It breaks off without an end after `LONGEST` seconds, or when the watcher is closed: then the client connects again,
    with the id of the last event. While Redis is away, nothing happens.
    """
    shown: tuple[str, bytes] | None = None
    until = time.monotonic() + LONGEST
    while time.monotonic() < until:
        state = watcher.next()
        if watcher.closed:
            return
        if state is None:
            yield _COMMENT
            continue
        if not state.over and shown != (state.status, state.progress):
            shown = (state.status, state.progress)
            yield _RETRY + _event("progress", _progress(state), position)
        try:
            if state.log > position:
                first, text = read_log(position)
                position = first + len(text)
                yield _event("log", text.decode(errors="replace").removesuffix("\n"), position)
            if state.over:
                yield _event("end", _end(read_job), _END)
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


def _event(name: str, data: str | Mapping[str, object], event_id: int | str) -> bytes:
    """Return an event. A text has a `data` for each of its lines; a mapping is JSON."""
    text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"), allow_nan=False)
    lines = "".join(f"data: {line}\n" for line in _LINE_END.split(text))
    return f"event: {name}\nid: {event_id}\n{lines}\n".encode(errors="replace")
