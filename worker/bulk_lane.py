"""The bulk lane of a scorer: tasks of files, in slices between which it looks for single predictions."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from broker.sides.file_tasks import FileTask, FileTasks, Stage
from contract.errors import Code, Failure
from scoring.files.plan import Steps
from storage.disk import StoreError
from worker.batch_scorer import LOAD_TIMEOUT
from worker.file_work import FileWork, Result, failure_of
from worker.job_ends import End, Observer

log = logging.getLogger("worker")

SLICE = 0.01
"""Seconds of work after which a scorer looks for predictions; a single step may take longer."""

_LOOK_EVERY = 1.0
"""Seconds after which it looks for a task although no bell has rung."""

_STORE_PAUSE = 2.0
"""Seconds for which it takes no task after the object store has not answered."""

_LOG_PAUSE = 2.0
"""Seconds after which the end of a task is tried again that waits for the prediction log."""

_REPORT_EVERY = 1.0
"""Seconds between two reports of a task, which also say whether its file has ended."""

T = TypeVar("T")
Retrying = Callable[[Callable[[], T]], T | None]


@dataclass
class SlicedWork(Generic[T]):
    """What a scorer does in slices, between which it looks for predictions."""

    out_of_memory: bool = field(default=False, init=False)
    """Whether memory ran out: this process is no longer reliable and has to end."""
    _held: T | None = field(default=None, init=False)
    _look_at: float = field(default=0.0, init=False)

    def rang(self) -> None:
        """Look for work the next time."""
        self._look_at = 0.0

    @property
    def in_hand(self) -> bool:
        """Whether it owns a task or job."""
        return self._held is not None

    @property
    def due(self) -> bool:
        """Whether there may be something to do."""
        return self.in_hand or time.monotonic() >= self._look_at


@dataclass
class _Held:
    """A task that this scorer owns. `done` of its rows are scored. `loaded`: the model is in memory. `located`: it is
    reported which rows the task scores. `taken` and `ended`: Unix times in ns. `outcome`: that of a task that
    has ended; its end may wait for the prediction log, and is not sent before `send_at`."""

    task: FileTask
    steps: Steps[Result]
    taken: int
    done: int = 0
    loaded: bool = False
    located: bool = False
    reported: float = field(default_factory=time.monotonic)
    outcome: Result | Failure | None = None
    ended: int = 0
    send_at: float = 0.0


@dataclass
class BulkLane(SlicedWork[_Held]):
    """Does one slice at a time.

    It takes tasks of `models` (None: all), but for those in `skip()` and of versions that it `awaits`. `begin` gets the
    id of the task that is about to be worked on and the seconds that one step may take, `timeout` or that of a load;
    `end` is called after each slice; `predicted` gets model, version, rows and seconds of each call of a model; `ended`
    gets the end of each task.
    """

    tasks: FileTasks
    work: FileWork
    models: Collection[str] | None
    skip: Callable[[], Collection[str]]
    awaits: Callable[[str, int], bool]
    timeout: float
    begin: Callable[..., object]
    end: Callable[[], object]
    predicted: Callable[[str, int, int, float], object]
    ended: Observer

    def step(self, retrying: Retrying[object]) -> bool:
        """Do one slice. Returns False if there is nothing to do now. `retrying` repeats what it gets until Redis
        answers, and returns None if the scorer is stopped meanwhile."""
        held = self._held or self._take(retrying)
        if held is None:
            return False
        if held.outcome is not None:
            return time.monotonic() >= held.send_at and self._finish(held, held.outcome, retrying)
        request = held.task.file_request
        if request.model in self.skip() or (not held.loaded and self.awaits(request.model, request.version)):
            self._release(held, retrying)
            return True
        due = time.monotonic() - held.reported > _REPORT_EVERY or self._unlocated(held)
        if (due or held.task.deaths) and not self._report(held, retrying):
            return True
        try:
            outcome = self._slice(held)
        except StoreError as error:
            log.warning("the file %s waits, because the object store does not answer: %s", held.task.file, error)
            self._release(held, retrying)
            self._look_at = time.monotonic() + _STORE_PAUSE
            return True
        if outcome is None:
            return True
        held.outcome, held.ended = outcome, time.time_ns()
        return self._finish(held, outcome, retrying)

    def _unlocated(self, held: _Held) -> bool:
        """Whether it is known and not yet reported which rows the task scores. If they kill this scorer, or keep it too
        long, the failure names them."""
        return bool(self.work.rows) and not held.located

    def _release(self, held: _Held, retrying: Retrying[object]) -> None:
        """Return a task to its queue, for another scorer or for later."""
        self._held = None
        retrying(lambda: self.tasks.release(held.task))

    def _finish(self, held: _Held, outcome: Result | Failure, retrying: Retrying[object]) -> bool:
        """End a task. Returns False if its end has to wait for the prediction log."""
        written = retrying(lambda: self.tasks.finish(held.task, outcome, self.work.records))
        if written is False:
            held.send_at = time.monotonic() + _LOG_PAUSE
            return False
        self._held = None
        if written:
            self.ended(End(held.task, {held.task.id: outcome}, held.taken, held.ended))
        return True

    def _take(self, retrying: Retrying[object]) -> _Held | None:
        if not self.due:
            return None
        task = self.work.possible and retrying(lambda: self.tasks.take(self.models, self.skip()))
        if not isinstance(task, FileTask):
            self._look_at = time.monotonic() + _LOOK_EVERY
            return None
        self._held = _Held(task, self.work.steps(task), time.time_ns())
        return self._held

    def _report(self, held: _Held, retrying: Retrying[object]) -> bool:
        """Report a task; returns False, and drops it, if its file has ended."""
        held.reported, rows = time.monotonic(), self.work.rows
        held.located = bool(rows)
        following = rows[min(held.done, max(0, len(rows) - 1)) :]
        if retrying(lambda: self.tasks.report(held.task, held.done, following)) is not False:
            return True
        held.steps.close()
        self._held = None
        return False

    def _slice(self, held: _Held) -> Result | Failure | None:
        """Work on a task for a while. Returns its outcome at its end. Raises `StoreError`."""
        task, until = held.task, time.perf_counter() + SLICE
        try:
            while True:
                self.begin([task.id], *((self.timeout, 0.0) if held.loaded else (LOAD_TIMEOUT,)))
                before = time.perf_counter()
                with self.work.cache.watching(task.file_request.model, task.file_request.version):
                    rows = next(held.steps)
                now = time.perf_counter()
                held.loaded = True
                held.done += rows
                if rows and task.file_request.explain is None:
                    self.predicted(task.file_request.model, task.file_request.version, rows, now - before)
                if now >= until or task.deaths or self._unlocated(held):
                    return None
        except StopIteration as end:
            outcome: Result = end.value
            return outcome
        except MemoryError:
            self.out_of_memory = True
            return _out_of_memory(held.task, self.work.rows)
        except StoreError:
            raise
        except Exception as error:
            return failure_of(error)
        finally:
            self.end()


def _out_of_memory(task: FileTask, rows: range) -> Failure:
    at = ""
    if rows:
        at = f"rows {rows[0]} to {rows[-1]}: "
    elif task.stage is Stage.PLAN:
        at = "while the file was planned with its first rows (4096 at most): "
    return Failure(
        Code.OUT_OF_MEMORY,
        f"{at}this takes more memory than a scorer may have; raise SCORER_MEMORY_MB",
        {"model": task.file_request.model, "version": task.file_request.version},
    )
