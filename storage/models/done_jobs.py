"""Jobs that have run."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from storage.disk import sync

DONE = ".done"


class DoneJobs:
    """The ids of jobs that have run, so that a signed job runs only once, even if it is queued again.

    They are the names of empty files in `.done/` of the model repository, which only trainers write.
    """

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
