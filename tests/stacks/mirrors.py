"""Processes that mirror a bucket."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from mirror.service import LOOK_EVERY
from tests.support import DEADLINE, PROJECT

START = """
import sys
from mirror import __main__ as program, service

service.LOOK_EVERY = float(sys.argv.pop(1))
sys.exit(program.main())
"""
"""`python -m mirror` that looks at the store as often as a test says."""


@dataclass
class MirrorProcess:
    """`python -m mirror`. `name`: that in Redis, if it is not the one of this machine."""

    redis_url: str
    models: Path
    url: str
    options: Path
    log_file: Path
    name: str = ""
    look_every: float = LOOK_EVERY
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {
            **os.environ,
            "REDIS_URL": self.redis_url,
            "MODELS_DIR": str(self.models),
            "MODELS_URL": self.url,
            "STORE_OPTIONS_FILE": str(self.options),
        }
        with self.log_file.open("ab") as log:
            command = [sys.executable, "-c", START, str(self.look_every), "--health-socket", str(self.health)]
            command += ["--name", self.name] if self.name else []
            self.process = subprocess.Popen(command, cwd=PROJECT, env=environment, stderr=log)

    @property
    def health(self) -> Path:
        return self.log_file.with_suffix(".health")

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        assert self.process
        self.process.terminate()
        return self.process.wait(DEADLINE)
