"""An observer on a Redis and a model repository of the test."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from redis import Redis

from broker.records.lease_groups import OBSERVERS
from tests.support import DEADLINE, PROJECT, until


@dataclass
class ObserverProcess:
    """`python -m observer`. `state` is the STATE_DIR of its gateway, `folder` its log and the file with its lines."""

    redis_url: str
    models: Path
    state: Path
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def lines(self) -> str:
        return (self.folder / "observer.log").read_text()

    def start(self) -> ObserverProcess:
        self.folder.mkdir(exist_ok=True)
        before = self._alive()
        environment = {
            "REDIS_URL": self.redis_url,
            "MODELS_DIR": str(self.models),
            "STATE_DIR": str(self.state),
            "PREDICTION_LOG_DIR": str(self.log),
        }
        with (self.folder / "observer.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "observer"],
                cwd=PROJECT,
                env={**os.environ, **environment, **self.settings},
                stdout=log,
                stderr=log,
            )
        until(lambda: self._alive() - before or self.ended, "the observer takes questions")
        return self

    def _alive(self) -> set[bytes]:
        with Redis.from_url(self.redis_url) as redis:
            return set(redis.smembers(OBSERVERS.members))

    @property
    def ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def stop(self) -> int:
        assert self.process
        self.process.terminate()
        return self.process.wait(DEADLINE)

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()
