"""Scores a batch of jobs with one call of each method; a job that makes the model raise fails alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from operator import attrgetter

from modelgate_kernels.threads import ROWS_A_THREAD, use_threads

from broker.sides.scorer import Batch, BatchJob
from contract.errors import Code, Failure, ModelgateError
from contract.row import Row
from contract.work.jobs import PredictionOutcome
from contract.work.prediction_log import LogRecord
from runtime.limits import processors
from scoring.pace import Pace
from scoring.predict import Prediction, join, predict_each
from worker.log_records import records_of
from worker.model_cache import Model, ModelCache

LOAD_TIMEOUT = 300.0
"""Seconds that loading a model may take."""

BATCHES_PER_PIECE = 20
"""A job with more rows than so many batches is scored in pieces of that size."""

THREADS = min(4, processors())
"""The most threads that score one job; others may have the processors, too."""

Outcomes = dict[str, PredictionOutcome | Failure]


@dataclass
class BatchScorer:
    """Scores batches with the models of a cache.

    `begin` gets the ids of the jobs that are about to be scored, the seconds that this may take, and those that it
    usually takes unless a model is loaded; `end` is called when nothing is being scored. `timeout` is that of one
    `predict`, in seconds; `predicted` gets the seconds that each took. `warned` gets a model and the number of its
    inputs with unusual values in a job, and returns whether the job says so.
    """

    cache: ModelCache
    pace: Pace
    timeout: float
    begin: Callable[..., object]
    end: Callable[[], object]
    predicted: Callable[[float], object] = lambda _: None
    warned: Callable[[str, int], bool] = lambda _model, _count: True
    out_of_memory: bool = field(default=False, init=False)
    """Whether memory ran out: this process is no longer reliable and has to end."""

    def score(self, batch: Batch) -> Outcomes:
        """Return the outcomes of the batch's jobs by id; when memory runs out, only those of finished jobs.

        Then a job that was alone in its batch fails. Others get no outcome: they go back to their queue and come again
        one by one. `end` is not called, so the activity still names the jobs that were being scored.
        """
        outcomes: Outcomes = {}
        waiting = [_by_method(batch.jobs)]
        try:
            self.begin([job.id for job in batch.jobs], LOAD_TIMEOUT)
            model = self.cache.get(batch.model, batch.version)
            while waiting:
                jobs = self._next_jobs(waiting, batch, alone=model.manifest.artifact.alone)
                try:
                    outcomes.update(self._predict(model, jobs))
                except ModelgateError as error:
                    if len(jobs) == 1:
                        outcomes[jobs[0].id] = error.failure
                    else:
                        middle = len(jobs) // 2
                        waiting += [jobs[middle:], jobs[:middle]]
        except ModelgateError as error:
            outcomes = {job.id: error.failure for job in batch.jobs}
        except MemoryError:
            self.out_of_memory = True
            if len(batch.jobs) == 1:
                outcomes[batch.jobs[0].id] = out_of_memory(batch)
            return outcomes
        self.end()
        return outcomes

    def records(self, batch: Batch, outcomes: Outcomes) -> list[LogRecord]:
        """Return what the prediction log gets of a batch that was scored."""
        if all(job.logged is None for job in batch.jobs):
            return []
        with suppress(ModelgateError):  # it was not loaded, so there are no answers
            return records_of(batch, outcomes, self.cache.get(batch.model, batch.version).manifest.signature)
        return []

    def _next_jobs(self, waiting: list[list[BatchJob]], batch: Batch, *, alone: bool) -> list[BatchJob]:
        """Take the next jobs off `waiting`: of one method, as many as one call may score, and at least one."""
        jobs = waiting.pop()
        rows, most = 0, 0 if alone else self.pace.limit(batch.model, batch.version)
        for count, job in enumerate(jobs):
            rows += len(job.rows)
            if count and (rows > most or job.method != jobs[0].method):
                waiting.append(jobs[count:])
                return jobs[:count]
        return jobs

    def _predict(self, model: Model, jobs: Sequence[BatchJob]) -> Outcomes:
        if len(jobs) == 1:
            return {jobs[0].id: self._predict_one(model, jobs[0])}
        predictions, ms = self._timed(model, jobs, [job.rows for job in jobs])
        rows = sum(len(job.rows) for job in jobs)
        return {
            job.id: answer if isinstance(answer, Failure) else self._outcome(model, job, answer, ms, rows)
            for job, answer in zip(jobs, predictions, strict=True)
        }

    def _predict_one(self, model: Model, job: BatchJob) -> PredictionOutcome | Failure:
        """Score one job, in pieces if it is large, unless its rows belong together. Pieces of many rows take all
        processors."""
        parts: list[Prediction] = []
        total, done = 0.0, 0
        while not parts or done < len(job.rows):
            limit = self.pace.limit(model.manifest.name, model.manifest.version)
            size = len(job.rows) if model.manifest.artifact.alone else BATCHES_PER_PIECE * limit
            with use_threads(THREADS):
                (answer,), ms = self._timed(model, [job], [job.rows[done : done + size]])
            if isinstance(answer, Failure):
                return answer
            parts.append(answer)
            total += ms
            done += size
        return self._outcome(model, job, join(parts), total, len(job.rows))

    def _outcome(self, model: Model, job: BatchJob, answer: Prediction, ms: float, rows: int) -> PredictionOutcome:
        warnings = answer.warnings
        if (unusual := model.unusual.find(job.rows)) and self.warned(model.manifest.name, len(unusual)):
            warnings = [*warnings, *unusual]
        return PredictionOutcome(
            predictions=answer.values,
            probabilities=answer.probabilities,
            warnings=warnings,
            predict_ms=round(ms, 3),
            batch_rows=rows,
            scores=answer.scores,
        )

    def _timed(
        self, model: Model, jobs: Sequence[BatchJob], parts: Sequence[Sequence[Row]]
    ) -> tuple[list[Prediction | Failure], float]:
        """Score these parts of jobs of one method; return the answers and the ms that they took."""
        name, version, rows = model.manifest.name, model.manifest.version, sum(map(len, parts))
        self.begin([job.id for job in jobs], self.timeout, self.pace.usual(name, version, rows))
        began = time.perf_counter()
        with self.cache.watching(name, version):
            answers = predict_each(model.estimator, model.manifest, parts, jobs[0].method, model.kernel)
        took = time.perf_counter() - began
        self.predicted(took)
        ms = took * 1000
        if model.manifest.artifact.alone:
            self.pace.record(name, version, 1, ms)  # what each job of a batch adds to it
        elif rows < 2 * ROWS_A_THREAD:  # threads would make rows look quicker than they are in a batch
            self.pace.record(name, version, rows, ms)
        return answers, ms


def _by_method(jobs: Sequence[BatchJob]) -> list[BatchJob]:
    """Return the jobs with those of one method together, else in their order."""
    return sorted(jobs, key=attrgetter("method"))


def out_of_memory(batch: Batch) -> Failure:
    """Return the failure of the only job of a batch."""
    return Failure(
        Code.OUT_OF_MEMORY,
        f"scoring this job alone with version {batch.version} of the model {batch.model!r} takes more memory than a"
        " scorer may have; send fewer rows, or raise SCORER_MEMORY_MB",
        {"model": batch.model, "version": batch.version},
    )
