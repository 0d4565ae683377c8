"""Training: a request becomes a job of the trainer's, now or on a schedule."""

from __future__ import annotations

from dataclasses import dataclass

from broker.gateway.trainer_client import TrainerClient
from broker.job_kinds import TRAINING
from broker.schedules import Schedule, Schedules, TooManySchedules
from contract.jobs import Job
from contract.repository import Repository, valid_name
from contract.training import GENERIC_RECIPE, TrainingRequest
from gateway.refusals import Reason, Refusal
from gateway.serving.models import resolve

MAX_WAITING = 100
"""Trainings that may wait; beyond, they are refused."""


@dataclass(frozen=True)
class Trainings:
    """Submits trainings and keeps schedules."""

    trainer: TrainerClient
    schedules: Schedules
    repository: Repository

    def recipes(self) -> list[str]:
        """Return the recipes of the trainer. Raises `Refusal` if no trainer has ever been ready."""
        recipes = self.trainer.recipes()
        if recipes is None:
            detail = (
                "no trainer has been ready yet, so no recipe is known; if it has just started, try again in a minute"
            )
            raise Refusal(Reason.NO_TRAINER, detail, retry_after=1)
        return recipes

    def submit(self, request: TrainingRequest) -> Job:
        """Return the training job, which is in Redis then. Raises `Refusal` if too many wait."""
        if self.trainer.waiting() >= MAX_WAITING:
            detail = f"{MAX_WAITING} trainings wait already; try again when some have ended"
            raise Refusal(Reason.QUEUE_FULL, detail, retry_after=60)
        return self.trainer.submit(request)

    def recipe_of(self, model: str, recipes: list[str]) -> str:
        """Return the recipe of the current version, else the recipe with the model's name."""
        if model not in recipes or self.repository.aliases(model):
            return self.repository.manifest(*resolve(self.repository, model)).recipe
        return model

    def log(self, job: Job, start: int) -> tuple[int, bytes]:
        """Return where the log of a training goes on from byte `start`, and its text: a long log loses its head.

        Raises `Refusal` for another job.
        """
        if job.kind != TRAINING.name:
            raise Refusal(Reason.NO_LOG, f"the job {job.id} is a prediction, which has no log")
        return self.trainer.log(job.id, start)

    def schedule_of(self, model: str) -> Schedule:
        """Return the schedule. Raises `Refusal` without one."""
        schedule = self.schedules.get(model) if valid_name(model) else None
        if schedule is None:
            raise _no_schedule(model)
        return schedule

    def put_schedule(self, model: str, cron: str, request: TrainingRequest) -> Schedule:
        """Return the stored schedule. Raises `ValueError` for an invalid `cron`, and `Refusal` for one too many."""
        try:
            return self.schedules.put(model, cron, request)
        except TooManySchedules as error:
            raise Refusal(Reason.TOO_MANY_SCHEDULES, str(error)) from error

    def delete_schedule(self, model: str) -> None:
        """Raise `Refusal` without a schedule."""
        if not valid_name(model) or not self.schedules.delete(model):
            raise _no_schedule(model)


def default_recipe(model: str, recipes: list[str]) -> str:
    """Return the recipe of a request that names none."""
    return model if model in recipes else GENERIC_RECIPE


def _no_schedule(model: str) -> Refusal:
    return Refusal(Reason.NO_SCHEDULE, f"the model {model[:80]!r} has no schedule")
