"""A Redis that a test can kill, stop and restart with its data."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from redis import Redis
from redis.exceptions import ResponseError

from broker.link.connection import connect
from launcher.redis_server import executable
from tests.support import DEADLINE, answers, until


class RedisProcess:
    """A Redis on a Unix socket, with an append-only file in `folder`."""

    def __init__(self, folder: Path, *options: str, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.socket = folder / "r.sock"
        self.url = f"unix://{self.socket}"
        self._options = options
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> RedisProcess:
        self.launch()
        assert self._process
        until(lambda: answers(self.url) or self._process.poll() is not None, "Redis answers")
        assert self._process.poll() is None, (self.folder / "redis.log").read_text()
        return self

    def launch(self) -> None:
        """Start the process, which may load its data for a while."""
        command = [executable(), "--port", "0", "--unixsocket", str(self.socket), "--dir", str(self.folder)]
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--save", "", "--appendonly", "yes", *self._options],
                env=self._environment,
                stdout=log,
                stderr=log,
                restore_signals=False,  # a write beyond `disk_full` fails, and does not kill
            )

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def kill(self) -> None:
        assert self._process
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Stop it with SIGTERM, as a process manager does."""
        if self._process and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(DEADLINE)

    @contextmanager
    def disk_full(self) -> Iterator[None]:
        """Let no file grow, until Redis has noticed and then until the end of the block."""
        assert self._process
        process, size = psutil.Process(self._process.pid), self.append_only_file().stat().st_size
        process.rlimit(psutil.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        try:
            with Redis.from_url(self.url) as connection:
                until(lambda: self._refuses_to_write(connection), "Redis refuses to write")
            yield
        finally:
            process.rlimit(psutil.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    @staticmethod
    def _refuses_to_write(connection: Redis) -> bool:
        try:
            connection.set("grows", "")
        except ResponseError as error:
            return "MISCONF" in str(error)
        return False

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop its process within the block."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def connect(self) -> Redis:
        return connect(self.url)

    def info(self, section: str) -> dict[str, Any]:
        with Redis.from_url(self.url) as connection:
            fields: dict[str, Any] = connection.info(section)
            return fields

    def append_only_file(self) -> Path:
        """The append-only file that grows; Redis 7 keeps it in a folder, beside a base file."""
        files = [path for path in self.folder.rglob("*.aof") if ".base." not in path.name]
        assert len(files) == 1, files
        return files[0]

    def __enter__(self) -> RedisProcess:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.stop()
