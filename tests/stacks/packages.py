"""Packages that no environment of ours has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import PROJECT


def installed(lock: str, folder: Path) -> Path:
    """Install the packages of `requirements/<lock>` into `folder`, and return it; skip the test if that is
    impossible."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps"]
    command = [*pip, "--target", str(folder), "-r", f"requirements/{lock}"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True)
    if done.returncode:
        pytest.skip(f"the packages of {lock} cannot be installed here: {done.stderr.decode()[-200:]}")
    return folder
