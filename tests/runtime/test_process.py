"""What a process sets up for itself: its limits; each in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support import PROJECT


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True, timeout=60
    )


@pytest.mark.parametrize(("limit", "megabytes", "answer"), [(200, 195, "ok"), (200, 201, "MemoryError"), (0, 9, "ok")])
def test_a_process_gets_a_memory_error_beyond_its_limit(limit: int, megabytes: int, answer: str) -> None:
    program = f"""
from contract.settings import MB
from runtime.limits import limit_memory
limit_memory({limit})
try:
    bytearray({megabytes} * MB)
except MemoryError:
    print("MemoryError")
else:
    print("ok")
"""
    assert run(program).stdout.strip() == answer


def test_limits_logs_and_backoff_are_imported_without_redis_and_numpy() -> None:
    program = "import sys, runtime.limits, runtime.logs, runtime.backoff; print({'redis', 'numpy'} & {*sys.modules})"
    assert run(program).stdout.strip() == "set()"
