"""Scheduled file predictions of a data lake: set, listed, deleted, and how their runs are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from broker.state.lake_schedules import LakeRunReport, LakeSchedule, LakeSchedules
from broker.state.schedules import OthersSchedule, TooManySchedules
from contract.model.repository import Repository
from contract.work.api_keys import Key
from gateway.problems import Problem, ProblemCode
from gateway.serving.model_versions import resolve


@dataclass(frozen=True)
class ScheduledPredictions:
    """What a caller does with them. One of another owner does not exist for the caller, unless it is an admin. Raises
    `Problem` and `redis.exceptions.RedisError`."""

    schedules: LakeSchedules
    repository: Repository
    caller: Callable[[], Key]

    def all(self) -> list[LakeSchedule]:
        """Return the caller's, by model."""
        return [schedule for schedule in self.schedules.all() if self._exists(schedule)]

    def get(self, model: str) -> LakeSchedule:
        schedule = self.schedules.get(model)
        if schedule is None or not self._exists(schedule):
            raise _none(model)
        return schedule

    def put(self, wanted: LakeSchedule) -> LakeSchedule:
        resolve(self.repository, wanted.reference)
        try:
            return self.schedules.put(wanted, self.caller())
        except TooManySchedules as error:
            raise Problem(ProblemCode.TOO_MANY_SCHEDULES, str(error)) from error
        except OthersSchedule as error:
            detail = f"another owner has the scheduled prediction of {wanted.model!r}; only an admin can replace it"
            raise Problem(ProblemCode.OTHERS_SCHEDULE, detail) from error

    def report(self, model: str, run: LakeRunReport) -> LakeSchedule:
        schedule = self.schedules.report(model, run, self.caller())
        if schedule is None:
            raise _none(model)
        return schedule

    def delete(self, model: str) -> None:
        if not self.schedules.delete(model, self.caller()):
            raise _none(model)

    def _exists(self, schedule: LakeSchedule) -> bool:
        caller = self.caller()
        return caller.sees(schedule.owner) and caller.may_use(schedule.model)


def _none(model: str) -> Problem:
    return Problem(ProblemCode.NO_SCHEDULE, f"no prediction with the model {model[:80]!r} is scheduled")
