"""A trainer on a Redis and a model repository of the test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.stacks.redis_process import RedisProcess
from tests.support import DEADLINE, PROJECT, until


def wait_for_trainer(server: RedisProcess) -> None:
    with server.connect() as redis:
        until(lambda: redis.exists("mg:trainer:recipes"), "the trainer says which recipes there are")


@contextmanager
def trainer_process(server: RedisProcess, models: Path, settings: Mapping[str, str]) -> Iterator[Path]:
    """Run `python -m trainer` until it takes jobs; yields its log. `settings` has its STATE_DIR and SPOOL_DIR."""
    defaults = {"REDIS_URL": server.url, "MODELS_DIR": str(models), "TRAIN_ON_START": "none"}
    log_file = server.folder / "trainer.log"
    with log_file.open("ab") as log:
        command = [sys.executable, "-m", "trainer"]
        process = subprocess.Popen(
            command, cwd=PROJECT, env={**os.environ, **defaults, **settings}, stdout=log, stderr=log
        )
    try:
        wait_for_trainer(server)
        yield log_file
    finally:
        process.terminate()
        process.wait(DEADLINE)
