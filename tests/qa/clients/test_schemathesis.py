"""schemathesis asks for everything in /openapi.json, and finds no answer that is not documented."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.qa.clients.conftest import started

CONFIG = Path(__file__).with_name("schemathesis.toml")
ADMIN_KEY = "k" * 40
LONGEST = 150
"""Seconds of a run."""


def test_every_answer_is_a_documented_one(tmp_path: Path, models: Path, modelgate: object) -> None:
    """In a repository of its own, which it may destroy. `modelgate` has trained the models."""
    copy = tmp_path / "models"
    subprocess.run(["cp", "-r", models, copy], check=True)
    # With a key from the start: a request that makes one would close the gateway to those that come after it.
    settings = {"ADMIN_KEY": ADMIN_KEY, "ALLOW_UPLOAD": "1", "TRAIN_TIMEOUT": "5", "TRAIN_ON_START": ""}
    with started(tmp_path, copy, **settings) as running:
        command = [Path(sys.executable).with_name("schemathesis"), "--config-file", CONFIG]
        ended = subprocess.run(
            [*command, "run", f"{running.address}/openapi.json", "--header", f"Authorization: Bearer {ADMIN_KEY}"],
            cwd=tmp_path,  # what it remembers of failures must not change the next run
            env={**os.environ, "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=LONGEST,
        )
        assert ended.returncode == 0, ended.stdout[-20_000:] + ended.stderr
        (tested,) = re.findall(r"Operations:\s+(?:\d+ selected / )?(\d+) total", ended.stdout)
        assert int(tested) > 40
