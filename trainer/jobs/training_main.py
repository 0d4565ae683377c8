"""The process of one training, a fork of the template.

It gets the job's payload and the settings, so a recipe finds none of them in its environment. Its answer is a pipe: it
writes a line of JSON there for each progress, and a last one with the output or the failure.
"""

from __future__ import annotations

import functools
import json
import os
import traceback
from collections.abc import Callable, Mapping
from typing import IO, Any

from redis import Redis

from broker.access.audit_log import TRAINER, AuditEntry, AuditLog
from broker.access.signatures import Signer
from broker.link.connection import connect
from broker.records.job_kinds import OBSERVATION
from broker.state.waited_jobs import NotBegun, NotEnded, WaitedJobs
from contract.errors import Code, Failure, ModelgateError
from contract.model.experiments import Experiment, ExperimentPlan
from contract.model.promotions import Person
from contract.settings import Settings
from contract.work.observation import Observation
from contract.work.training import Progress, TrainingRequest
from runtime.limits import limit_memory
from trainer.console import print_line
from trainer.forks import Forks
from trainer.processes import hide_memory
from trainer.publishing import experiments, promotion
from trainer.publishing.experiments import TryOut
from trainer.publishing.promotion import Promote
from trainer.recipe import DataError, Log
from trainer.tables.outcome_rows import Ask
from trainer.training.phases import ReportProgress

_TO_ANSWER, _KEPT = 120.0, 60
"""Seconds that the observer has for a page of rows, and for which the page stays in Redis."""

_SHOWN_WITHIN = 10.0
"""Seconds that a training waits for the machines that do not show its version."""


def train(
    payload: Mapping[str, Any],
    settings: Settings,
    report_progress: ReportProgress,
    log: Log,
    promote: Promote,
    job: str,
    forks: Forks,
    ask: Ask,
    try_out: TryOut,
) -> dict[str, Any]:
    """Return the output of a training job. Raises what `trainer.training.train` raises."""
    from trainer.training.train import train  # this module alone needs no scikit-learn

    request = TrainingRequest.from_json(payload)
    return train(request, settings, report_progress, log, promote, job, forks, ask, try_out).to_json()


def outcome(payload: Mapping[str, Any], job: str, settings: Settings, reports: int, forks: Forks) -> Mapping[str, Any]:
    """Return the last report: `output` or `failure`. A traceback goes into the log."""
    connection = connect(settings.redis_url)
    owner = str(payload.get("owner", ""))
    asker = Person(f"a training of {owner}" if owner else "a training", owner)
    promote = functools.partial(_promote, settings, connection, job, asker)
    asked = WaitedJobs(connection, Signer.from_settings(settings), OBSERVATION, ttl=_KEPT, keyed_ttl=_KEPT)
    ask = functools.partial(_ask, asked)
    try_out = functools.partial(_try_out, settings, connection, job, owner)

    def report_progress(progress: Progress) -> None:
        report(reports, {"progress": progress.to_json()})

    try:
        output = train(payload, settings, report_progress, print_line, promote, job, forks, ask, try_out)
        promotion.show_everywhere(settings, connection, output["model"], _SHOWN_WITHIN)
        return {"output": output}
    except MemoryError:
        code, message = Code.OUT_OF_MEMORY, f"the training needs more than {settings.train_memory_mb} MB"
        return _failure(code, f"{message} (TRAIN_MEMORY_MB); give it fewer rows or columns, or more memory")
    except ModelgateError as error:
        return {"failure": error.failure.to_json()}
    except Exception as error:
        traceback.print_exc()
        return _failure(Code.TRAINING_FAILED, f"{type(error).__name__}: {error}")


def _promote(
    settings: Settings, connection: Redis, job: str, asker: Person, model: str, version: int, alias: str
) -> str | None:
    """Promote as `promotion.promote` does, and note it in the audit log."""
    remark = promotion.promote(settings, connection, model, version, alias, asker=asker)
    entry = AuditEntry("move_alias", TRAINER, model=model, version=version, alias=alias, job_id=job)
    _note(settings, connection, entry)
    return remark


def _try_out(
    settings: Settings, connection: Redis, job: str, owner: str, model: str, version: int, plan: ExperimentPlan
) -> Experiment:
    """Begin an experiment as `experiments.start` does, and note it in the audit log."""
    id, by = f"x{job[:12]}", "a training"  # noqa: A001
    experiment = experiments.start(settings, connection, model, version, plan, id, by, owner=owner)
    _note(settings, connection, AuditEntry("start_experiment", TRAINER, model=model, version=version, job_id=job))
    return experiment


def _note(settings: Settings, connection: Redis, entry: AuditEntry) -> None:
    AuditLog(connection, settings.retention.audit_days, of_trainer=True).write(entry)


def _ask(jobs: WaitedJobs, observation: Observation) -> Mapping[str, Any]:
    """Return the observer's answer. Raises `DataError` if there is none, and as `WaitedJobs.run`."""
    try:
        return jobs.run(observation.to_json(), f"{observation.action} {observation.model}", _TO_ANSWER)
    except (NotBegun, NotEnded):
        raise DataError("no observer answers, which keeps the prediction log; start one and train again") from None


def _failure(code: Code, message: str) -> Mapping[str, Any]:
    return {"failure": Failure(code, message[:2000]).to_json()}


def report(descriptor: int, message: Mapping[str, Any]) -> None:
    # An exception's text may hold lone surrogates, which UTF-8 cannot.
    rest = memoryview(json.dumps(message, ensure_ascii=False).encode(errors="replace") + b"\n")
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def main(answer: IO[str], job: Mapping[str, Any], fork_template: Callable[[], Forks]) -> None:
    """Run the training of `job`, which has an `id`, a `payload`, `settings`, and the `folder` in which their relative
    paths begin. `fork_template` returns forks of this process as it is before it has seen the recipe."""
    hide_memory()
    os.chdir(job["folder"])
    os.set_inheritable(answer.fileno(), False)
    settings = Settings.from_environ(job["settings"])
    limit_memory(settings.train_memory_mb)
    with fork_template() as forks:
        last = outcome(job["payload"], job["id"], settings, answer.fileno(), forks)
        report(answer.fileno(), last)
    if "failure" in last:
        print_line(f"failed: {last['failure']['message']}")
