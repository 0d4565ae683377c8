"""What a task of a file does, as steps: plan it, score one of its chunks, assemble their parts.

Each file is written under a name of its own and renamed into place once it is on disk. So a task that runs again, after
a scorer has died or Redis has lost its end, writes the same file again.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from broker.sides.file_tasks import FileTask, Stage
from contract.errors import Code, Failure, InvalidInstances, ModelgateError
from contract.files import read_regular
from contract.model.manifest import ModelManifest
from contract.row import Row
from contract.work.prediction_log import LogRecord
from scoring.files.codec import join_lines
from scoring.files.plan import FilePlan, NotReadable, Steps
from scoring.files.stages import CODECS, Part, plan, score
from storage.spool.names import FileFolder
from storage.spool.store import Spool
from worker.log_records import records_of_chunk
from worker.model_cache import Model, ModelCache

_MOST_ERRORS = 100
"""Errors that the failure of a job lists."""

_GROWTH = 20
"""How many times the upload the answers may take while their parts claim room one by one."""

T = TypeVar("T")
Result = Mapping[str, object]
Background = Callable[[ModelManifest], tuple[Sequence[Row], Sequence[str]]]
"""Returns the background of a version, and warnings about it (`contract.rows.background`)."""

_PAUSE = 0.01
"""Seconds that a step waits for the disk."""


@dataclass
class FileWork:
    """Does tasks. All that is written claims room in `spool`. `scorer` is a name that no other process has. `cache`
    has the models; `background` what its answers are explained against, and warnings about that."""

    spool: Spool
    scorer: str
    cache: ModelCache
    background: Background
    rows: range = range(0)
    """The rows of the file that the current task scores, once they are known."""
    records: Sequence[LogRecord] = ()
    """What the prediction log gets of the current task, once it is done."""

    @property
    def possible(self) -> bool:
        """Whether this worker has a SPOOL_DIR."""
        return self.spool.folder.is_dir()

    def steps(self, task: FileTask) -> Steps[Result]:
        """Do a task; yields the rows of each call of the model, and 0 after other steps. Returns the outcome of the
        task. Raises what `failure_of` takes, `StoreError` and `MemoryError`."""
        self.rows, self.records = range(0), ()
        return self._steps(task, self.spool.job(task.file))

    def _steps(self, task: FileTask, folder: FileFolder) -> Steps[Result]:
        if task.stage is Stage.ASSEMBLE:
            return (yield from self._assemble(folder))
        model = self.cache.get(task.file_request.model, task.file_request.version)
        yield 0
        if task.stage is Stage.PLAN:
            return (yield from self._plan(task, folder, model))
        return (yield from self._score(task, folder, model))

    def _plan(self, task: FileTask, folder: FileFolder, model: Model) -> Steps[Result]:
        request = task.file_request
        if folder.plan.name in (yield from _waiting(folder.names)):  # another one might give other bytes
            file_plan = yield from _plan_of(folder)
        else:
            file = yield from _waiting(lambda: folder.fetch(folder.input))
            steps = plan(file, request.input, request.output, model, method=request.method, escape=request.escape)
            file_plan = yield from _without_rows(steps)
            if request.explain is not None:
                warnings = [*file_plan.warnings, *self.background(model.manifest)[1]]
                file_plan = dataclasses.replace(file_plan, warnings=warnings)
            written = folder.draft(folder.plan, self.scorer)
            written.write_text(json.dumps(file_plan.to_json()))
            yield from self._keep(folder, {written: folder.plan})
        return {"tasks": len(file_plan.chunks), "rows": file_plan.rows}

    def _score(self, task: FileTask, folder: FileFolder, model: Model) -> Steps[Result]:
        request, file_plan = task.file_request, (yield from _plan_of(folder))
        chunk = file_plan.chunks[task.number]
        self.rows = range(chunk.first_row, chunk.first_row + chunk.rows)
        yield 0
        file = yield from _waiting(lambda: folder.fetch(folder.input))
        part, errors = folder.part(task.number), folder.errors_part(task.number)
        written = Part(folder.draft(part, self.scorer), folder.draft(errors, self.scorer))
        scored = yield from score(
            model,
            file,
            file_plan,
            chunk,
            written,
            method=request.method,
            lenient=request.lenient,
            explaining=(request.explain, self.background(model.manifest)[0]) if request.explain else None,
        )
        files = {written.errors: errors} if written.errors.exists() else {}
        yield from self._keep(folder, files | {written.output: part}, task.number, len(file_plan.chunks))
        if task.logged is not None:
            signature, warnings = model.manifest.signature, file_plan.warnings
            self.records = yield from records_of_chunk(task, task.logged, scored, self.rows[0], signature, warnings)
        return {"rows": scored.rows, "refused": scored.refused, "nulls": scored.nulls}

    def _assemble(self, folder: FileFolder) -> Steps[Result]:
        file_plan = yield from _plan_of(folder)
        there = yield from _waiting(folder.names)
        numbers = range(len(file_plan.chunks))
        parts = [folder.part(number) for number in numbers]
        errors_parts = [path for path in map(folder.errors_part, numbers) if path.name in there]
        for path in (*parts, *errors_parts):
            yield from _waiting(functools.partial(folder.fetch, path))
        yield from self._claim_output(folder, [*parts, *errors_parts])
        errors, output = (folder.draft(final, self.scorer) for final in (folder.errors, folder.output))
        yield from _without_rows(join_lines(errors_parts, errors))
        yield from _keep(folder, errors, folder.errors)
        yield from _without_rows(CODECS[file_plan.output].join(file_plan, parts, output))
        yield from _keep(folder, output, folder.output)
        return {"rows": file_plan.rows, "warnings": list(file_plan.warnings)}

    def _claim_output(self, folder: FileFolder, parts: Sequence[Path]) -> Steps[None]:
        """Claim as much for the output and the errors as their parts take."""
        size = 0
        for path in parts:
            size += path.stat().st_size
            yield 0
        yield from _waiting(lambda: self.spool.room.claim(folder, size, beyond=size))

    def _keep(self, folder: FileFolder, files: Mapping[Path, Path], number: int = 0, parts: int = 1) -> Steps[None]:
        """Claim the room of files, the `number`th of so many `parts`, and give them their final names.

        If all parts like this one were much more than the upload, claim the room of all, and of the output that they
        become: a file that does not fit fails now, and not once it has filled the share of its owner.
        """
        there = yield from _waiting(folder.names)
        # A task that was done before has claimed what is there.
        size = sum(written.stat().st_size for written, final in files.items() if final.name not in there)
        beyond, whole = None, size * parts
        if whole > _GROWTH * folder.input.stat().st_size:
            beyond = size * number
            size = 2 * whole - beyond
        try:
            if size:
                yield from _waiting(lambda: self.spool.room.claim(folder, size, beyond))
        except ModelgateError:
            for written in files:
                written.unlink()
            raise
        for written, final in files.items():
            yield from _keep(folder, written, final)


def failure_of(error: Exception) -> Failure:
    """Return why a file prediction has failed with one of the errors of its steps."""
    if isinstance(error, ModelgateError):
        return error.failure
    if isinstance(error, InvalidInstances):
        shown = [field_error.to_json() for field_error in error.errors[:_MOST_ERRORS]]
        message = f"{error.total} values of the file cannot be used; the first: {error.errors[0].message}"
        return Failure(Code.INVALID_INSTANCES, message, {"errors": shown, "total": error.total})
    if isinstance(error, NotReadable):
        return Failure(Code.INVALID_FILE, str(error))
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return Failure(
        Code.SPOOL_FAILED,
        f"a worker cannot read or write the files of this job in SPOOL_DIR ({reason}); it needs the folder of the"
        " gateway, with room for the output",
    )


def _plan_of(folder: FileFolder) -> Steps[FilePlan]:
    return _plan_at((yield from _waiting(lambda: folder.fetch(folder.plan))))


@functools.lru_cache(4)
def _plan_at(path: Path) -> FilePlan:
    return FilePlan.from_json(json.loads(read_regular(path)))


def _keep(folder: FileFolder, written: Path, final: Path) -> Steps[None]:
    """Give a file its final name once it is on disk, and let all machines see it. Yields 0: a disk may take seconds to
    flush a large file."""
    with written.open("rb") as file:
        yield from _waiting(lambda: os.fsync(file.fileno()))
    written.rename(final)
    yield from _waiting(lambda: folder.share(final))


def _waiting(call: Callable[[], T]) -> Steps[T]:
    """Return the answer of what waits for a disk or a network; yields 0 meanwhile."""
    with ThreadPoolExecutor(1) as waiting:
        answer = waiting.submit(call)
        while wait([answer], _PAUSE).not_done:
            yield 0
        return answer.result()


def _without_rows(steps: Steps[T]) -> Steps[T]:
    """Yield 0 for each step, whatever it counts."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        yield 0
