"""Lists of jobs, a page at a time. The work depends on the models and the page, not on the number of jobs."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from redis import Redis

from broker.gateway.reading import job_fields, job_from_answers
from broker.job_kinds import kind_of, readable_kinds
from broker.records import dumps
from broker.scripts import Call, Scripts
from contract.jobs import Job, Status

LARGEST_PAGE = 500
MOST_BYTES = 8 * 1024 * 1024
"""Most bytes of the jobs of one call with their outputs, as Redis holds them. Only the first job may be larger."""
_LOOKS = 10
"""How often one call looks for jobs of the wanted status before it returns a short page."""

_WAITING, _RUNNING, _ENDED = "waiting", "running", "ended"
_REGISTRIES = {
    Status.SUCCEEDED: "finished",
    Status.FAILED: "failed",
    Status.CANCELED: "canceled",
    Status.EXPIRED: "canceled",
}
_SECTIONS = {None: (_WAITING, _RUNNING, _ENDED), Status.QUEUED: (_WAITING,), Status.RUNNING: (_RUNNING,)}


@dataclass(frozen=True)
class Page:
    """Jobs of a list. `next_cursor` is None on the last page; an earlier page can be short."""

    items: Sequence[Job]
    next_cursor: str | None


@dataclass(frozen=True)
class _Place:
    """The place of a job in the list: its section; its queue, or its score (the time at which it expires); its id."""

    section: str
    within: str | float
    id: str

    def cursor(self) -> str:
        return base64.urlsafe_b64encode(dumps([self.section, self.within, self.id]).encode()).decode().rstrip("=")

    @classmethod
    def from_cursor(cls, cursor: str) -> _Place:
        try:
            section, within, job_id = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"{cursor[:64]!r} is not a cursor of this list") from error
        fits = isinstance(within, float) and isfinite(within) if section == _ENDED else isinstance(within, str)
        if section not in _SECTIONS[None] or not fits or not isinstance(job_id, str):
            raise ValueError(f"{cursor[:64]!r} is not a cursor of this list")
        return cls(section, within, job_id)


class Listing:
    """Pages of jobs, read from the queues and RQ's registries alone."""

    def __init__(self, connection: Redis, scripts: Scripts) -> None:
        self._redis: Any = connection
        self._scripts = scripts

    def page(self, model: str | None, status: Status | None, limit: int, cursor: str | None) -> Page:
        """Return at most `limit` (1 to `LARGEST_PAGE`) jobs, of one model or all, with one status or any.

        Queued jobs come first, queue by queue and the newest first; then running ones, also queue by queue; then ended
        ones of all queues together, the last to end first. A job that changes its status between two pages can be in
        both or in neither. Raises `ValueError` for a `cursor` that is no page's `next_cursor`, or a `limit` out of
        range.
        """
        if not 1 <= limit <= LARGEST_PAGE:
            raise ValueError(f"limit={limit} is not between 1 and {LARGEST_PAGE}")
        place = _Place.from_cursor(cursor) if cursor else None
        queues = sorted(kind.queue_of(model) for kind in readable_kinds()) if model else self._queues()
        left = MOST_BYTES
        for _ in range(_LOOKS):
            found = self._places(queues, status, limit + 1, place)
            jobs, size = self._read(found[:limit], left)
            # A queue may hold jobs of all models.
            items = [job for job in jobs if job and status in (None, job.status) and model in (None, job.model)]
            if len(jobs) == len(found):
                return Page(items, None)
            place = found[len(jobs) - 1]
            left -= size
            if items or left <= 0:
                break
        return Page(items, place.cursor() if place else None)

    def _queues(self) -> list[str]:
        names = (key.decode().removeprefix("rq:queue:") for key in self._redis.smembers("rq:queues"))
        return sorted(name for name in names if (kind := kind_of(name)) and kind.read)

    def _places(self, queues: Sequence[str], status: Status | None, count: int, after: _Place | None) -> list[_Place]:
        """Return the next `count` places of the list, fewer at its end."""
        sections = _SECTIONS.get(status, (_ENDED,))
        registries = [_REGISTRIES[status]] if status in _REGISTRIES else ["finished", "failed", "canceled"]
        if after:
            sections = sections[sections.index(after.section) :] if after.section in sections else ()
        places: list[_Place] = []
        for section in sections:
            start = after if after and after.section == section else None
            if section == _WAITING:
                places += self._waiting(queues, count, start)
            elif section == _RUNNING:
                places += self._running(queues, start)
            else:
                places += self._ended(queues, registries, count, start)
            if len(places) >= count:
                break
        return places[:count]

    def _waiting(self, queues: Sequence[str], count: int, after: _Place | None) -> Iterator[_Place]:
        if after:
            queues = [queue for queue in queues if queue >= str(after.within)]
        starts = [after.id if after and queue == after.within else "" for queue in queues]
        calls = [Call("page", [queue, start, count]) for queue, start in zip(queues, starts, strict=True)]
        for queue, ids in zip(queues, self._scripts.send(calls), strict=True):
            yield from (_Place(_WAITING, queue, job_id.decode()) for job_id in ids)

    def _running(self, queues: Sequence[str], after: _Place | None) -> Iterator[_Place]:
        answers = self._scripts.send([("ZRANGE", f"rq:wip:{queue}", 0, -1) for queue in queues])
        for queue, entries in zip(queues, answers, strict=True):
            for job_id in sorted(entry.decode().partition(":")[0] for entry in entries):
                if after is None or (queue, job_id) > (after.within, after.id):
                    yield _Place(_RUNNING, queue, job_id)

    def _ended(
        self, queues: Sequence[str], registries: Sequence[str], count: int, after: _Place | None
    ) -> list[_Place]:
        highest = "+inf" if after is None else after.within
        with self._redis.pipeline(transaction=False) as pipeline:
            for queue in queues:
                for registry in registries:
                    # One more than wanted: the job of the cursor itself, which alone has its score.
                    key = f"rq:{registry}:{queue}"
                    pipeline.zrevrangebyscore(key, highest, "-inf", start=0, num=count + 1, withscores=True)
            entries = [entry for answer in pipeline.execute() for entry in answer]
        places = [_Place(_ENDED, score, job_id.decode()) for job_id, score in entries]
        places.sort(key=lambda place: (place.within, place.id), reverse=True)
        if after is None:
            return places
        return [place for place in places if (place.within, place.id) < (after.within, after.id)]

    def _read(self, places: Sequence[_Place], most: int) -> tuple[list[Job | None], int]:
        """Return the jobs at the first of `places`, None for each that is gone, and their bytes: at most `most`, but at
        least one job."""
        if not places:
            return [], 0
        ids = [place.id for place in places]
        size, *answers = self._scripts.run("read", most, len(job_fields()), *job_fields(), *ids)
        return [_job(job_id, *answer) for job_id, answer in zip(ids, answers, strict=False)], size


def _job(job_id: str, values: Sequence[bytes | None], entries: Sequence[Any]) -> Job | None:
    # A script answers an entry of a stream as a list of keys and values.
    results = [(entry, dict(zip(flat[::2], flat[1::2], strict=True))) for entry, flat in entries]
    return job_from_answers(job_id, values, results)
