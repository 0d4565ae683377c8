"""Experiments: begins them, and acts on what the observer finds in them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from redis import Redis

from broker.access.audit_log import EXPERIMENT, AuditEntry, AuditLog
from broker.state.boards import ExperimentBoard
from contract.errors import Code, ModelgateError, version_error
from contract.model.environments import TODAY, no_worker
from contract.model.experiments import (
    MARGIN,
    OF_NUMBERS,
    Decision,
    Ending,
    Experiment,
    ExperimentFindings,
    ExperimentKind,
    ExperimentPlan,
    largest_loss,
    loss_metrics,
    unlogged,
)
from contract.model.manifest import ModelManifest
from contract.model.model_settings import ModelSettings
from contract.model.promotions import Person
from contract.model.repository import CURRENT, not_in_repository
from contract.model.signature_changes import signature_changes, some
from contract.settings import Settings
from contract.work.jobs import timestamp, timestamp_now
from storage.models.repository_writer import RepositoryWriter
from storage.models.states import ModelState
from trainer.publishing.aliases import move_alias
from trainer.publishing.experiment_states import end, experiments_of, put, running, settle
from trainer.publishing.promotion import asked, once_loaded
from trainer.publishing.repositories import repository_of

log = logging.getLogger("trainer")

TryOut = Callable[[str, int, ExperimentPlan], Experiment]
"""Model, candidate, plan: begins an experiment. Raises `ModelgateError`."""

_LONGEST_WARMUP = 30
"""Most seconds that a promotion waits for workers, which have the candidate in memory already: schedules wait, too."""


def start(
    settings: Settings,
    connection: Redis | None,
    model: str,
    candidate: int,
    plan: ExperimentPlan,
    id: str,  # noqa: A002
    by: str = "",
    until: str | None = None,
    owner: str = "",
) -> Experiment:
    """Begin an experiment once the workers have loaded its candidate, and return it. Harmless to repeat with the same
    `id`. `by`: the name of the key that asks for it, or '', and `owner` its owner, or ''. `until`: when it is over (RFC
    3339 in UTC); None: after the days of the plan.

    Raises `ModelgateError`: `model_not_found`, `experiment_runs`, `experiment_refused`, and as `promote` does.
    """
    repository = repository_of(settings)
    known = repository.state(model)
    if not any(one.id == id for one in experiments_of(known)):
        _check(model, candidate, plan, known)
        baseline = known.aliases[CURRENT]
        plan = _settled(repository, model, baseline, candidate, plan)

        def edit(state: ModelState) -> None:
            _check(model, candidate, plan, state)
            if state.aliases[CURRENT] != baseline:
                raise _refused(model, f"version {state.aliases[CURRENT]} was made current meanwhile; try again")
            now = datetime.now(UTC)
            over = until or timestamp(now + timedelta(days=plan.days))
            since, share = timestamp(now), plan.first_share
            put(state, Experiment(id, baseline, candidate, plan, since, over, share, since, by, owner=owner))

        try:
            once_loaded(settings, connection, model, candidate, False, lambda: repository.change(model, edit))
        except ModelgateError as error:
            if error.failure.code != Code.NOT_LOADED:
                raise
            raise _not_loaded(repository, model, candidate, error) from error
    return next(one for one in experiments_of(repository.state(model)) if one.id == id)


def stop(repository: RepositoryWriter, board: ExperimentBoard, model: str, id: str, by: str = "") -> Experiment:  # noqa: A002
    """End an experiment, unless it has ended, and return it. `by`: as of `start`. Raises `experiment_not_found`."""
    found, reason = board.of(model), f"stopped by {by}" if by else "it was stopped"
    figures = found.figures if found and found.experiment == id else None
    state = repository.change(model, lambda state: end(state, id, Ending.STOPPED, reason, figures))
    if experiment := next((one for one in experiments_of(state) if one.id == id), None):
        return experiment
    raise ModelgateError(Code.EXPERIMENT_NOT_FOUND, f"{model!r} has no experiment {id[:64]!r}", model=model)


@dataclass(frozen=True)
class Decisions:
    """Carries out what the observer decides about experiments. Several trainers may do so, and each may be killed at
    any moment: the state of a model says what is done."""

    settings: Settings
    connection: Redis
    repository: RepositoryWriter
    audit: AuditLog
    _waits: dict[str, str] = field(default_factory=dict)
    """Why the experiment of a model waits, as it was logged last."""
    _found: dict[str, ExperimentFindings] = field(default_factory=dict)
    """What was found last in the experiment of a model that runs."""

    def carry_out(self) -> None:
        """Look at each experiment that runs, or has just ended. Raises `redis.exceptions.RedisError`."""
        experiments = {model: self.repository.settings(model).experiment for model in self.repository.names()}
        found = ExperimentBoard(self.connection).read() if any(experiments.values()) else {}
        for model, experiment in experiments.items():
            if experiment:
                findings = found.get(model)
                known = findings if findings and findings.experiment == experiment.id else None
                if known:
                    self._found[model] = known
                try:
                    self._act(model, experiment, known)
                except (ModelgateError, OSError) as error:
                    if self._waits.get(model) != str(error):
                        log.warning("the experiment %s of %s waits: %s", experiment.id, model, error)
                    self._waits[model] = str(error)
            elif model in self._found:
                with suppress(ModelgateError, OSError):  # the store is away: the next look tries again
                    self._keep_figures(model, self._found[model])
                    del self._found[model]

    def _keep_figures(self, model: str, findings: ExperimentFindings) -> None:
        """Give an experiment that a change of versions or aliases has ended what was found in it."""

        def edit(state: ModelState) -> None:
            newest = next(iter(experiments_of(state)), None)
            if newest and newest.id == findings.experiment and newest.ending and not newest.figures:
                put(state, replace(newest, figures=findings.figures))

        self.repository.change(model, edit)

    def _act(self, model: str, experiment: Experiment, findings: ExperimentFindings | None) -> None:
        decision, current = findings and findings.decision, self.repository.aliases(model).get(CURRENT)
        over = datetime.now(UTC) >= datetime.fromisoformat(experiment.until)
        if current == experiment.candidate:  # this or another trainer was killed after it had promoted it
            self._end(model, experiment, Ending.PROMOTED, findings)
        elif current != experiment.baseline or not self.repository.has_version(model, experiment.candidate):
            self._done(model, lambda state: settle(state, None))  # by a release that knows no experiments
        elif decision is Decision.PROMOTE and not experiment.plan.promote:
            self._end(model, experiment, Ending.PASSED, findings)
        elif decision is Decision.PROMOTE:
            try:
                self._promote(model, experiment)
            except ModelgateError as error:
                if error.failure.code == Code.APPROVAL_REQUIRED:
                    self._end(model, experiment, Ending.PASSED, findings)
                elif not over:
                    raise
                else:
                    self._end(model, experiment, Ending.UNDECIDED, findings, str(error))
            else:
                self._end(model, experiment, Ending.PROMOTED, findings)
        elif decision is Decision.ROLL_BACK:
            self._end(model, experiment, Ending.ROLLED_BACK, findings)
        elif over:
            missing = f"missing: {findings.missing}" if findings else "the observer has said nothing"
            self._end(model, experiment, Ending.UNDECIDED, findings, missing)
        elif findings and decision is Decision.STEP:
            self._step(model, experiment, findings)

    def _promote(self, model: str, experiment: Experiment) -> None:
        """Raises `approval_required` for a protected model, after a second person has been asked."""
        if self.repository.settings(model).protected:
            by = f"an experiment of {experiment.owner}" if experiment.owner else "an experiment"
            raise asked(self.settings, self.connection, model, experiment.candidate, Person(by, experiment.owner))
        settings = replace(self.settings, warmup_timeout=min(self.settings.warmup_timeout, _LONGEST_WARMUP))
        move = (self.repository, model, CURRENT, experiment.candidate, experiment.baseline, experiment.id)
        once_loaded(settings, self.connection, model, experiment.candidate, False, lambda: move_alias(*move))

    def _step(self, model: str, experiment: Experiment, findings: ExperimentFindings) -> None:
        """Let the candidate answer its next share. Findings about an earlier share do not count: the observer may have
        begun its look before the last step."""
        share = experiment.plan.next_share(experiment.share)
        if share is None or findings.figures.get("share") != experiment.share:
            return
        stepped = replace(experiment, share=share, share_since=timestamp_now())

        def edit(state: ModelState) -> bool:
            unchanged = running(state) == experiment
            if unchanged:
                put(state, stepped)
            return unchanged

        if self._done(model, edit):
            self._note(model, experiment, "step", f"its share is {share:g} now")

    def _end(
        self, model: str, experiment: Experiment, ending: Ending, findings: ExperimentFindings | None, why: str = ""
    ) -> None:
        """End an experiment. `why`: what prevents a decision, of one whose time is over."""
        reason = findings.reason if findings else ""
        if ending is Ending.UNDECIDED:
            reason = f"its time is over, and it cannot be decided{f'; {why}' if why else ''}"
        figures = findings.figures if findings else None
        if self._done(model, lambda state: end(state, experiment.id, ending, reason, figures)):
            self._note(model, experiment, ending, f"it has ended: {ending}: {reason}")

    def _done(self, model: str, edit: Callable[[ModelState], object]) -> bool:
        """Change the state of a model, and return whether `edit` has done something: its last run counts."""
        done: list[object] = []
        self.repository.change(model, lambda state: done.append(edit(state)))
        return bool(done[-1])

    def _note(self, model: str, experiment: Experiment, what: str, sentence: str) -> None:
        alias = CURRENT if what == Ending.PROMOTED else None
        entry = AuditEntry(f"experiment_{what}", EXPERIMENT, model=model, version=experiment.candidate, alias=alias)
        self.audit.write(entry)
        log.info("the experiment %s of %s: %s", experiment.id, model, sentence)


def _check(model: str, candidate: int, plan: ExperimentPlan, state: ModelState) -> None:
    """Raise `ModelgateError` unless this experiment may begin, as far as the state of the model says."""
    if candidate not in state.versions:
        raise not_in_repository(model, candidate)
    if CURRENT not in state.aliases:
        raise _refused(model, f"it has no current version to compare version {candidate} with; promote one first")
    if state.aliases[CURRENT] == candidate:
        raise _refused(model, f"version {candidate} is current already; name another one")
    if other := running(state):
        what = f"the experiment {other.id} of {model!r} runs: {described(other)}; stop it, or wait until it ends"
        raise ModelgateError(Code.EXPERIMENT_RUNS, what, model=model, experiment=other.id)
    settings = ModelSettings.from_json(state.settings)
    if plan.kind is ExperimentKind.CANARY and settings.protected:
        alone = f"{model!r} is protected, and a canary answers callers though no second person has approved it"
        raise _refused(model, f"{alone}; start a shadow, or ask to promote version {candidate}")
    if plan.kind is ExperimentKind.SHADOW and not settings.logging.share:
        raise _refused(model, unlogged(model))


def _settled(
    repository: RepositoryWriter, model: str, baseline: int, candidate: int, plan: ExperimentPlan
) -> ExperimentPlan:
    """Return the plan with its metric and margin. Raises `ModelgateError` if the versions cannot be compared."""
    before, now = (repository.manifest(model, version) for version in (baseline, candidate))
    changes = signature_changes(before.signature, now.signature)
    # Another estimator may lack a method: those who call it get the current version (`Predictor`).
    if breaking := [*changes.requests, *changes.answers]:
        fix = f"try one that takes and answers what version {baseline} does"
        raise _refused(model, f"callers of version {baseline} cannot use version {candidate}: {some(breaking)}; {fix}")
    if plan.kind is ExperimentKind.SHADOW and now.environment != TODAY:
        where = f"version {candidate} lives in the environment {now.environment}"
        raise _refused(model, f"{where}, and a shadow scores only in today's; start a canary")
    bounds = {name: largest_loss(name, before, now) for name in loss_metrics(before.signature, now.signature)}
    metrics = {name: largest for name, largest in bounds.items() if largest}
    if plan.metric is not None and plan.metric not in metrics:
        fitting = f"its versions have {', '.join(metrics)}" if metrics else _without_loss(now)
        raise _refused(model, f"{plan.metric} does not fit: {fitting}")
    if not metrics and plan.promote and plan.agreement is None:
        nothing = f"nothing could show that version {candidate} is good enough: {_without_loss(now)}"
        other = "ask a shadow for agreement, or send promote: false to watch its limits alone"
        raise _refused(model, f"{nothing}, {other}")
    metric = plan.metric or next(iter(metrics), None)
    largest = metrics.get(metric) if metric else None
    margin = plan.margin
    if margin is None:
        margin = float(f"{MARGIN * largest:.2g}") if largest and metric in OF_NUMBERS else MARGIN
    if largest and margin >= largest:
        what = f"no loss by {metric} is above {largest:g}, and the margin is {margin:g}"
        raise _refused(model, f"{what}; name a smaller one")
    return replace(plan, metric=metric, margin=margin)


def _without_loss(candidate: ModelManifest) -> str:
    """Return why no loss of its answers has a bound, and what to do."""
    if len(candidate.signature.outputs) != 1:
        return "no loss compares answers of several outputs; publish a model with one"
    return "the range of its numbers is not known; publish it with a sample (X=…)"


def described(experiment: Experiment) -> str:
    """Return a few words, such as `shadow of version 5 beside version 4`."""
    return f"{experiment.plan.kind} of version {experiment.candidate} beside version {experiment.baseline}"


def _refused(model: str, why: str) -> ModelgateError:
    return ModelgateError(Code.EXPERIMENT_REFUSED, f"no experiment of {model!r} can begin: {why}", model=model)


def _not_loaded(repository: RepositoryWriter, model: str, candidate: int, error: ModelgateError) -> ModelgateError:
    """Return the error for a candidate that no worker can load, without the words about an alias."""
    reasons: Any = error.failure.details.get("reasons", {})
    reason = next(iter(reasons.values()), no_worker(repository.manifest(model, candidate).environment))
    return version_error(Code.NOT_LOADED, model, candidate, f"cannot be tried, because it cannot be loaded: {reason}")
