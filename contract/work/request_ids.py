"""The ids under which a request is known: in the answer, in the logs of all services, and in its trace.

They travel with the job of the request in one text: the request id, the `traceparent`, or both with a space between. If
the request is traced, the time at which the job was handed over follows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from contract.work.api_keys import without_keys

_REQUEST_ID = re.compile(r"[!-~]{1,64}")
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
"""W3C Trace Context, level 1. Another version or an invalid value starts a new trace, as the specification says."""

_TIME = re.compile(r"[0-9]{1,20}", re.ASCII)


@dataclass(frozen=True, slots=True)
class RequestIds:
    """`request_id`: visible ASCII. `traceparent`: that of the client or of a span of ours; None without a trace.
    `handed_over`: Unix time in ns at which the gateway handed the job over, if it traces requests."""

    request_id: str
    traceparent: str | None = None
    handed_over: int | None = None

    @classmethod
    def of_headers(cls, request_id: str | None, traceparent: str | None) -> RequestIds | None:
        """Return the ids that a client has sent, or None without a valid one. A key is none: ids are logged, and travel
        with jobs. Without a request id, the id of the trace is the request id."""
        if traceparent is not None and not _TRACEPARENT.fullmatch(traceparent):
            traceparent = None
        if request_id is None or not _REQUEST_ID.fullmatch(request_id) or without_keys(request_id) != request_id:
            if traceparent is None:
                return None
            request_id = traceparent[3:35]
        return cls(request_id, traceparent)

    @classmethod
    def of_job(cls, text: str, job_id: str) -> RequestIds:
        """Return the ids in the text of a job; without one, the id of the job is that of its request."""
        request_id, traceparent, time, *_ = (*text.split(" "), None, None, None)
        if not traceparent and request_id and _TRACEPARENT.fullmatch(request_id):
            return cls(request_id[3:35], request_id)
        ids = cls.of_headers(request_id, traceparent) or cls(job_id)
        return replace(ids, handed_over=int(time)) if time and _TIME.fullmatch(time) else ids

    def __str__(self) -> str:
        """Return the text that travels with a job."""
        if self.traceparent is None:
            return self.request_id
        if self.handed_over is not None:
            return f"{self.request_id} {self.traceparent} {self.handed_over}"
        if self.request_id == self.trace_id:
            return self.traceparent
        return f"{self.request_id} {self.traceparent}"

    @property
    def trace_id(self) -> str | None:
        return None if self.traceparent is None else self.traceparent[3:35]

    def context(self) -> dict[str, str | None]:
        """Return the context of a log line."""
        return {"request_id": self.request_id, "trace_id": self.trace_id}
