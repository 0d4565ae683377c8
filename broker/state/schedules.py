"""Recurring trainings: one cron expression a model, kept in Redis. RQ's scheduled jobs wait for the next run.

A schedule is an entry of `mg:schedules` that names the job of its next run. Once that job has started or was lost in a
crash, the schedule gets its next job, so missed runs are made up for by one. With `@alarm`, an alarm of the model's
current version has the next run begin at once, at most once a day.

The gateway signs a schedule. The trainer checks it, and creates and signs a job for each run.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from croniter import CroniterBadDateError, CroniterError, croniter
from redis import Redis
from redis.exceptions import WatchError
from rq.job import Job as RQJob
from rq.job import JobStatus
from rq.registry import ScheduledJobRegistry
from rq.serializers import JSONSerializer

from broker.access.signatures import Signer
from broker.link.scripts import Connected
from broker.records.job_kinds import TRAINING
from broker.records.job_records import dumps
from broker.state.trainer_jobs import TooManyWaiting, training_job
from contract.errors import ModelgateError
from contract.retention import Retention
from contract.work.api_keys import EVERYBODY, Key, most_of_one_owner
from contract.work.jobs import timestamp
from contract.work.training import TrainingRequest

KEY, ALARMS = "mg:schedules", "mg:schedules:alarms"
"""The keys of the schedules, and of the last alarms that have begun a run, each by model."""
ON_ALARM = "@alarm"
BETWEEN_ALARMS = timedelta(days=1)
NEVER = datetime(9999, 1, 1, tzinfo=UTC)
LONGEST = 100
"""Characters of a cron expression."""

MOST = 300
"""Most schedules."""

_RANDOM = re.compile(r"(?<![a-z])r(?![a-z])", re.IGNORECASE)
"""croniter's random field, which means another time whenever it is read."""

_YEARS = 8
"""The longest time from one 29 February to the next."""


class TooManySchedules(Exception):
    """There are as many schedules as there may be, of all owners or of one; the message says what to do."""


class OthersSchedule(Exception):
    """The schedule of the model belongs to another owner."""


@dataclass(frozen=True)
class Schedule:
    """A recurring training. `cron` has five fields and means UTC, or is `@alarm`, or both. `next_run` is RFC 3339. The
    schedule and its runs belong to `owner`; '': to nobody. `last_job` is that of the last run since it was set; '':
    there was none."""

    model: str
    cron: str
    request: TrainingRequest
    next_run: str
    job: str
    signature: str
    owner: str = ""
    last_job: str = ""

    @property
    def on_alarm(self) -> bool:
        return self.cron.endswith(ON_ALARM)

    @property
    def jobs(self) -> list[str]:
        """The jobs of the next run, which may have begun, and of the last one. That of a schedule that no gateway has
        signed begins, fails, and has no successor."""
        return [job for job in (self.job, self.last_job) if job]

    @property
    def has_times(self) -> bool:
        """Whether it runs at times, too."""
        return self.cron != ON_ALARM

    def to_json(self) -> dict[str, Any]:
        data = {
            "cron": self.cron,
            "request": self.request.to_json(),
            "next_run": self.next_run,
            "job": self.job,
            "signature": self.signature,
        }
        optional = {"owner": self.owner, "last_job": self.last_job}
        return {**data, **{name: value for name, value in optional.items() if value}}

    @classmethod
    def from_json(cls, model: str, data: Mapping[str, Any]) -> Schedule:
        request = TrainingRequest.from_json(data["request"])
        signature, owner, last = (data.get(name, "") for name in ("signature", "owner", "last_job"))
        return cls(model, data["cron"], request, str(data["next_run"]), data["job"], signature, owner, last)


def next_run(cron: str, after: datetime) -> datetime:
    """Return the first minute after `after` that `cron` names, in UTC. Raises `ValueError` with a sentence."""
    if len(cron) > LONGEST or len(cron.split()) != 5:
        raise ValueError("a cron expression has five fields (minute hour day month weekday), such as '0 3 * * 1'")
    if _RANDOM.search(cron):
        raise ValueError(f"{cron!r} has a random field, R, which means another time at each reading; use numbers")
    try:
        run_at: datetime = croniter(cron, after, max_years_between_matches=_YEARS).get_next(datetime)
    except CroniterBadDateError:
        raise ValueError(f"{cron!r} names a date that does not exist") from None
    except (CroniterError, ValueError, KeyError, AttributeError) as error:
        raise ValueError(f"{cron!r} is not a cron expression: {error}") from None
    return run_at


def _next_of(cron: str, after: datetime) -> datetime:
    """As `next_run`, of a cron expression that may end with `@alarm`."""
    times = cron.removesuffix(ON_ALARM).strip()
    if not times and cron == ON_ALARM:
        return NEVER
    return next_run(times, after)


