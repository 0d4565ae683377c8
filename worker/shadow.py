"""The shadow scorer: has candidates of experiments score what current versions have answered, in processor time that
nobody else wants."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from redis.exceptions import RedisError

from broker.link.connection import connect
from broker.records.lease_groups import worker_of
from broker.sides.shadow import ShadowQueue
from contract.model.experiments import Experiment
from contract.model.repository import Repository
from contract.settings import Settings
from runtime.limits import take_idle_time_only
from runtime.outages import Outages
from scoring.pace import Pace
from worker.activity import ActivityTable
from worker.forked import prepare, room_for_own_models, stop_on_sigterm
from worker.model_cache import Model, ModelCache, ModelLoader, Version
from worker.shadow_scoring import ShadowScoring
from worker.spare_time import SpareTime

log = logging.getLogger("worker")

_LOOK_EVERY = 0.2
"""Seconds between two looks for entries while there are none, or others need the processors. Nobody waits for them, so
no bell rings."""

_REVIEW_EVERY = 1.0
"""Seconds between two looks for experiments that have begun or ended."""


@dataclass
class ShadowScorer:
    """Scores one entry after the other. `find` returns the experiments by id; those that have used less processor time
    lately go first. `end` is called when nothing is being scored."""

    queue: ShadowQueue
    scoring: ShadowScoring
    find: Callable[[], Mapping[str, Experiment]]
    end: Callable[[], object]
    _experiments: Mapping[str, Experiment] = field(default_factory=dict, init=False)
    _used: dict[str, float] = field(default_factory=dict, init=False)
    """Seconds of processor time of each experiment, half of which are forgotten with each look for experiments."""
    _found: float = field(default=-_REVIEW_EVERY, init=False)

    def step(self) -> bool:
        """Score an entry; return False if there was none. Raises `RedisError`; then it comes again unless it has ended.
        Raises `MemoryError`: then this process is no longer reliable and has to end."""
        self._find_experiments()
        entry = self.queue.take(sorted(self._used, key=self._used.__getitem__)) if self._used else None
        if entry is None:
            return False
        began, experiment = time.process_time(), self._experiments[entry.experiment]
        record = self.scoring.score(entry, experiment)
        self._used[experiment.id] += time.process_time() - began
        self.end()
        self.queue.end(entry, experiment.candidate, record)
        return True

    def _find_experiments(self) -> None:
        if time.monotonic() - self._found >= _REVIEW_EVERY:
            self._found = time.monotonic()
            self._experiments = self.find()
            self._used = {experiment: self._used.get(experiment, 0.0) / 2 for experiment in self._experiments}


def run_shadow(
    slot: int,
    inc: str,
    activities: ActivityTable,
    loader: ModelLoader,
    shared: Mapping[Version, Model],
    repository: Repository,
    settings: Settings,
) -> None:
    """Be the shadow scorer, in a process that the template has forked with the models in `shared`, until it is
    stopped."""
    take_idle_time_only()
    prepare(settings, oom_score=800)
    cache = ModelCache(loader, lambda: room_for_own_models(settings, activities), shared)
    stopped = False

    def begin(version: str, seconds: float) -> None:
        activities.begin(slot, [version], seconds)
        # The supervisor ends what sleeps for too long. What computes may have to wait for its processor time.
        signal.setitimer(signal.ITIMER_PROF, seconds)

    def end() -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        activities.end(slot)

    def find() -> Mapping[str, Experiment]:
        return loader.shadows(
            [name for name in settings.worker_models or repository.names() if repository.aliases(name)]
        )

    def stop() -> None:
        nonlocal stopped
        stopped = True

    stop_on_sigterm(stop)
    queue = ShadowQueue(connect(settings.redis_url, own=True, check=False), worker_of(inc))
    pace = Pace(settings.batch_ms)
    scoring = ShadowScoring(repository, cache, pace, settings.predict_timeout, begin, loader.lives_here)
    scorer = ShadowScorer(queue, scoring, find, end)
    outages, spare = Outages("the shadow scorer", log), SpareTime()
    while not stopped:
        activities.beat(slot)
        try:
            pause = 0.0 if scorer.step() and spare.there_is else _LOOK_EVERY
            outages.worked()
        except RedisError as error:
            pause = outages.failed(error)
        cache.tidy()
        activities.set_held(slot, (), cache.size)
        time.sleep(pause)
