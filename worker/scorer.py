"""The scorer: takes batches of jobs from Redis, scores them and writes their outcomes."""

from __future__ import annotations

import dataclasses
import functools
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from redis.exceptions import RedisError

from broker.link.connection import connect
from broker.link.outbox import Outbox
from broker.link.scripts import FencedError
from broker.metrics.counts import Counts
from broker.metrics.table import PREDICT_SECONDS, UNUSUAL
from broker.sides.file_tasks import FileTasks
from broker.sides.scorer import Batch, BatchLimits, ScorerQueue
from contract.model.environments import TODAY
from contract.model.manifest import ModelManifest
from contract.model.repository import Repository
from contract.row import Row
from contract.rows.background import background_of
from contract.settings import Settings
from runtime.environments import environment_here
from runtime.logs import report_left_out
from runtime.outages import Outages
from runtime.tracing import start_tracing
from scoring.pace import Pace
from storage.spool.places import spool_of
from worker.activity import ActivityTable
from worker.awaited import AwaitedVersions
from worker.batch_scorer import BatchScorer
from worker.bulk_lane import BulkLane
from worker.explanations import Explanations
from worker.file_work import FileWork
from worker.forked import prepare, room_for_own_models, stop_on_sigterm
from worker.job_ends import End, EndObservers, JobSpans, Observer, log_end
from worker.model_cache import Model, ModelCache, ModelLoader, Version
from worker.model_reports import ModelAffinity, ModelUse, SlowModels

log = logging.getLogger("worker")

MAX_JOBS = 128
"""The most jobs of a batch. Redis is blocked while it moves them, for about 15 µs each."""

T = TypeVar("T")


class _Stopped(Exception):
    """The scorer was stopped while it waited for work."""


@dataclass
class Scorer:
    """Processes one batch after the other, of versions that live in `environment`.

    It takes jobs of `models` (None: all), without the models that `skip` returns, and leaves those in `homes()` to
    other scorers (`BatchLimits`). A batch of a version that it `awaits` goes back. `ended` gets the end of each batch;
    `tidy` is called between batches. Unless it scores, it calls `beat` at least every few seconds. Once a model has
    changed its process, it takes only jobs of that model, and ends when none waits, or after a second.
    """

    queue: ScorerQueue
    batch_scorer: BatchScorer
    explanations: Explanations
    lane: BulkLane
    pace: Pace
    models: Collection[str] | None
    skip: Callable[[], frozenset[str]]
    homes: Callable[[], Mapping[str, str]]
    awaits: Callable[[str, int], bool]
    ended: Observer
    tidy: Callable[[], object]
    beat: Callable[[], None]
    environment: str = TODAY

    def __post_init__(self) -> None:
        self._limits = BatchLimits(rows=1, jobs=MAX_JOBS, models=self.models, environment=self.environment)
        self._limits_key: object = None
        self._apart = self.batch_scorer.cache.apart
        self._outages = Outages("a scorer", log)
        self._stopping = False
        self._waiting = False
        self._more_waits = True
        self._idle_work: list[Callable[[], bool]] = [
            lambda: (self.lane.in_hand or not self._apart.version) and self.lane.step(self._retrying),
            lambda: self.explanations.step(self._limits_now(), self._retrying, busy=False),
        ]

    def stop(self) -> None:
        """Finish the current batch and take no more. For a signal handler: interrupts the wait for work."""
        self._stopping = True
        if self._waiting:
            self._waiting = False  # a second signal is not to interrupt the last batch
            raise _Stopped

    def run(self) -> None:
        """Process batches until it is stopped or memory runs out. Raises `FencedError` if its lease is gone."""
        with suppress(_Stopped):
            while not (self._stopping or self._out_of_memory or self._has_to_end(self._apart.over)):
                busy = self._more_waits or self.lane.due or self.explanations.due
                if not (busy and self.step()):
                    if self._has_to_end(self._apart.version is not None):
                        break
                    self._wait()
        handed = functools.partial(self.queue.take, self._limits, owned=True)
        if self._stopping and (batch := self._retrying(handed, even_when_stopping=True)):
            self._process(batch)

    @property
    def _out_of_memory(self) -> bool:
        return self.batch_scorer.out_of_memory or self.explanations.out_of_memory or self.lane.out_of_memory

    def _has_to_end(self, soon: bool) -> bool:
        """Return whether this process, which has been changed, has to end as `soon` as nothing is in its hands."""
        return soon and not (self.lane.in_hand or self.explanations.in_hand)

    def step(self) -> bool:
        """Process one batch, and perhaps a slice of an explanation; without a batch a slice of an explanation or of a
        file, in turns. Return False if there was nothing."""
        if batch := self._retrying(lambda: self.queue.take(self._limits_now())):
            self._process(batch)
            return True
        self._more_waits = False
        self.tidy()
        self._idle_work.reverse()
        return any(work() for work in self._idle_work)

    def _wait(self) -> None:
        """Wait for work, and process the batch if that is one."""
        self._waiting = True
        woken = self._retrying(lambda: self.queue.wait_for_work(self._limits_now()))
        self._waiting = False
        if woken and woken.other:
            self.explanations.rang()
            self.lane.rang()
        if woken and woken.batch:
            self._process(woken.batch)

    def _process(self, batch: Batch) -> None:
        if self.awaits(batch.model, batch.version):
            self._retrying(functools.partial(self.queue.release, batch), even_when_stopping=True)
        else:
            taken = time.time_ns()
            outcomes = self.batch_scorer.score(batch)
            done = time.time_ns()
            records = self.batch_scorer.records(batch, outcomes)
            finish = functools.partial(self.queue.finish, outcomes, f"{batch.model}@{batch.version}", records)
            canceled = self._retrying(finish, even_when_stopping=True)
            for job_id in canceled or ():
                del outcomes[job_id]
            self.ended(End(batch, outcomes, taken, done))
        self._more_waits = batch.left != "empty"
        self.tidy()
        self.explanations.step(self._limits_now(), self._retrying, busy=True)

    def _limits_now(self) -> BatchLimits:
        now = (self.pace.revision, self.skip(), self.homes(), version := self._apart.version)
        if now != self._limits_key:
            self._limits_key = now
            rows, models = dict(self.pace.rows), [version[0]] if version else self.models
            self._limits = dataclasses.replace(self._limits, model_rows=rows, skip=now[1], homes=now[2], models=models)
        return self._limits

    def _retrying(self, call: Callable[[], T], *, even_when_stopping: bool = False) -> T | None:
        """Return the result of `call`, repeated until Redis answers; None if the scorer is stopped meanwhile."""
        while even_when_stopping or not self._stopping:
            self.beat()
            report_left_out()
            try:
                result = call()
            except RedisError as error:
                time.sleep(self._outages.failed(error))
            else:
                self._outages.worked()
                return result
        return None


