"""How far many jobs are, in one round trip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from redis import Redis

from broker.link.scripts import Call, Scripts
from broker.records.job_records import STATUSES

_PER_CALL = 500
"""Most jobs of one call of the script: Redis does nothing else meanwhile."""


@dataclass(frozen=True, slots=True)
class JobState:
    """How far a job is. `over`: it has ended or is gone. `progress`: JSON, or empty. `log`: bytes of its log so far."""

    over: bool
    status: str
    progress: bytes
    log: int


class JobWatch:
    """Looks at jobs. Raises `redis.exceptions.RedisError`."""

    def __init__(self, connection: Redis) -> None:
        self._scripts = Scripts(connection)

    def look(self, ids: Sequence[str]) -> Mapping[str, JobState]:
        """Return how far these jobs are. One round trip."""
        calls = [Call("watch", ids[i : i + _PER_CALL]) for i in range(0, len(ids), _PER_CALL)]
        answers = (answer for part in self._scripts.send(calls) for answer in part)
        return {job_id: _state(*answer) for job_id, answer in zip(ids, answers, strict=True)}


def _state(status: bytes, progress: bytes, log: int) -> JobState:
    known = STATUSES.get(status.decode())
    return JobState(known is None or known.final, str(known or ""), progress, log)
