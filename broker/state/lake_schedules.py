"""Recurring file predictions of the objects of a data lake: one a model, kept in Redis.

Nothing here reads the lake: a client that may asks which runs are due, does them and reports how they are. See
docs/adr/0073-the-client-runs-scheduled-predictions.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from redis.exceptions import WatchError

from broker.link.scripts import Connected
from broker.records.job_records import dumps
from broker.state.schedules import OthersSchedule, check_number, next_run
from contract.work.api_keys import EVERYBODY, Key
from contract.work.jobs import timestamp

KEY = "mg-gateway:lake-schedules"
"""The hash of all of them. A process that runs models or recipes cannot write it (`broker/acl`): it could have a lake
copied to another bucket."""

PATIENCE = 1800.0
"""Seconds after which a run that is due and of which nothing is heard counts as failed."""

_FIELDS: Mapping[str, Callable[[datetime], str]] = {
    "date": lambda at: f"{at:%Y-%m-%d}",
    "yesterday": lambda at: f"{at - timedelta(days=1):%Y-%m-%d}",
    "year": lambda at: f"{at:%Y}",
    "month": lambda at: f"{at:%m}",
    "day": lambda at: f"{at:%d}",
    "hour": lambda at: f"{at:%H}",
}
_BRACES = re.compile(r"\{([^{}]*)\}")


class RunStatus(StrEnum):
    """How a run is. One that failed is tried again until the next one is due."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True)
class LakeRunReport:
    """What a client says of a run: objects that it has scored, the rows in them and those without a prediction, and
    what is wrong. `due`: when the run was due; `reported_at`: when this was said. Both are RFC 3339."""

    due: str
    status: RunStatus
    objects: int = 0
    rows: int = 0
    errors: int = 0
    error: str | None = None
    reported_at: str = ""


@dataclass(frozen=True)
class LakeSchedule:
    """A recurring file prediction with the version behind `reference` (`loan`, `loan@canary`). `cron` has five fields
    and means UTC. `source` and `target` are URLs that may name parts of the time of a run, such as `{date}`.
    `next_run`: when the run is due that has not succeeded yet. It belongs to `owner`; '': to nobody."""

    reference: str
    cron: str
    source: str
    target: str
    method: str
    strict: bool
    next_run: str = ""
    owner: str = ""
    last_run: LakeRunReport | None = None

    @property
    def model(self) -> str:
        return self.reference.partition("@")[0]

    def is_due(self, now: datetime) -> bool:
        return _moment(self.next_run) <= now

    def has_failed(self, now: datetime) -> bool:
        """Whether the last run that ended failed, or nothing is heard of the one that is due."""
        last = self.last_run
        if last and (last.error or last.status is RunStatus.FAILED):
            return True
        heard = max(self.next_run, last.reported_at if last else "")
        return now - _moment(heard) > timedelta(seconds=PATIENCE)

    def of_run(self) -> tuple[str, str]:
        """Return source and target of the run at `next_run`."""
        at = _moment(self.next_run)
        return at_time(self.source, at), at_time(self.target, at)

    @property
    def mixes_objects(self) -> bool:
        """Whether the objects of two runs are others and their folder is not."""
        first = next_run(self.cron, datetime.now(UTC))
        second = next_run(self.cron, first)
        changes = at_time(self.source, first) != at_time(self.source, second)
        return changes and at_time(self.target, first) == at_time(self.target, second)

    def after(self, run: LakeRunReport, now: datetime) -> LakeSchedule:
        """Return the schedule with what was said of the run at `next_run`. Where the objects of each run are others,
        no run is left out; else one makes up for all that were missed."""
        due = _moment(self.next_run)
        following = next_run(self.cron, due)
        if run.status is RunStatus.RUNNING and self.last_run:
            run = replace(run, error=self.last_run.error)  # that one failed is no better while the next one runs
        if run.status is RunStatus.RUNNING or (run.status is RunStatus.FAILED and following > now):
            following = due
        elif not _BRACES.search(self.source):
            following = max(following, next_run(self.cron, now))
        return replace(self, next_run=timestamp(following), last_run=run)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LakeSchedule:
        run = data["last_run"]
        last = run and LakeRunReport(**{**run, "status": RunStatus(run["status"])})
        made = cls(**{**data, "last_run": last})
        _moment(made.next_run)
        return made


def at_time(url: str, at: datetime) -> str:
    """Return a URL with the parts of a time that it names. Raises `ValueError` for others."""

    def part(found: re.Match[str]) -> str:
        if found[1] not in _FIELDS:
            known = ", ".join(f"{{{name}}}" for name in _FIELDS)
            raise ValueError(f"{found[0]} in {url!r} is no part of the time of a run; there are {known}")
        return _FIELDS[found[1]](at)

    return _BRACES.sub(part, url)


class LakeSchedules(Connected):
    """All of them, at most one a model. Raises `redis.exceptions.RedisError`."""

    def all(self) -> list[LakeSchedule]:
        """Return them by model, without unreadable entries."""
        return [found for found in map(readable, dict(sorted(self._redis.hgetall(KEY).items())).values()) if found]

    def get(self, model: str) -> LakeSchedule | None:
        return readable(self._redis.hget(KEY, model))

    def put(self, wanted: LakeSchedule, caller: Key = EVERYBODY) -> LakeSchedule:
        """Store one for the owner of `caller`, and return it with its next run. Raises `TooManySchedules` and
        `OthersSchedule`."""

        def change(others: Mapping[str, LakeSchedule], before: LakeSchedule | None) -> LakeSchedule:
            if before and not caller.sees(before.owner):
                raise OthersSchedule
            check_number([each.owner for each in others.values()], caller.owner)
            due = timestamp(next_run(wanted.cron, datetime.now(UTC)))
            return replace(wanted, owner=caller.owner, next_run=due)

        made: LakeSchedule = self._change(wanted.model, change)
        return made

    def report(self, model: str, run: LakeRunReport, caller: Key = EVERYBODY) -> LakeSchedule | None:
        """Note how a run is, and return the schedule; None if `caller` has none. What was said of a run that is not the
        one at `next_run` changes nothing: another client was first, or the schedule was set again."""
        now = datetime.now(UTC)
        said = replace(run, reported_at=timestamp(now))

        def change(_: object, before: LakeSchedule | None) -> LakeSchedule | None:
            if before is None or not caller.sees(before.owner):
                return None
            return before.after(said, now) if run.due == before.next_run else before

        found: LakeSchedule | None = self._change(model, change)
        return found

    def delete(self, model: str, caller: Key = EVERYBODY) -> bool:
        """Delete the one of `model`. Returns whether `caller` had one."""
        before = self.get(model)
        return bool(before and caller.sees(before.owner) and self._redis.hdel(KEY, model))

    def _change(self, model: str, change: Callable[[Mapping[str, LakeSchedule], LakeSchedule | None], Any]) -> Any:
        """Store and return what `change` makes of those of other models and of this one; None is not stored."""
        while True:
            with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.watch(KEY)
                entries = {name.decode(): readable(text) for name, text in pipeline.hgetall(KEY).items()}
                before = entries.pop(model, None)
                after = change({name: found for name, found in entries.items() if found}, before)
                if after in (None, before):
                    return after
                pipeline.multi()
                pipeline.hset(KEY, model, dumps(asdict(after)))
                try:
                    pipeline.execute()
                except WatchError:
                    continue
                return after


def readable(text: bytes | None) -> LakeSchedule | None:
    """Return the one in an entry. An entry that cannot be read counts as none, so that it can be replaced."""
    try:
        return LakeSchedule.from_json(json.loads(text)) if text else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