def run_scorer(
    slot: int,
    inc: str,
    activities: ActivityTable,
    loader: ModelLoader,
    shared: Mapping[Version, Model],
    repository: Repository,
    settings: Settings,
) -> None:
    """Be a scorer, in a process that the template has forked with the models in `shared`, until it is stopped."""
    prepare(settings, oom_score=500)  # without the template all scorers would have to load their models anew
    pace, models = Pace(settings.batch_ms), frozenset(settings.worker_models) or None
    slow_models = SlowModels(activities, slot, pace, lambda: settings.worker_models or repository.names())
    affinity = ModelAffinity(activities, slot, len(activities.scorers), inc)
    use = ModelUse(activities, slot)
    counts = Counts()
    loader.loaded = lambda load: counts.add_load(load.model, load.seconds, worked=load.worked)
    cache = ModelCache(loader, lambda: room_for_own_models(settings, activities), shared, affinity.elsewhere)

    def count(end: End) -> None:
        if isinstance(batch := end.work, Batch):
            use.record(batch.model, len(batch.jobs))
            rows, seconds = sum(len(job.rows) for job in batch.jobs), time.perf_counter() - batch.taken_at
            counts.add_rows(batch.model, batch.version, rows)
            counts.add_batch(rows, batch.left, seconds)

    def tidy() -> None:
        cache.tidy()
        affinity.tell(cache)

    def warned(model: str, count: int) -> bool:
        counts.add(UNUSUAL, (model,), count)
        repository.aliases(model)
        return repository.settings(model).warn_unusual

    begin, end = functools.partial(activities.begin, slot), functools.partial(activities.end, slot)
    predict_seconds, timeout = functools.partial(counts.observe, PREDICT_SECONDS), settings.predict_timeout
    batch_scorer = BatchScorer(cache, pace, timeout, begin, end, predict_seconds, warned)
    connection = connect(settings.redis_url, own=True, check=False)
    outbox = Outbox(connection)
    outbox.add_source(counts.steps)
    queue = ScorerQueue(connection, inc, outbox)

    def predicted(model: str, version: int, rows: int, seconds: float) -> None:
        pace.record(model, version, rows, seconds * 1000)
        counts.add_rows(model, version, rows)
        predict_seconds(seconds)

    tracer = start_tracing("worker", settings)
    observers: list[Observer] = [log_end, *([JobSpans(tracer).record] if tracer else [])]
    explained, ended = EndObservers(observers).ended, EndObservers([*observers, count]).ended
    awaited = AwaitedVersions(repository, mirrored=bool(settings.models_url))

    def background(manifest: ModelManifest) -> tuple[Sequence[Row], Sequence[str]]:
        return background_of(repository.files(manifest.name, manifest.version), manifest)

    def skip() -> frozenset[str]:
        return slow_models.skipped() | awaited.models()

    homes, awaits = functools.partial(affinity.find, cache), awaited.awaits
    beat, environment = functools.partial(activities.beat, slot), environment_here()
    explanations = Explanations(
        ScorerQueue(connection, inc, outbox), cache, background, awaits, timeout, begin, end, explained
    )
    tasks = FileTasks(connection, inc, outbox, environment)
    work = FileWork(spool_of(settings), inc, cache, background)
    lane = BulkLane(
        tasks, work, models, lambda: {*skip(), *homes()}, awaits, timeout, begin, end, predicted=predicted, ended=ended
    )
    scorer = Scorer(
        queue, batch_scorer, explanations, lane, pace, models, skip, homes, awaits, ended, tidy, beat, environment
    )
    stop_on_sigterm(scorer.stop)
    try:
        scorer.run()
        activities.set_leaving(slot, cache.apart.why_it_ends)
    except FencedError as error:
        log.warning("a scorer ends: %s", error)
    finally:
        with suppress(RedisError):
            outbox.flush()
        if tracer:
            tracer.shutdown()
