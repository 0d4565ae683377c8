"""Looks at running experiments, and says what they show."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain
from operator import ge, sub
from typing import Any, NamedTuple

from broker.sides.observer import RequestCounts
from broker.state.boards import ExperimentBoard
from contract.errors import ModelgateError
from contract.model.experiments import (
    Decision,
    Experiment,
    ExperimentFindings,
    ExperimentKind,
    largest_loss,
    loss_metrics,
)
from contract.model.repository import Repository
from contract.work.jobs import timestamp, timestamp_now
from observer.experiments.decision import Interval, decide
from observer.experiments.limits import of_canary, of_shadow
from observer.experiments.pairing import Pairs
from observer.experiments.reading import ExperimentRows, Known, Versions
from observer.experiments.shadows import ShadowWatch
from observer.log.states import VersionKey, VersionStates

FOLDER = "experiments"
_POINTS = 40
"""Most points of a course."""
_SHARE = 0.02
"""The part of a processor that looks at one experiment may take: each reads all its rows."""
_FINAL = (Decision.PROMOTE, Decision.ROLL_BACK)

_NO_LOSS = "a loss with a bound above the margin, without which it can only be rolled back"

_Course = list[dict[str, Any]]


class _Remembered(NamedTuple):
    """What is remembered of an `experiment` (its id): its `course`, and the jobs that had ended of both versions
    `before` its `share` was that of now."""

    experiment: str
    share: float
    before: list[int]
    course: _Course


class ExperimentWatch:
    """The experiments that run. Methods raise OSError, `duckdb.Error` and `redis.exceptions.RedisError`."""

    def __init__(
        self,
        board: ExperimentBoard,
        rows: ExperimentRows,
        repository: Repository,
        counts: RequestCounts,
        shadows: ShadowWatch,
        share: float = _SHARE,
    ) -> None:
        """`share`: of a processor, that looks at one experiment may take."""
        self._board = board
        self._rows = rows
        self._repository = repository
        self._counts = counts
        self._shadows = shadows
        self._states = VersionStates(rows.store, FOLDER)
        self._looked: dict[str, tuple[Experiment, int, bool]] = {}
        """The experiments, the number of the last change of the log, and whether requests are logged, at the last
        look."""
        self._share = share
        self._rests_until: dict[str, float] = {}
        """When the next look at the experiment of a model may begin, by the monotonic clock."""

    def look(self) -> None:
        """Say what has changed. A decision stays until the experiment has ended, or the canary has its next share."""
        now = timestamp_now()  # a share that is set while this looks is later than what is found
        names = self._repository.names()  # notices new settings
        experiments = {model: self._repository.settings(model).experiment for model in names}
        running = {model: experiment for model, experiment in experiments.items() if experiment}
        said = self._board.read()
        for model, experiment in running.items():
            last = said.get(model)
            last = last if last and last.experiment == experiment.id else None
            log = experiment, self._rows.store.last.number, self._logs(model)
            rests = time.monotonic() < self._rests_until.get(model, 0)
            if last is None or (last.decision not in _FINAL and self._looked.get(model) != log and not rests):
                began = time.process_time()
                findings, is_all = self._find(model, experiment, now)
                self._rests_until[model] = time.monotonic() + (time.process_time() - began) / self._share
                if findings and (last is None or replace(findings, changed_at=last.changed_at) != last):
                    self._board.say(model, findings)
                if is_all:
                    self._looked[model] = log
        for model in said.keys() - running.keys():
            self._board.say(model, None)
        self._forget_others({(model, experiment.candidate) for model, experiment in running.items()})

    def _find(self, model: str, experiment: Experiment, now: str) -> tuple[ExperimentFindings | None, bool]:
        """Return what there is to say, None while a version cannot be read; and whether that is of all there is."""
        plan, numbers = experiment.plan, (experiment.baseline, experiment.candidate)
        try:
            versions = Versions(*(self._repository.manifest(model, version) for version in numbers))
        except ModelgateError:
            return None, False
        key, ended = (model, experiment.candidate), list(chain(*self._counts.ended(model, numbers)))
        saved = self._states.read(key)
        remembered = _remembered(saved, experiment, ended)
        if plan.kind is ExperimentKind.SHADOW:
            behaviour = of_shadow(experiment, self._shadows.of(key, experiment.id))
        else:
            since = list(map(sub, ended, remembered.before))
            behaviour = of_canary(experiment, self._rows.answered(experiment, versions), since)
        metric, largest = _loss(experiment, versions)
        known = self._rows.known(experiment, versions, metric, largest) if largest else Known()
        verdict = decide(experiment, behaviour, metric, known.pairs)
        remembered = remembered._replace(course=_course(verdict.pairs, plan.level, remembered.course))
        if remembered._asdict() != saved:
            self._states.write(key, remembered._asdict())
        figures = {
            "share": experiment.share,
            "metric": metric,
            "unread": known.unread,
            **behaviour.figures,
            **_figures(verdict.pairs, plan.level),
            "course": remembered.course,
        }
        missing = verdict.missing
        if verdict.decision not in _FINAL:
            if not self._logs(model):
                missing = f"a log: nothing is logged of {model}; modelgate logging {model} --share 1 turns that on"
            elif not largest and plan.agreement is None:
                missing = _NO_LOSS
        findings = ExperimentFindings(experiment.id, verdict.decision, verdict.reason, missing, now, figures)
        return findings, not known.waiting

    def _logs(self, model: str) -> bool:
        """Return whether any requests to a model are logged."""
        return self._repository.settings(model).logging.share > 0

    def _forget_others(self, running: Collection[VersionKey]) -> None:
        """Forget the experiments that have ended; but not while the repository is away."""
        for states in (self._states, self._shadows.states):
            for key in states.versions():
                if key not in running and self._repository.versions(key[0]):
                    states.remove(key)


def _remembered(saved: Any, experiment: Experiment, ended: list[int]) -> _Remembered:
    """Return what is remembered of an experiment. What had ended before is what has `ended` now, if the experiment is
    new, if it has another share, or if that is less, because Redis was restored."""
    known = _Remembered(**saved) if saved and saved["experiment"] == experiment.id else None
    if known and known.share == experiment.share and all(map(ge, ended, known.before)):
        return known
    return _Remembered(experiment.id, experiment.share, ended, known.course if known else [])


def _loss(experiment: Experiment, versions: Versions) -> tuple[str, float | None]:
    """Return the metric and the bound of its loss; None if no such loss decides."""
    fitting = loss_metrics(*(manifest.signature for manifest in versions))
    metric = experiment.plan.metric or next(iter(fitting), "")
    largest = largest_loss(metric, *versions) if metric in fitting else None
    return metric, largest if largest and experiment.margin < largest else None


def _figures(pairs: Pairs | None, level: float) -> dict[str, Any]:
    if pairs is None or not len(pairs):
        return {"outcomes": 0, "pairs": 0, "losses": None, "difference": None}
    losses = {"baseline": float(pairs.baseline.mean()), "candidate": float(pairs.candidate.mean())}
    difference = Interval.of(pairs, level)._asdict()
    return {"outcomes": int(pairs.outcomes[-1]), "pairs": len(pairs), "losses": losses, "difference": difference}


def _course(pairs: Pairs | None, level: float, known: _Course) -> _Course:
    """Return the course of the mean difference, with what is known of it: a point for each power of two of pairs, or a
    multiple of it so that there are at most `_POINTS`, and the last one."""
    total = 0 if pairs is None else len(pairs)
    step = 1
    while total > _POINTS * step:
        step *= 2
    points = {point["pairs"]: point for point in known if point["pairs"] % step == 0}
    for size in [*range(step, total + 1, step), *([total] if total % step else [])]:
        if pairs is not None and size not in points:
            part = pairs.first(size)
            at = timestamp(datetime.fromtimestamp(int(part.received[-1]) / 1e6, UTC))
            interval = Interval.of(part, level)._asdict()
            points[size] = {"pairs": size, "outcomes": int(part.outcomes[-1]), **interval, "at": at}
    return [points[size] for size in sorted(points) if size <= total]
