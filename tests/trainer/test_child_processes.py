"""The trainer restarts children that are stuck."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support import command_line, until
from trainer.child_processes import ChildCommand, ChildProcesses
from trainer.stop_signal import StopSignal


class Stop(StopSignal):
    def __init__(self) -> None:
        self.requested = threading.Event()

    def wait(self, seconds: float) -> bool:
        return self.requested.wait(seconds)


@pytest.mark.slow
def test_a_stuck_child_is_restarted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MODELS_DIR", str(tmp_path))
    # The process looks into the inbox every 2 s.
    commands = {"inbox": ChildCommand("trainer.importing.inbox", stuck_after=4)}
    ready = tmp_path / "ready"
    children = ChildProcesses(Stop(), commands, ready)

    def running() -> psutil.Process | None:
        children.wait(0)
        for child in psutil.Process().children():
            if "trainer.importing.inbox" in command_line(child):
                return child
        return None

    try:
        stuck: Any = until(running, "it runs")
        until(lambda: running() and (tmp_path / "inbox").exists(), "it looks into the inbox")
        assert children.problems() == ["not every missing model has been tried yet"]
        ready.touch()
        assert children.problems() == []
        stuck.suspend()
        until(lambda: (now := running()) and now.pid != stuck.pid, "it is restarted")
    finally:
        children.terminate(5)
