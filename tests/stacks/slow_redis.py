"""A Redis whose disk does not end a sync."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis

from tests.stacks.preloaded import Changeable, build_disk
from tests.stacks.redis_process import RedisProcess
from tests.support import until


@dataclass
class SlowRedis:
    server: RedisProcess
    disk: Changeable

    def begin_sync(self) -> None:
        """Let Redis sync until it is killed: meanwhile it answers before it writes, and writes after two seconds."""
        self.disk.set(1_000_000)
        with Redis.from_url(self.server.url) as connection:
            until(lambda: self._syncs(connection), "a sync runs")

    @staticmethod
    def _syncs(connection: Redis) -> bool:
        connection.set("grows", "")
        return bool(connection.info("persistence")["aof_pending_bio_fsync"])


@contextmanager
def slow_redis(folder: Path) -> Iterator[SlowRedis]:
    disk = build_disk(folder)
    if disk is None:
        pytest.skip("there is no C compiler")
    with RedisProcess(folder, "--appendfsync", "everysec", environment=disk.settings) as server:
        try:
            yield SlowRedis(server, disk)
        finally:
            server.kill()
