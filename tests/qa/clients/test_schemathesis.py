"""schemathesis asks for everything in /openapi.json, and finds no answer that is not documented."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import requests

from tests.qa.clients.conftest import started

CONFIG = Path(__file__).with_name("schemathesis.toml")
ADMIN_KEY = "k" * 40
LONGEST = 1200
"""Seconds of a run."""


def strict(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with the codes of each problem in its schema, where generators of clients cannot have them.

    Requests have no `Idempotency-Key`: schemathesis sends the same one with other bodies, which is refused.
    """
    for answer in document["components"]["responses"].values():
        problem = answer["content"]["application/problem+json"]
        problem["schema"] |= {"properties": {"code": {"enum": answer["x-problem-codes"]}}}
    for operation in (operation for methods in document["paths"].values() for operation in methods.values()):
        operation["parameters"] = [each for each in operation["parameters"] if each["name"] != "Idempotency-Key"]
    return document


def test_every_answer_is_a_documented_one(tmp_path: Path, models: Path, modelgate: object) -> None:
    """In a repository of its own, which it may destroy. `modelgate` has trained the models."""
    copy = tmp_path / "models"
    subprocess.run(["cp", "-r", models, copy], check=True)
    # With a key from the start: a request that makes one would close the gateway to those that come after it.
    settings = {
        "ADMIN_KEY": ADMIN_KEY,
        "ALLOW_UPLOAD": "1",
        "TRAIN_TIMEOUT": "5",
        "TRAIN_ON_START": "",
        "MAX_WAIT": "2",
    }
    with started(tmp_path, copy, **settings) as running:
        as_admin = {"Authorization": f"Bearer {ADMIN_KEY}"}
        document = requests.get(f"{running.address}/openapi.json", headers=as_admin, timeout=60).json()
        (tmp_path / "openapi.json").write_text(json.dumps(strict(document)))
        command = [Path(sys.executable).with_name("schemathesis"), "--config-file", CONFIG]
        options = ["--url", running.address, "--header", f"Authorization: Bearer {ADMIN_KEY}"]
        ended = subprocess.run(
            [*command, "run", tmp_path / "openapi.json", *options],
            cwd=tmp_path,  # what it remembers of failures must not change the next run
            env={**os.environ, "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=LONGEST,
        )
        assert ended.returncode == 0, ended.stdout[-20_000:] + ended.stderr
        (tested,) = re.findall(r"Operations:\s+(?:\d+ selected / )?(\d+) total", ended.stdout)
        assert int(tested) > 40
