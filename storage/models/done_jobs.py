"""Jobs that have run, so that a signed job runs only once, even if it is queued again."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from contract.errors import Code, ModelgateError
from storage.disk import StoreError, sync

if TYPE_CHECKING:
    from storage.objects import Objects

DONE = ".done"


class DoneJobs:
    """The ids of jobs that have run. They are the names of empty files in `.done/` of the model repository, which only
    trainers write."""

    def __init__(self, root: Path) -> None:
        self._folder = root / DONE

    def __contains__(self, job_id: object) -> bool:
        return (self._folder / str(job_id)).exists()

    def add(self, job_id: str) -> None:
        """Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / job_id).touch()
        sync(self._folder)

    def sweep(self, seconds: float) -> None:
        """Remove the ids of jobs that ran longer than so many seconds ago."""
        with suppress(FileNotFoundError):
            for path in self._folder.iterdir():
                if time.time() - path.stat().st_mtime > seconds:
                    path.unlink(missing_ok=True)


class DoneInBucket:
    """The same in an object store, for trainers on several machines."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def __contains__(self, job_id: object) -> bool:
        """Raises `ModelgateError` (`store_away`): a job that may have run must not run."""
        try:
            self._objects.size(f"{DONE}/{job_id}")
        except FileNotFoundError:
            return False
        except StoreError as error:
            raise ModelgateError(
                Code.STORE_AWAY, f"the job does not run, because the store of the models is away ({error}); try again"
            ) from error
        return True

    def add(self, job_id: str) -> None:
        """Raises OSError."""
        self._objects.write(f"{DONE}/{job_id}", b"")

    def sweep(self, seconds: float) -> None:
        """Remove the ids of jobs that ran longer than so many seconds ago. Raises OSError."""
        old = [e.key for e in self._objects.entries(f"{DONE}/") if time.time() - e.modified.timestamp() > seconds]
        if old:
            self._objects.delete(old)
