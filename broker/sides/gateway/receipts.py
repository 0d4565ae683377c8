"""Receipts: which ended jobs clients have seen, reported to Redis with the next round trip."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from broker.link.scripts import Call, Step
from broker.records.job_kinds import Seen

MOST = 20_000
"""Most ids that are kept while Redis is away. The oldest are dropped; their jobs expire as unseen ones do."""

_PER_CALL = 200


class Receipts:
    """A source of the outbox. Threads and greenlets may share it."""

    def __init__(self, delivered_ttl: int) -> None:
        """`delivered_ttl`: seconds that a delivered job is kept from the receipt on."""
        self._delivered: deque[str] = deque(maxlen=MOST)
        self._fetched: deque[str] = deque(maxlen=MOST)
        self._delivered_ttl = delivered_ttl

    def delivered(self, job_id: str) -> None:
        """Note that the result was in the response to the job's own request."""
        self._delivered.append(job_id)

    def fetched(self, job_id: str) -> None:
        """Note that a client that asked for the job has received its result."""
        self._fetched.append(job_id)

    def __call__(self) -> Sequence[Step]:
        """Return the steps that report what was noted since the last call."""
        return [
            *_calls(Seen.DELIVERED, self._delivered_ttl, self._delivered),
            *_calls(Seen.FETCHED, "", self._fetched),
        ]


def _calls(seen: Seen, kept: int | str, noted: deque[str]) -> list[Step]:
    ids = [noted.popleft() for _ in range(len(noted))]
    return [Call("receipt", [seen, kept, *ids[i : i + _PER_CALL]]) for i in range(0, len(ids), _PER_CALL)]
