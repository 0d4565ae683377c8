"""What is removed from SPOOL_DIR, and what stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from storage.spool.names import FileFolder
from storage.spool.store import Spool
from worker.file_sweep import sweep_files

LONG_AGO, JUST_NOW = "2026-01-02T03:04:05.000006Z", "2999-01-02T03:04:05.000006Z"
ALL = ["0.errors", "0.part", "claimed", "errors", "input", "output", "owner", "plan.json"]
RESULTS = ["errors", "output", "owner"]


@pytest.mark.parametrize(
    ("job", "orphan_for", "left"),
    [
        ({}, 0.0, []),
        ({}, 600.0, ALL),
        ({"status": "queued"}, 0.0, ALL),
        ({"status": "started"}, 0.0, ALL),
        ({"status": "finished", "ended_at": JUST_NOW}, 0.0, ALL),
        ({"status": "finished", "ended_at": LONG_AGO}, 0.0, RESULTS),
        ({"status": "failed", "ended_at": LONG_AGO}, 0.0, []),
        ({"status": "canceled", "ended_at": LONG_AGO}, 0.0, []),
    ],
)
def test_files_stay_as_long_as_their_job_needs_them(
    redis: Any, tmp_path: Path, job: dict[str, str], orphan_for: float, left: list[str]
) -> None:
    folder = FileFolder.of(tmp_path, "f")
    folder.path.mkdir()
    for name in ALL:
        (folder.path / name).touch()
    (tmp_path / "0123.upload").touch()
    if job:
        redis.hset("rq:job:f", mapping=job)
    for _ in range(2):
        sweep_files(redis, Spool(tmp_path, 1), orphan_for - 1)  # a file may seem to come from the future
    assert sorted(path.name for path in folder.path.glob("*")) == left
    assert folder.path.exists() == bool(left)
    assert (tmp_path / "0123.upload").exists()


def test_a_worker_without_the_spool_sweeps_nothing(redis: Any, tmp_path: Path) -> None:
    sweep_files(redis, Spool(tmp_path / "none", 1))
