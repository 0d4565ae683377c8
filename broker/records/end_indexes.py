"""The indexes of ended jobs: sorted sets of ids by the time of the end, `mg:<seen>:<status>:<queue>` (ADR 26)."""

from __future__ import annotations

from enum import StrEnum


class Seen(StrEnum):
    """Who has seen a job that has ended: nobody, the client of the request that made it, or one that asked later."""

    BY_NOBODY = "ended"
    DELIVERED = "delivered"
    FETCHED = "fetched"


ENDS = ("finished", "failed", "canceled")
"""RQ's statuses of jobs that have ended."""


def index_of(seen: Seen, status: str, queue: str) -> str:
    """Return the key of one index."""
    return f"mg:{seen}:{status}:{queue}"


def indexes_of(queue: str, *statuses: str) -> list[str]:
    """Return the keys of the indexes that hold the jobs of a queue with one of RQ's `statuses`."""
    return [index_of(seen, status, queue) for status in statuses for seen in Seen]
