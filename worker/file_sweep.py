"""Removes the files of file predictions from SPOOL_DIR once no job needs them."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from pathlib import Path

from redis import Redis

from broker.sides.file_tasks import ended_files
from contract.work.file_jobs import SUFFIX, FileFolder

_ENDED_FOR = 10.0
"""Seconds after the end of a job until its other files go: a Redis that is killed may forget the last second, and then
scorers do it again."""

_ORPHAN_FOR = 600.0
"""Seconds without a change after which a folder without a job goes. A gateway that has received a file has submitted
its job long before."""


class FileSweep:
    """Looks through SPOOL_DIR. All supervisors may do so at once."""

    def __init__(self, connection: Redis, spool_dir: Path, orphan_for: float = _ORPHAN_FOR) -> None:
        """`orphan_for` is in seconds."""
        self._redis = connection
        self._spool_dir = spool_dir
        self._orphan_for = orphan_for

    def run(self) -> None:
        """Remove the folders of jobs that have expired or ended without an output, and of the others that have ended
        all but `output`, `errors` and `owner`. Raises `RedisError`."""
        folders = [FileFolder(path) for path in sorted(self._spool_dir.glob(f"*{SUFFIX}"))]
        if not folders:
            return
        for folder, end in zip(folders, ended_files(self._redis, [folder.job_id for folder in folders]), strict=True):
            if end is False:
                if time.time() - _changed(folder.path) > self._orphan_for:
                    shutil.rmtree(folder.path, ignore_errors=True)
            elif end is not None and end.seconds > _ENDED_FOR:
                if end.succeeded:
                    _keep_results(folder)
                else:
                    shutil.rmtree(folder.path, ignore_errors=True)


def _keep_results(folder: FileFolder) -> None:
    if not folder.input.exists():
        return
    for path in folder.path.iterdir():
        if path not in (folder.output, folder.errors, folder.owner, folder.input):
            path.unlink(missing_ok=True)
    folder.input.unlink(missing_ok=True)  # last: it says that there is something left to remove


def _changed(path: Path) -> float:
    """Return when a folder has last changed, or a file in it; 0 if it is gone."""
    with suppress(OSError):
        return max(file.stat().st_mtime for file in (path, *path.iterdir()))
    return 0.0
