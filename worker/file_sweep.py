"""Removes the files of file predictions from SPOOL_DIR once no job needs them."""

from __future__ import annotations

import time

from redis import Redis

from broker.sides.file_tasks import ended_files
from storage.spool.store import Spool

_ENDED_FOR = 10.0
"""Seconds after the end of a job until its other files go: a Redis that is killed may forget the last second, and then
scorers do it again."""

_ORPHAN_FOR = 600.0
"""Seconds without a change after which a folder without a job goes. A gateway that has received a file has submitted
its job long before."""


def sweep_files(connection: Redis, spool: Spool, orphan_for: float = _ORPHAN_FOR) -> None:
    """Remove the folders of jobs that have expired or ended without an output, and of the others that have ended all
    but `output`, `errors` and `owner`. All supervisors may do so at once. Raises `RedisError`."""
    folders = spool.jobs()
    if not folders:
        return
    for folder, end in zip(folders, ended_files(connection, [folder.job_id for folder in folders]), strict=True):
        if end is False:
            if time.time() - folder.changed() > orphan_for:
                folder.remove()
        elif end is not None and end.seconds > _ENDED_FOR:
            if end.succeeded:
                folder.keep_results()
            else:
                folder.remove()
