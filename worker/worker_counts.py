"""What the supervisor of a worker reports for the metrics: loads of its template, and the memory of models."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from broker.link.scripts import Step
from broker.metrics.counts import Counts
from broker.state.load_status import memory_key
from worker.process_pool import ProcessPool

_MEMORY_TTL = 10
"""Seconds after which the memory of a dead worker is forgotten."""


class WorkerCounts:
    """A source of the supervisor's outbox."""

    def __init__(self, pool: ProcessPool, worker: Callable[[], str | None]) -> None:
        """`worker` returns its name, once it has one."""
        self._pool = pool
        self._worker = worker
        self._counts = Counts()

    def steps(self) -> Sequence[Step]:
        for model, seconds, worked in self._pool.take_loads():
            self._counts.add_load(model, seconds, worked=worked)
        steps: list[Step] = [*self._counts.steps()]
        if worker := self._worker():
            shared, private = self._pool.model_bytes()
            steps.append(("SET", memory_key(worker), f"{shared} {private}", "EX", _MEMORY_TTL))
        return steps
