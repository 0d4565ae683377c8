"""A process whose main loop is stuck ends; one that was only stopped for a while goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from runtime.liveness import Silence
from tests.support import PROJECT, until

pytestmark = pytest.mark.waits

LOOP = """
import sys, time
from pathlib import Path
from runtime.liveness import Watchdog

stuck, turns = Path(sys.argv[1]), Path(sys.argv[2])
watchdog = Watchdog(1)
while True:
    watchdog.beat()
    turns.write_text(str(time.monotonic()))
    time.sleep(0.05)
    while stuck.exists():
        pass
"""


@pytest.fixture
def loop(tmp_path: Path) -> list[str]:
    return [sys.executable, "-c", LOOP, str(tmp_path / "stuck"), str(tmp_path / "turns")]


def test_a_process_whose_loop_is_stuck_ends_with_a_traceback(loop: list[str], tmp_path: Path) -> None:
    with subprocess.Popen(loop, cwd=PROJECT, stderr=subprocess.PIPE, text=True) as process:
        until((tmp_path / "turns").exists, "the loop turns")
        (tmp_path / "stuck").touch()
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the main loop is stuck" in errors and '"<string>", line 12' in errors, errors


def test_a_process_that_was_stopped_for_long_goes_on(loop: list[str], tmp_path: Path) -> None:
    with subprocess.Popen(loop, cwd=PROJECT) as process:
        until((tmp_path / "turns").exists, "the loop turns")
        process.send_signal(signal.SIGSTOP)
        until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED, "it is stopped")
        resumed = time.monotonic() + 2
        until(lambda: time.monotonic() > resumed, "it would have ended")
        os.kill(process.pid, signal.SIGCONT)
        until(lambda: float((tmp_path / "turns").read_text() or 0) > resumed + 1.5, "the loop turns for another while")
        assert process.poll() is None
        process.kill()


def test_silence_counts_only_time_in_which_this_process_was_awake() -> None:
    now = 0.0
    silence = Silence(lambda: now)
    silence.seconds("a")
    now = 1.0
    assert silence.seconds("a") == 1.0
    now = 100.0
    assert silence.seconds("a") == 2.0, "it was stopped itself"
    assert silence.seconds("b") == 0.0
