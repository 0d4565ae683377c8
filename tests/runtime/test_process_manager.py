"""The process manager notices signals at once, keeps its log small, and ends if a program cannot start."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import FrameType

import pytest
from supervisor import poller

from runtime.process_manager import LOG_BYTES, _Poller
from tests.support import DEADLINE, PROJECT


@pytest.fixture
def alarms() -> Iterator[None]:
    """Send this process a signal every hundredth of a second, and fail at the hundredth."""
    numbers = count(1)

    def fail_at_the_hundredth(_signal: int, _frame: FrameType | None) -> None:
        assert next(numbers) != 100, "a hundred signals ended no poll"

    before, wakes = signal.signal(signal.SIGALRM, fail_at_the_hundredth), signal.set_wakeup_fd(-1)
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    signal.set_wakeup_fd(wakes)


@pytest.mark.usefixtures("alarms")
def test_a_signal_ends_a_poll() -> None:
    ours = _Poller(options=None)  # type: ignore[no-untyped-call]
    for _ in range(3):
        assert ours.poll(3600) == ([], [])


@pytest.mark.usefixtures("alarms")
def test_a_poll_of_supervisord_goes_on_after_a_signal() -> None:
    plain = poller.Poller(options=None)
    with pytest.raises(AssertionError, match="a hundred signals"):
        plain.poll(3600)


def test_a_log_beyond_its_size_moves_to_a_second_file(tmp_path: Path) -> None:
    file = tmp_path / "modelgate.log"
    code = f"""
from runtime import process_manager
for text in ("a" * process_manager.LOG_BYTES, "b", "c"):
    print(text, flush=True)
    process_manager._shorten({str(file)!r})
"""
    with file.open("ab") as log:
        subprocess.run([sys.executable, "-c", code], stdout=log, check=True, timeout=DEADLINE, cwd=PROJECT)
    assert (file.read_text(), len(file.with_name("modelgate.log.1").read_text())) == ("b\nc\n", LOG_BYTES + 1)


def test_a_program_that_cannot_start_says_why_and_ends_all_others(tmp_path: Path) -> None:
    (tmp_path / "programs.conf").write_text(f"""
[supervisord]
nodaemon = true
logfile = {tmp_path}/supervisord.log
pidfile = {tmp_path}/supervisord.pid
[program:broken]
command = sh -c "echo tried >>{tmp_path}/tries; echo first; echo the disk is gone >&2; exit 3"
startsecs = 0
autorestart = true
stdout_logfile = {tmp_path}/broken.log
redirect_stderr = true
[program:other]
command = sleep 600
""")
    ended = subprocess.run(
        [sys.executable, "-m", "runtime.process_manager", "modelgate", "-c", str(tmp_path / "programs.conf")],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        cwd=PROJECT,
    )
    assert (ended.returncode, (tmp_path / "tries").read_text()) == (1, "tried\ntried\n")
    assert ended.stderr.splitlines()[-1].endswith(" ERROR modelgate: broken cannot start: the disk is gone")
    assert not (tmp_path / "supervisord.pid").exists()
