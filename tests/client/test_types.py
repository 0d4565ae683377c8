"""The types of the client are those that its callers need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import PROJECT


@pytest.mark.slow
def test_mypy_knows_what_may_be_sent_and_what_is_returned(tmp_path: Path) -> None:
    options = ["--strict", "--cache-dir", str(tmp_path), "tests/client/typed_calls.py"]
    command = [sys.executable, "-m", "mypy", *options]
    checked = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
