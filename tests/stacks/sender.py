"""A process that sends webhooks."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support import PROJECT

WEBHOOKS = {
    "WEBHOOK_SECRET": f"whsec_{base64.b64encode(b's' * 32).decode()}",
    "WEBHOOK_ALLOW": "127.0.0.1",
}


@dataclass
class Sender:
    """`python -m events`."""

    redis_url: str
    models: Path
    log_file: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {**os.environ, **WEBHOOKS, "REDIS_URL": self.redis_url, "MODELS_DIR": str(self.models)}
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "events"], cwd=PROJECT, env=environment, stderr=log)

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()
