"""Lists of jobs, a page at a time. The work depends on the models and the page, not on the number of jobs."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from broker.link.scripts import Call, Connected
from broker.records.job_kinds import ENDS, kind_of, queue_names, readable_kinds
from broker.records.job_records import dumps
from broker.state.job_reading import job_fields, job_of
from broker.state.pools import used_environments
from contract.work.jobs import Job, Status

LARGEST_PAGE = 500
MOST_BYTES = 8 * 1024 * 1024
"""Most bytes of the jobs of one call with their outputs, as Redis holds them. Only the first job may be larger."""
_LOOKS = 10
"""How often one call looks for jobs of the wanted status before it returns a short page."""

_WAITING, _RUNNING, _ENDED = "waiting", "running", "ended"
_QUEUES_PER_CALL = 100
"""Queues whose ended jobs one script merges: Redis does nothing else meanwhile, for about a millisecond."""

_ENDS: Mapping[Status | None, Sequence[str]] = {
    Status.SUCCEEDED: ("finished",),
    Status.FAILED: ("failed",),
    Status.CANCELED: ("canceled",),
    Status.EXPIRED: ("canceled",),
}
_SECTIONS = {None: (_WAITING, _RUNNING, _ENDED), Status.QUEUED: (_WAITING,), Status.RUNNING: (_RUNNING,)}


@dataclass(frozen=True)
class Page:
    """Jobs of a list. `next_cursor` is None on the last page; an earlier page can be short."""

    items: Sequence[Job]
    next_cursor: str | None


@dataclass(frozen=True)
class JobFilter:
    """The jobs that a list has; None: any. `created_after` and `created_before` are times of
    `contract.work.jobs.timestamp`, and included."""

    model: str | None = None
    status: Status | None = None
    owner: str | None = None
    kind: str | None = None
    created_after: str | None = None
    created_before: str | None = None

    def accepts(self, job: Job) -> bool:
        created = job.created_at or ""
        return (
            self.model in (None, job.model)
            and self.status in (None, job.status)
            and self.owner in (None, job.owner)
            and self.kind in (None, job.kind)
            and (self.created_after is None or created >= self.created_after)
            and (self.created_before is None or "" < created <= self.created_before)
        )


ALL_JOBS = JobFilter()


@dataclass(frozen=True)
class _Position:
    """The position of a job in the list: its section; its queue, or its score (the time of its end); its id."""

    section: str
    within: str | float
    id: str

    def cursor(self) -> str:
        return base64.urlsafe_b64encode(dumps([self.section, self.within, self.id]).encode()).decode().rstrip("=")

    @classmethod
    def from_cursor(cls, cursor: str) -> _Position:
        try:
            section, within, job_id = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"{cursor[:64]!r} is not a cursor of this list") from error
        fits = isinstance(within, float) and isfinite(within) if section == _ENDED else isinstance(within, str)
        if section not in _SECTIONS[None] or not fits or not isinstance(job_id, str):
            raise ValueError(f"{cursor[:64]!r} is not a cursor of this list")
        return cls(section, within, job_id)


class Listing(Connected):
    """Pages of jobs, read from the queues and indexes alone."""

    def page(self, wanted: JobFilter, limit: int, cursor: str | None) -> Page:
        """Return at most `limit` (1 to `LARGEST_PAGE`) of the wanted jobs.

        Queued jobs come first, queue by queue and the newest first; then running ones, also queue by queue; then ended
        ones of all queues together, the last to end first. A job that changes its status between two pages can be in
        both or in neither. Raises `ValueError` for a `cursor` that is no page's `next_cursor`, or a `limit` out of
        range.
        """
        if not 1 <= limit <= LARGEST_PAGE:
            raise ValueError(f"limit={limit} is not between 1 and {LARGEST_PAGE}")
        position = _Position.from_cursor(cursor) if cursor else None
        queues = self._queues(wanted)
        left = MOST_BYTES
        for _ in range(_LOOKS):
            positions = self._positions(queues, wanted.status, limit + 1, position)
            jobs, size = self._read(positions[:limit], left)
            items = [job for job in jobs if job and wanted.accepts(job)]
            if len(jobs) == len(positions):
                return Page(items, None)
            position = positions[len(jobs) - 1]
            left -= size
            if items or left <= 0:
                break
        return Page(items, position.cursor() if position else None)

    def _queues(self, wanted: JobFilter) -> list[str]:
        """Return the queues that may hold wanted jobs, and other ones."""
        model, owner = wanted.model, wanted.owner
        kinds = [kind for kind in readable_kinds() if wanted.kind in (None, kind.name)]
        if model is not None and owner is not None:
            environments = used_environments(self._redis)
            return sorted({kind.queue_of(model, owner, environment) for kind in kinds for environment in environments})
        queues = ((name, kind_of(name)) for name in queue_names(self._redis.smembers("rq:queues")))
        return sorted(name for name, kind in queues if kind in kinds and kind.may_hold(name, model, owner))

    def _positions(
        self, queues: Sequence[str], status: Status | None, count: int, after: _Position | None
    ) -> list[_Position]:
        """Return the next `count` positions of the list, fewer at its end."""
        sections = _SECTIONS.get(status, (_ENDED,))
        if after:
            sections = sections[sections.index(after.section) :] if after.section in sections else ()
        positions: list[_Position] = []
        for section in sections:
            start = after if after and after.section == section else None
            if section == _WAITING:
                positions += self._waiting(queues, count, start)
            elif section == _RUNNING:
                positions += self._running(queues, start)
            else:
                positions += self._ended(queues, _ENDS.get(status, ENDS), count, start)
            if len(positions) >= count:
                break
        return positions[:count]

    def _waiting(self, queues: Sequence[str], count: int, after: _Position | None) -> Iterator[_Position]:
        if after:
            queues = [queue for queue in queues if queue >= str(after.within)]
        starts = [after.id if after and queue == after.within else "" for queue in queues]
        calls = [Call("page", [queue, start, count]) for queue, start in zip(queues, starts, strict=True)]
        for queue, ids in zip(queues, self._scripts.send(calls), strict=True):
            yield from (_Position(_WAITING, queue, job_id.decode()) for job_id in ids)

    def _running(self, queues: Sequence[str], after: _Position | None) -> Iterator[_Position]:
        answers = self._scripts.send([("ZRANGE", f"rq:wip:{queue}", 0, -1) for queue in queues])
        for queue, entries in zip(queues, answers, strict=True):
            for job_id in sorted(entry.decode().partition(":")[0] for entry in entries):
                if after is None or (queue, job_id) > (after.within, after.id):
                    yield _Position(_RUNNING, queue, job_id)

    def _ended(
        self, queues: Sequence[str], statuses: Sequence[str], count: int, after: _Position | None
    ) -> list[_Position]:
        highest = "+inf" if after is None else repr(after.within)
        # One more than wanted: the job of the cursor itself, which alone has its score.
        calls = [
            Call("list_ended", [count + 1, highest, " ".join(statuses), *queues[i : i + _QUEUES_PER_CALL]])
            for i in range(0, len(queues), _QUEUES_PER_CALL)
        ]
        answers = self._scripts.send(calls) if calls else []
        positions = [
            _Position(_ENDED, float(score), job_id.decode())
            for answer in answers
            for job_id, score in zip(answer[::2], answer[1::2], strict=True)
        ]
        positions.sort(key=lambda position: (position.within, position.id), reverse=True)
        if after is None:
            return positions
        return [position for position in positions if (position.within, position.id) < (after.within, after.id)]

    def _read(self, positions: Sequence[_Position], most: int) -> tuple[list[Job | None], int]:
        """Return the jobs at the first of `positions`, None for each deleted one, and their bytes: at most `most`, but
        at least one job."""
        if not positions:
            return [], 0
        ids = [position.id for position in positions]
        size, *answers = self._scripts.run("read", most, len(job_fields()), *job_fields(), *ids)
        return [job_of(job_id, values) for job_id, values in zip(ids, answers, strict=False)], size
