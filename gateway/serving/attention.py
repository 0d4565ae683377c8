"""The state of models, many at once, and why somebody should look at one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import IntEnum

from redis.exceptions import RedisError

from broker.records.job_kinds import TRAINING
from broker.sides.gateway.listing import LARGEST_PAGE, JobFilter
from broker.state.boards import HealthBoard
from broker.state.schedules import Schedule
from contract.errors import ModelgateError
from contract.model.about import About
from contract.model.manifest import VersionSummary
from contract.model.model_health import HealthState, ModelHealth
from contract.model.repository import CURRENT, Repository
from contract.wording import percent
from contract.work.jobs import Job, Status
from gateway.serving.job_access import JobReader
from gateway.serving.traffic import Chart, Traffic
from gateway.serving.trainings import Trainings

ERROR_SHARE, LEAST_REQUESTS = 0.05, 20
"""The share of errors from which a model needs attention, and the fewest requests of two hours of which it says
something."""
_LONGEST = 200
"""Characters of a reason."""


class Urgency(IntEnum):
    """BROKEN: requests for the model are refused. WRONG: its answers are worse than promised, or many requests fail.
    WATCH: it answers, and may do so less well in future."""

    WATCH = 1
    WRONG = 2
    BROKEN = 3


@dataclass(frozen=True)
class Attention:
    """Why somebody should look at a model: in two or three words (`label`), and in a sentence without a full stop.
    `where`: what says more of it, the `versions`, one of them, the `health` or the `failures` of the model, or a
    `job`."""

    urgency: Urgency
    label: str
    sentence: str
    where: str = "versions"
    job: str = ""


@dataclass(frozen=True)
class ModelState:
    """What a list shows of a model.

    `version`: the current one, with its `summary`, None for a version that cannot be read. `recent`: its traffic of the
    last two hours. `schedule`: that of the caller. `health`: of this version, None if it is not watched. Without Redis,
    these three are None. `attention`: the most urgent reason to look at it.
    """

    name: str
    version: int | None
    summary: VersionSummary | None
    about: About
    attention: Attention | None
    recent: Chart | None = None
    schedule: Schedule | None = None
    health: HealthState | None = None


@dataclass(frozen=True)
class ModelStates:
    """The state of the models in `repository`, that of the caller."""

    repository: Repository
    traffic: Traffic
    health: HealthBoard
    trainings: Trainings
    jobs: JobReader

    def of(self, names: Sequence[str]) -> list[ModelState]:
        """Return the state of each of these models, in a few round trips for all of them. Without Redis, it is what the
        model repository knows."""
        states = [self._in_repository(name) for name in names]
        try:
            recent = self.traffic.recent(names)
            healths = self.health.of_each([f"{state.name}@{state.version}" for state in states if state.version])
            schedules = {one.schedule.model: one.schedule for one in self.trainings.all_schedules()}
            failed = self._failed_trainings(names)
        except RedisError:
            return states
        for at, state in enumerate(states):
            health, traffic = healths.get(f"{state.name}@{state.version}"), recent[state.name]
            reasons = _attention(health, traffic, self._unpromoted(state), failed.get(state.name)), state.attention
            states[at] = replace(
                state,
                recent=traffic,
                schedule=schedules.get(state.name),
                health=health.state if health else None,
                attention=max(filter(None, reasons), key=lambda reason: reason.urgency, default=None),
            )
        return states

    def _in_repository(self, name: str) -> ModelState:
        version = self.repository.aliases(name).get(CURRENT)
        about, summary = self.repository.settings(name).about, None
        if version is None:
            sentence = "no version is current, so requests are refused"
            return ModelState(name, None, None, about, Attention(Urgency.BROKEN, "not served", sentence))
        try:
            summary, flaw = self.repository.summary(name, version), self.repository.flaw(name, version)
            attention = Attention(Urgency.WRONG, "poor", flaw.rstrip("."), f"versions/{version}") if flaw else None
        except ModelgateError as error:
            attention = Attention(Urgency.BROKEN, "unreadable", error.failure.message[:_LONGEST])
        return ModelState(name, version, summary, about, attention)

    def _unpromoted(self, state: ModelState) -> int | None:
        """Return the newest version if it is newer than the current one, no experiment tries it, and nobody has rolled
        back from it."""
        newest, settings = self.repository.newest(state.name), self.repository.settings(state.name)
        is_tried = settings.experiment is not None and settings.experiment.candidate == newest
        is_known = is_tried or newest in settings.rolled_back
        return newest if state.version and newest > state.version and not is_known else None

    def _failed_trainings(self, names: Sequence[str]) -> Mapping[str, Job]:
        """Return the last training of the caller for each model, if it failed and no version was made since."""
        wanted = JobFilter(names[0] if len(names) == 1 else None, Status.FAILED, kind=TRAINING.name)
        failed: dict[str, Job] = {}
        for job in self.jobs.list(wanted, LARGEST_PAGE, None).items:
            if job.model not in failed and (job.completed_at or "") > self._newest_version_at(job.model):
                failed[job.model] = job
        return failed

    def _newest_version_at(self, name: str) -> str:
        with suppress(ModelgateError):
            return self.repository.summary(name, self.repository.newest(name)).created_at
        return ""


def _attention(
    health: ModelHealth | None, recent: Chart, unpromoted: int | None, failed_training: Job | None
) -> Attention | None:
    """Return the most urgent reason to look at a model that can be served."""
    if health and health.findings and health.state is HealthState.DEGRADED:
        return Attention(Urgency.WRONG, "worse than promised", health.findings[0], "health")
    total, share = recent.total, recent.total.error_share or 0.0
    if total.requests >= LEAST_REQUESTS and share >= ERROR_SHARE:
        sentence = f"{percent(share)} of {total.requests:,} requests were refused or failed in two hours"
        return Attention(Urgency.WRONG, "many errors", sentence, "failures")
    if unpromoted:
        sentence = f"version {unpromoted} is newer than the current one, and not promoted"
        return Attention(Urgency.WATCH, "not promoted", sentence)
    if failed_training:
        reason = failed_training.error.message[:_LONGEST] if failed_training.error else "its job does not say why"
        sentence = f"the last training failed: {reason}"
        return Attention(Urgency.WATCH, "training failed", sentence, "job", failed_training.id)
    if health and health.findings:
        return Attention(Urgency.WATCH, "rows have changed", health.findings[0], "health")
    return None
