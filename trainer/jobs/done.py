"""Records the jobs that have run, so that a signed job runs only once, even if it is queued again.

The records are empty files in `.done/` of the model repository, which only trainers write.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from broker.state.trainer_jobs import SIGNATURE_TTL
from trainer.publishing.disk import sync

FOLDER = ".done"


class DoneJobs:
    """The ids of jobs that have run, kept for longer than a signature is valid."""

    def __init__(self, root: Path) -> None:
        """`root` is the model repository."""
        self._folder = root / FOLDER

    def __contains__(self, job_id: object) -> bool:
        return (self._folder / str(job_id)).exists()

    def add(self, job_id: str) -> None:
        """Record that a job has run. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / job_id).touch()
        sync(self._folder)

    def sweep(self) -> None:
        """Remove records whose signatures have expired: their age counts from the run, and a signature is older."""
        with suppress(FileNotFoundError):
            for path in self._folder.iterdir():
                if time.time() - path.stat().st_mtime > SIGNATURE_TTL * 1.1:
                    path.unlink(missing_ok=True)
