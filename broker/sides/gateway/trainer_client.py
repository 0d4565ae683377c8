"""The trainer for the gateway: submit trainings, run repository commands, read logs and recipes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

from broker.access.signatures import Signer
from broker.link.idempotency import ConflictReason, IdempotencyConflict
from broker.link.scripts import Durability, Scripts
from broker.records.job_kinds import REPOSITORY_COMMAND, TRAINING
from broker.state.job_reading import read_jobs
from broker.state.trainer_jobs import PARAMETERS, RECIPES, TrainerUnavailable, enqueue, training_job
from broker.state.waited_jobs import NOBODY, Asker, NotBegun, NotEnded, WaitedJobs
from contract.model.parameters import RecipeParameter
from contract.retention import Retention
from contract.work.api_keys import EVERYBODY, Key
from contract.work.jobs import Job, Status, timestamp
from contract.work.training import RepositoryAction, RepositoryCommand, TrainingRequest

MOST_PREVIEWS = 2
"""Previews of one owner that may wait and run. The trainer runs eight commands at a time, so the others stay free."""


@dataclass
class TrainerClient:
    """What the gateway asks of the trainer. Raises `redis.exceptions.RedisError`.

    `timeout` of a training and `result_ttl` of one that has ended are in seconds, and so is `command_ttl` of a
    repository command that may be repeated. `durability` decides when a training is accepted.
    """

    connection: Any
    signer: Signer
    _: KW_ONLY
    timeout: int
    result_ttl: int
    durability: Durability | None = None
    command_ttl: int = Retention.commands
    asker: Asker = NOBODY

    def __post_init__(self) -> None:
        self._scripts = Scripts(self.connection)
        self._commands = WaitedJobs(
            self.connection,
            self.signer,
            REPOSITORY_COMMAND,
            ttl=Retention.commands,
            keyed_ttl=self.command_ttl,
            asker=self.asker,
        )

    def submit(
        self, request: TrainingRequest, caller: Key = EVERYBODY, webhook: str = "", most: int | None = None
    ) -> Job:
        """Submit a training for the owner of `caller`, of whose trainings at most `most` may wait, and return its job,
        whose end the URL `webhook` gets; or the job of an earlier request.

        Raises `TrainerUnavailable` without a signer, `TooManyWaiting` and `IdempotencyConflict`."""
        job = training_job(self.connection, request, timeout=self.timeout, result_ttl=self.result_ttl)
        job_id = enqueue(
            self.connection,
            self.signer,
            TRAINING,
            job,
            ttl=Retention.unended_jobs,
            durability=self.durability,
            request=self.asker.request_ids(),
            owner=caller.owner,
            most_waiting=most,
            idempotency=self.asker.idempotency(),
            webhook=webhook,
        )
        if job_id != job.id:
            self.asker.on_replay()
            (earlier,) = read_jobs(self._scripts, [job_id])
            if earlier is None:
                raise IdempotencyConflict(ConflictReason.GONE)
            return earlier
        created = timestamp(job.created_at)
        return Job(job.id, Status.QUEUED, request.model, None, created, kind=TRAINING.name, owner=caller.owner)

    def run_command(self, command: RepositoryCommand, wait: float) -> dict[str, Any]:
        """Return the trainer's answer to `command`, which it gives within `wait` seconds of beginning it; or its answer
        to an earlier request.

        Raises `TrainerUnavailable` if no trainer begins it in time (then it never runs) or none answers in time (then
        it may run), and as `WaitedJobs.run`; `TooManyWaiting` for a preview if `MOST_PREVIEWS` commands of its owner
        wait or run.
        """
        most = MOST_PREVIEWS if command.action is RepositoryAction.PREVIEW_TRAINING else None
        try:
            return self._commands.run(command.to_json(), f"{command.action} {command.model}", wait, most)
        except NotBegun:
            raise TrainerUnavailable(
                "no trainer answers, and nothing was done; start one (python -m trainer) and try again"
            ) from None
        except NotEnded:
            raise TrainerUnavailable(
                f"the trainer has not answered within {wait:.0f} s; check whether the change was made"
            ) from None

    def waiting(self) -> int:
        """Return the number of trainings that no trainer has begun."""
        return int(self.connection.llen(f"rq:queue:{TRAINING.queue}"))

    def jobs(self, ids: Sequence[str]) -> list[Job | None]:
        """Return the jobs with these ids, None for one that does not exist."""
        return read_jobs(self._scripts, ids) if ids else []

    def recipes(self) -> list[str] | None:
        """Return the trainer's recipes, or None before the first trainer has started."""
        names = self.connection.get(RECIPES)
        return None if names is None else list(json.loads(names))

    def parameters(self, recipe: str) -> list[RecipeParameter] | None:
        """Return the parameters of the recipe, or None if they are not published."""
        parameters = json.loads(self.connection.get(PARAMETERS) or "{}").get(recipe)
        return None if parameters is None else [RecipeParameter.from_json(data) for data in parameters]

    def log(self, job_id: str, start: int) -> tuple[int, bytes]:
        """Return the log of a training from byte `start` on, and the byte at which that part begins: a long log loses
        its start. A negative `start` counts from the end."""
        first, text = self._scripts.run("read_log", job_id, start)
        return first, text
