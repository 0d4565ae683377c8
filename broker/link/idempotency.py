"""Repeated requests: what the scripts answer for a request whose idempotency key was used before."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from broker.link.scripts import Durable

_SAME = b"same "


class ConflictReason(StrEnum):
    """Why a repeated request makes nothing and gets nothing: its key belongs to another request, or the job that it
    made no longer exists."""

    OTHER_REQUEST = "other_request"
    GONE = "gone"


class IdempotencyConflict(Exception):
    """A request cannot be answered with what an earlier one has made."""

    def __init__(self, conflict: ConflictReason) -> None:
        super().__init__(str(conflict))
        self.conflict = conflict


class InFlight(Exception):
    """An earlier request with the same key is still being carried out."""


class IdempotencyRecords(Durable):
    """The records of requests with an idempotency key. Raises `redis.exceptions.RedisError`."""

    def find(self, idempotency: str) -> str | None:
        """Return what an earlier request has made: the id of a job, or `key:` and that of an API key; None if there was
        no such request. Raises `IdempotencyConflict`. One round trip."""
        return made_in(self._write("recall", [idempotency]))

    def made_with(self, record: str) -> str | None:
        """Return what a request has made, as `find` does, whatever else it said. `record`: what comes before the
        fingerprint in `find`. One round trip."""
        entry = self._redis.get(f"mg:idempotency:{record}")
        return entry.decode().partition(" ")[0] if isinstance(entry, bytes) else None


def made_in(answer: Any) -> str | None:
    """Return what an earlier request has made, as a script answers it; None for any other answer. Raises
    `IdempotencyConflict`."""
    if not isinstance(answer, bytes):
        return None
    if answer.startswith(_SAME):
        return answer.removeprefix(_SAME).decode()
    if answer.decode() in list(ConflictReason):
        raise IdempotencyConflict(ConflictReason(answer.decode()))
    return None
