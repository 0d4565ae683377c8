"""Server-sent events (HTML Living Standard, 9.2): events → text, and the id with which a client continues.

The id of an event is the number of bytes of the log that the client has, or `end`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from gateway.problems import Problem, ProblemCode

COMMENT = b": \n\n"
"""Says to client and proxies that the stream is alive."""
END = "end"

_POSITION = re.compile(r"[0-9]{1,15}", re.ASCII)
_LINE_END = re.compile(r"\r\n|\r|\n")


def retry(seconds: float) -> bytes:
    """Return the text that tells a client how long to wait before it connects again."""
    return f"retry: {round(seconds * 1000)}\n\n".encode()


def event(name: str, data: str | Mapping[str, object], event_id: int | str) -> bytes:
    """Return an event. A text has a `data` for each of its lines; a mapping is JSON."""
    text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"), allow_nan=False)
    lines = "".join(f"data: {line}\n" for line in _LINE_END.split(text))
    return f"event: {name}\nid: {event_id}\n{lines}\n".encode(errors="replace")


def position(last_event_id: str | None) -> int | None:
    """Return the bytes of the log that a client with this `Last-Event-ID` has, None if it has seen the end. Raises
    `Problem` for another id."""
    if last_event_id == END:
        return None
    if not last_event_id:
        return 0
    if not _POSITION.fullmatch(last_event_id):
        detail = f"Last-Event-ID {last_event_id[:64]!r} is not the id of an event of this stream; leave it out"
        raise Problem(ProblemCode.INVALID_PARAMETER, detail)
    return int(last_event_id)
