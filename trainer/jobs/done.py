"""The jobs that have run: a signed job runs once, even if it is put into its queue again.

They are empty files in `.done/` of the model repository, which only trainers write. They outlive the trainers.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from broker.trainer_jobs import TRAINING_TTL
from trainer.publishing.disk import sync

FOLDER = ".done"


class DoneJobs:
    """The ids of jobs that were signed, kept for longer than a signature lasts."""

    def __init__(self, root: Path) -> None:
        """`root` is the model repository."""
        self._folder = root / FOLDER

    def __contains__(self, job_id: object) -> bool:
        return (self._folder / str(job_id)).exists()

    def add(self, job_id: str) -> None:
        """Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / job_id).touch()
        sync(self._folder)

    def sweep(self) -> None:
        """Forget those whose signatures have expired. A scheduled run is signed up to eight years before it is due, but
        runs after that."""
        with suppress(FileNotFoundError):
            for path in self._folder.iterdir():
                if time.time() - path.stat().st_mtime > TRAINING_TTL * 1.1:
                    path.unlink(missing_ok=True)
