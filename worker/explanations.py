"""The explanations of a scorer: one job at a time, in slices between which it scores predictions."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from broker.records.job_kinds import EXPLANATION
from broker.sides.scorer import Batch, BatchLimits, ScorerQueue
from contract.errors import Code, Failure, ModelgateError
from contract.work.explanations import ExplainRequest
from contract.work.jobs import PredictionOutcome
from scoring.explain.rows import explain_rows
from scoring.files.plan import Steps
from worker.batch_scorer import LOAD_TIMEOUT, out_of_memory
from worker.bulk_lane import SLICE, Retrying, SlicedWork
from worker.file_work import Background
from worker.job_ends import End, Observer
from worker.model_cache import ModelCache

_LOOK_EVERY = 0.25
"""Seconds after which it looks for a job although no bell has rung, and whether its own has been cancelled."""
_SHARE = 4
"""How many times as long as a slice has taken predictions come first, if there are any."""


@dataclass
class _Held:
    """A job that this scorer owns. `loaded`: its model is in memory. `taken`: Unix time in ns. `worked`: seconds."""

    batch: Batch
    steps: Steps[PredictionOutcome]
    taken: int
    loaded: bool = False
    worked: float = 0.0


@dataclass
class Explanations(SlicedWork[_Held]):
    """Does one slice at a time.

    `cache` has the models; a job of one that it `awaits` goes back. `begin` gets the id of the job that is
    about to be worked on and the seconds that one step may take, `timeout` or that of a load; `end` is called after
    each slice; `ended` gets the end of each job. A row may take `timeout`, too: the explanations of others wait.
    """

    queue: ScorerQueue
    cache: ModelCache
    background: Background
    awaits: Callable[[str, int], bool]
    timeout: float
    begin: Callable[..., object]
    end: Callable[[], object]
    ended: Observer
    _yields_until: float = field(default=0.0, init=False)

    def step(self, limits: BatchLimits, retrying: Retrying[Any], *, busy: bool) -> bool:
        """Do one slice of a job within the limits of predictions; if predictions keep the scorer `busy`, only if they
        have had their share. Returns False if there was nothing to do. `retrying` is as in `BulkLane.step`."""
        began = time.monotonic()
        if busy and began < self._yields_until:
            return False
        if began >= self._look_at:
            self._look_at = began + _LOOK_EVERY
            self._take(dataclasses.replace(limits, kind=EXPLANATION, jobs=1), retrying)
        if (held := self._held) is None:
            return False
        outcome = self._slice(held)
        ended = time.monotonic()
        self._yields_until = ended + _SHARE * (ended - began)
        if outcome is not None:
            self._finish(held, outcome, retrying)
        return True

    def _take(self, limits: BatchLimits, retrying: Retrying[Any]) -> None:
        """Take a job. One that this scorer owns comes again, unless it was cancelled meanwhile."""
        batch: Batch | None = retrying(lambda: self.queue.take(limits))
        if batch is None or (self._held and self._held.batch.jobs[0].id == batch.jobs[0].id):
            self._held = self._held if batch else None
        elif self.awaits(batch.model, batch.version):
            self._held = None
            retrying(lambda: self.queue.release(batch))
        else:
            self._held = _Held(batch, self._steps(batch), time.time_ns())

    def _steps(self, batch: Batch) -> Steps[PredictionOutcome]:
        model = self.cache.get(batch.model, batch.version)
        yield 0
        (job,), request = batch.jobs, batch.jobs[0].explain or ExplainRequest()
        background, warnings = self.background(model.manifest)
        found = yield from explain_rows(model, job.rows, background, request)
        return PredictionOutcome(found, None, warnings, 0.0, sum(explanation["rows"] for explanation in found))

    def _slice(self, held: _Held) -> PredictionOutcome | Failure | None:
        """Work on a job for a while. Returns its outcome at its end."""
        (job,), began = held.batch.jobs, time.perf_counter()
        try:
            while True:
                self.begin([job.id], *((self.timeout, 0.0) if held.loaded else (LOAD_TIMEOUT,)))
                with self.cache.watching(held.batch.model, held.batch.version):
                    next(held.steps)
                held.loaded = True
                if time.perf_counter() >= began + SLICE:
                    held.worked += time.perf_counter() - began
                    return self._too_long(held)
        except StopIteration as end:
            outcome: PredictionOutcome = end.value
            outcome.predict_ms = round(1000 * (held.worked + time.perf_counter() - began), 3)
            return outcome
        except ModelgateError as error:
            return error.failure
        except MemoryError:
            self.out_of_memory = True
            return out_of_memory(held.batch)
        finally:
            self.end()

    def _too_long(self, held: _Held) -> Failure | None:
        if held.worked <= self.timeout * len(held.batch.jobs[0].rows):
            return None
        message = f"explaining took longer than {self.timeout:g} s for each row (PREDICT_TIMEOUT)"
        return Failure(Code.TIMEOUT, message, {"seconds": self.timeout})

    def _finish(self, held: _Held, outcome: PredictionOutcome | Failure, retrying: Retrying[Any]) -> None:
        self._held, self._look_at, done, (job,) = None, 0.0, time.time_ns(), held.batch.jobs
        canceled = retrying(lambda: self.queue.finish({job.id: outcome}))
        if canceled == []:
            self.ended(End(held.batch, {job.id: outcome}, held.taken, done))
