"""Training: a request becomes a job of the trainer's, now or on a schedule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from broker.records.job_kinds import TRAINING
from broker.sides.gateway.trainer_client import TrainerClient
from broker.state.schedules import OthersSchedule, Schedule, Schedules, TooManySchedules
from broker.state.trainer_jobs import TooManyWaiting
from contract.errors import FieldError
from contract.model.experiments import ExperimentKind, unlogged
from contract.model.repository import CURRENT, Repository, valid_name
from contract.work.api_keys import PER_FREE, Key, Scope
from contract.work.jobs import Job, Status
from contract.work.training import GENERIC_RECIPE, RepositoryAction, RepositoryCommand, TrainingPreview, TrainingRequest
from gateway.problems import Problem, ProblemCode
from gateway.protocols.training_requests import check_file, check_parameters, invalid_training
from gateway.serving.job_access import shown_to
from gateway.serving.model_versions import RunCommand, resolve, run
from gateway.serving.spool import GatewaySpool

MAX_WAITING = 100
"""Trainings that may wait; beyond, they are refused, but for the first one of an owner."""
RETRY_TRAINING = 60
"""Seconds after which a client is asked to try again."""


@dataclass(frozen=True)
class ScheduleState:
    """A schedule, and the job of its last run; None if there was none, or the job has expired.

    `alarms_wait_until`: when an alarm may begin a run again, as another has begun one within a day; None if any may.
    """

    schedule: Schedule
    last_run: Job | None
    alarms_wait_until: datetime | None


@dataclass(frozen=True)
class Trainings:
    """Submits trainings and keeps schedules. `caller` returns the key of the current request; they belong to
    its owner.

    A schedule of another owner, or of a model that the key may not use, does not exist for the caller.
    """

    trainer: TrainerClient
    schedules: Schedules
    repository: Repository
    caller: Callable[[], Key]
    run_command: RunCommand
    spool: GatewaySpool

    def recipes(self) -> list[str]:
        """Return the recipes of the trainer. Raises `Problem` if no trainer has ever been ready."""
        recipes = self.trainer.recipes()
        if recipes is None:
            detail = (
                "no trainer has been ready yet, so no recipe is known; if it has just started, try again in a minute"
            )
            raise Problem(ProblemCode.NO_TRAINER, detail, retry_after=1)
        return recipes

    def submit(self, request: TrainingRequest, webhook: str = "") -> Job:
        """Return the training job, which is in Redis then, or that of an earlier request. `webhook` gets its end.

        Raises `Problem` if its recipe does not take its parameters or file, its experiment could not begin, or too many
        wait; and `IdempotencyConflict`."""
        request = self._of_caller(request)
        self._check_file(request)
        self._check_parameters(request)
        self._check_experiment(request)
        caller, free = self.caller(), MAX_WAITING - 1 - self.trainer.waiting()
        limit, share = caller.limits.trainings_waiting, max(1, PER_FREE * free) if caller.owner else MAX_WAITING
        most = share if limit is None else min(limit, share)
        try:
            return shown_to(caller, self.trainer.submit(request, caller, webhook, most))
        except TooManyWaiting as error:
            if most != limit:
                detail = f"the {MAX_WAITING} places of trainings that wait are taken; try again when some have ended"
                raise Problem(ProblemCode.QUEUE_FULL, detail, retry_after=RETRY_TRAINING) from error
            detail = (
                f"{limit} trainings of your owner are waiting, the limit of this key (trainings_waiting);"
                " try again once one has started"
            )
            raise Problem(ProblemCode.TRAININGS_WAITING_LIMIT, detail, retry_after=RETRY_TRAINING) from error

    def preview(self, request: TrainingRequest) -> TrainingPreview:
        """Return how a training would understand its file, which is deleted then. Raises `Problem` for an unusable file
        and if the owner has too many at the trainer, and as `gateway.serving.model_versions.run`."""
        self._check_file(request)
        command = RepositoryCommand(
            RepositoryAction.PREVIEW_TRAINING, request.model, upload=request.upload, training=request.to_json()
        )
        try:
            preview = TrainingPreview.from_json(run(self.run_command, command))
        except TooManyWaiting as error:
            detail = "the trainer is busy with previews and changes of your owner; try again when one has ended"
            raise Problem(ProblemCode.PREVIEWS_LIMIT, detail, retry_after=1) from error
        if request.upload:
            self.spool.files.discard([request.upload])
        return preview

    def recipe_of(self, model: str, recipes: list[str]) -> str:
        """Return the recipe of the current version, else the recipe with the model's name."""
        if model not in recipes or self.repository.aliases(model):
            return self.repository.manifest(*resolve(self.repository, model)).recipe
        return model

    def log(self, job: Job, start: int) -> tuple[int, bytes]:
        """Return where the log of a training goes on from byte `start`, and its text: a long log loses its head. A
        negative `start` counts from the end.

        Raises `Problem` for another job.
        """
        if job.kind != TRAINING.name:
            raise Problem(ProblemCode.NO_LOG, f"the job {job.id} is a prediction, which has no log")
        return self.trainer.log(job.id, start)

    def all_schedules(self) -> list[ScheduleState]:
        """Return the schedules of the caller by model."""
        return self._states_of([schedule for schedule in self.schedules.all() if self._exists(schedule)])

    def schedule_of(self, model: str) -> ScheduleState:
        """Return the schedule. Raises `Problem` without one."""
        schedule = self.find_schedule(model)
        if schedule is None:
            raise _no_schedule(model)
        return schedule

    def find_schedule(self, model: str) -> ScheduleState | None:
        schedule = self.schedules.get(model) if valid_name(model) else None
        return self._states_of([schedule])[0] if schedule and self._exists(schedule) else None

    def _states_of(self, schedules: Sequence[Schedule]) -> list[ScheduleState]:
        ids = [job for schedule in schedules for job in schedule.jobs]
        begun = {
            job.id: shown_to(self.caller(), job)
            for job in self.trainer.jobs(ids)
            if job and job.status is not Status.QUEUED
        }
        waits = self.schedules.alarms_wait(schedules)
        return [
            ScheduleState(
                schedule, next((begun[job] for job in schedule.jobs if job in begun), None), waits.get(schedule.model)
            )
            for schedule in schedules
        ]

    def put_schedule(self, model: str, cron: str, request: TrainingRequest) -> ScheduleState:
        """Store a schedule and return it. Raises `Problem` for an invalid `cron`, if there are too many schedules, of
        all owners, of this one or for this key, another owner has the schedule of this model, its recipe does not take
        its parameters, or its experiment could not begin; and as `gateway.serving.model_versions.run` if its training
        could not begin now.
        """
        request = self._of_caller(request)
        self._check_parameters(request)
        self._check_experiment(request)
        run(self.run_command, RepositoryCommand(RepositoryAction.CHECK_TRAINING, model, training=request.to_json()))
        try:
            return self._states_of([self.schedules.put(model, cron, request, self.caller())])[0]
        except ValueError as error:
            raise invalid_training(FieldError(None, "cron", "not_a_cron_expression", str(error))) from error
        except TooManySchedules as error:
            raise Problem(ProblemCode.TOO_MANY_SCHEDULES, str(error)) from error
        except TooManyWaiting as error:
            most = self.caller().limits.trainings_waiting
            detail = (
                f"your owner has as many schedules as this key lets trainings wait ({most}, trainings_waiting);"
                " delete one first"
            )
            raise Problem(ProblemCode.TRAININGS_WAITING_LIMIT, detail) from error
        except OthersSchedule as error:
            detail = f"another owner has the schedule of the model {model!r}; only an admin can replace it"
            raise Problem(ProblemCode.OTHERS_SCHEDULE, detail) from error

    def delete_schedule(self, model: str) -> None:
        """Raise `Problem` without a schedule."""
        if not valid_name(model) or not self.schedules.delete(model, self.caller()):
            raise _no_schedule(model)

    def _of_caller(self, request: TrainingRequest) -> TrainingRequest:
        """Return the request with the rows of the log that the caller may see, and with its owner if the model is
        protected. Raises `Problem` if these are none."""
        caller = self.caller()
        self.repository.aliases(request.model)
        if self.repository.settings(request.model).protected:
            request = replace(request, owner=caller.owner)
        if request.outcomes is None or caller.allows(Scope.ADMIN):
            return request
        if not caller.allows(Scope.LOG):
            detail = "to train with the rows of the prediction log, a key needs the scope log beside train"
            raise Problem(ProblemCode.MISSING_SCOPE, detail)
        return replace(request, outcomes=replace(request.outcomes, owner=caller.owner))

    def _check_file(self, request: TrainingRequest) -> None:
        if request.upload:
            with self.spool.files.open(request.upload) as file:
                check_file(request, file)

    def _check_parameters(self, request: TrainingRequest) -> None:
        if request.parameters and (parameters := self.trainer.parameters(request.recipe)) is not None:
            check_parameters(request, parameters)

    def _check_experiment(self, request: TrainingRequest) -> None:
        """Raise `Problem` for a training that is to end in a shadow which could not begin."""
        plan, model = request.gate.experiment, request.model
        if plan is None or plan.kind is not ExperimentKind.SHADOW or CURRENT not in self.repository.aliases(model):
            return
        if not self.repository.settings(model).logging.share:
            raise Problem(ProblemCode.EXPERIMENT_REFUSED, unlogged(model))

    def _exists(self, schedule: Schedule) -> bool:
        caller = self.caller()
        return caller.sees(schedule.owner) and caller.may_use(schedule.model)


def default_recipe(model: str, recipes: list[str]) -> str:
    """Return the recipe of a request that names none."""
    return model if model in recipes else GENERIC_RECIPE


def _no_schedule(model: str) -> Problem:
    return Problem(ProblemCode.NO_SCHEDULE, f"the model {model[:80]!r} has no schedule")