class Schedules(Connected):
    """All schedules, at most one a model. Raises `redis.exceptions.RedisError`."""

    def __init__(self, connection: Redis, signer: Signer, *, timeout: int, result_ttl: int) -> None:
        """`timeout` of a training and `result_ttl` of one that has ended are in seconds."""
        super().__init__(connection)
        self._signer = signer
        self._registry: Any = ScheduledJobRegistry(TRAINING.queue, connection=connection, serializer=JSONSerializer)
        self._ttls = {"timeout": timeout, "result_ttl": result_ttl}

    def get(self, model: str) -> Schedule | None:
        return readable(model.encode(), self._redis.hget(KEY, model))

    def all(self) -> list[Schedule]:
        """Return the schedules by model, without unreadable entries."""
        entries = sorted(self._redis.hgetall(KEY).items())
        return [schedule for schedule in itertools.starmap(readable, entries) if schedule]

    def put(self, model: str, cron: str, request: TrainingRequest, caller: Key = EVERYBODY) -> Schedule:
        """Set the schedule of `model`, which then belongs to the owner of `caller`. Raises `ValueError` for an invalid
        `cron`, `TooManySchedules`, `TooManyWaiting` if the owner has as many as trainings of the key may wait,
        `OthersSchedule`, and `TrainerUnavailable` without a signer."""
        while True:
            before = self.get(model)
            if before and not caller.sees(before.owner):
                raise OthersSchedule
            if made := self._replace(model, before, cron, request, caller.owner, caller.limits.trainings_waiting):
                return made

    def delete(self, model: str, caller: Key = EVERYBODY) -> bool:
        """Delete the schedule of `model`. Returns whether `caller` had one."""
        while True:
            text = self._redis.hget(KEY, model)
            before = readable(model.encode(), text)
            if before is None or not caller.sees(before.owner):
                return False
            # A full Redis refuses every command between MULTI and EXEC.
            if self._scripts.run("delete_schedule", model, text, before.job):
                return True

    def entry(self, model: str) -> bytes | None:
        """Return the schedule of `model` as it is stored, for `put_back`."""
        entry: bytes | None = self._redis.hget(KEY, model)
        return entry

    def put_back(self, model: str, entry: bytes) -> bool:
        """Set a schedule again that was deleted, for its owner. Returns False if no gateway signed it, or the model has
        another one. Raises `TooManySchedules`."""
        schedule = self._signed(model, entry)
        return bool(schedule and self._replace(model, None, schedule.cron, schedule.request, schedule.owner))

    def alarms_wait(self, schedules: Sequence[Schedule]) -> dict[str, datetime]:
        """Return, by model, until when no alarm begins a run of these schedules, as another has begun one within a
        day."""
        last = self._redis.hgetall(ALARMS) if any(schedule.on_alarm for schedule in schedules) else {}
        models = [schedule.model for schedule in schedules if schedule.on_alarm]
        untils = {model: _last_alarm(last.get(model.encode()))[1] for model in models}
        return {model: until for model, until in untils.items() if until and until > datetime.now(UTC)}

    def run_on_alarm(self, schedule: Schedule, alarm: str, now: datetime) -> bool:
        """Have the next run of a schedule begin, unless this alarm has begun one already. Returns False, and does
        nothing, if another alarm has begun one within a day."""
        last, until = _last_alarm(self._redis.hget(ALARMS, schedule.model))
        if last == alarm:
            return True
        if until and now < until:
            return False
        # If the schedule changes meanwhile, the next call does it.
        with self._redis.pipeline(transaction=True) as pipeline, suppress(WatchError):
            pipeline.watch(self._registry.key)
            if pipeline.zscore(self._registry.key, schedule.job) is not None:
                pipeline.multi()
                pipeline.zadd(self._registry.key, {schedule.job: round(now.timestamp())})
                pipeline.hset(f"rq:job:{schedule.job}", "created_at", timestamp(now))
                pipeline.hset(ALARMS, schedule.model, f"{alarm} {now.timestamp():.0f}")
                pipeline.execute()
        return True

    def advance(
        self,
        on_unsigned: Callable[[str], None] = lambda _: None,
        on_run: Callable[[Schedule], None] = lambda _: None,
    ) -> None:
        """Give each schedule whose job has started its next job. Call it after `Scheduler.enqueue_due`.

        A schedule gets its next run once the previous one has started, so runs never pile up. A schedule that is not
        signed gets none; its model is reported to `on_unsigned`. `on_run` gets each schedule whose job has started.
        """
        for name, text in self._redis.hgetall(KEY).items():
            model = name.decode(errors="replace")
            schedule = self._signed(model, text)
            if schedule is None:
                on_unsigned(model)
                continue
            scheduled = self._redis.zscore(self._registry.key, schedule.job) is not None
            if scheduled or self._redis.lpos(f"rq:queue:{TRAINING.queue}", schedule.job) is not None:
                continue
            # If the schedule has changed since it was read, this does nothing: it has its next run already.
            if self._replace(model, schedule, schedule.cron, schedule.request, schedule.owner, last_job=schedule.job):
                on_run(schedule)

    def _signed(self, model: str, text: bytes) -> Schedule | None:
        """Return the schedule in an entry if a gateway signed it. The signature covers the stored text of `request`,
        because another release may parse it differently."""
        try:
            data = json.loads(text)
            cron, request, owner = data["cron"], data["request"], data.get("owner", "")
            self._signer.check_schedule(model, cron, request, data["signature"], owner)
            return Schedule.from_json(model, data)
        except (ModelgateError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None

    def _replace(
        self,
        model: str,
        before: Schedule | None,
        cron: str,
        request: TrainingRequest,
        owner: str,
        most: int | None = None,
        last_job: str = "",
    ) -> Schedule | None:
        """Replace the schedule `before` and return the new one. Returns None, and changes nothing, if the schedule is
        no longer `before`. `most`: schedules that the owner may have; None: no limit of a key. Raises `ValueError` for
        an invalid `cron`, and as `_check_room`."""
        run_at = _next_of(cron, datetime.now(UTC))
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.watch(KEY, self._registry.key)
            if readable(model.encode(), pipeline.hget(KEY, model)) != before:
                return None
            if before is None or before.owner != owner:
                entries = pipeline.hgetall(KEY)
                entries.pop(model.encode(), None)
                _check_room(entries, owner, most)
            waits = before is not None and pipeline.zscore(self._registry.key, before.job) is not None
            pipeline.multi()
            if before is not None and waits:
                pipeline.zrem(self._registry.key, before.job).delete(f"rq:job:{before.job}")
            job = self._wait(pipeline, request, run_at, owner)
            signature = self._signer.sign_schedule(model, cron, request.to_json(), owner)
            made = Schedule(model, cron, request, timestamp(run_at), job.id, signature, owner, last_job)
            pipeline.hset(KEY, model, dumps(made.to_json()))
            try:
                pipeline.execute()
            except WatchError:
                return None
        return made

    def _wait(self, pipeline: Any, request: TrainingRequest, run_at: datetime, owner: str) -> RQJob:
        """Do as RQ's `enqueue_at`, but entirely within `pipeline`, and signed."""
        job = training_job(self._redis, request, **self._ttls)
        job.created_at = run_at
        job.set_status(JobStatus.SCHEDULED, pipeline=pipeline)
        job.save(pipeline=pipeline)
        until = run_at.timestamp() + Retention.unended_jobs
        signature = self._signer.sign_job(TRAINING.queue, job.id, job.data, until)
        pipeline.hset(job.key, mapping={"signature": signature, **({"owner": owner} if owner else {})})
        pipeline.zadd(self._registry.key, {job.id: round(run_at.timestamp())})
        return job


def _last_alarm(entry: bytes | None) -> tuple[str, datetime | None]:
    """Return the last alarm that has begun a run, and until when no other does; ('', None) if there was none."""
    alarm, _, when = (entry or b"").decode().rpartition(" ")
    return alarm, datetime.fromtimestamp(float(when), UTC) + BETWEEN_ALARMS if when else None


def _check_room(others: Mapping[bytes, bytes], owner: str, most: int | None) -> None:
    """Raise `TooManySchedules` if beside these entries there is no place for a schedule of `owner`, and
    `TooManyWaiting` if it has `most` already: runs enter the queue without a check of the key's limit."""
    schedules = list(itertools.starmap(readable, others.items()))
    owners = [schedule.owner if schedule else None for schedule in schedules]
    if most is not None and owners.count(owner) >= most:
        raise TooManyWaiting
    check_number(owners, owner)


def check_number(others: Sequence[str | None], owner: str) -> None:
    """Raise `TooManySchedules` if beside schedules of these owners there is no place for one of `owner`."""
    if len(others) >= MOST:
        raise TooManySchedules(f"there are {MOST} schedules already; delete one first")
    if owner and others.count(owner) >= (part := most_of_one_owner(MOST)):
        raise TooManySchedules(f"one owner can have {part} schedules, and yours has as many; delete one first")


def readable(model: bytes, text: bytes | None) -> Schedule | None:
    """Return the schedule in an entry. An entry that cannot be read counts as none, so that it can be replaced."""
    try:
        return None if text is None else Schedule.from_json(model.decode(), json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
