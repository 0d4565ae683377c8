"""A training in a process group of its own, as the trainer sees it: its progress, what it says, and its end."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any

from contract.errors import Code, Failure
from contract.settings import Settings
from trainer.processes import RECIPES_OWN, Contained, environment

MODULE = "trainer.jobs.run"
"""What runs in the process of a training."""

LARGEST_LINE = 16_384
"""Bytes of what a training prints without a line end, after which it is taken for a line."""

FAREWELL = 2.0
"""Seconds that a training has to tidy up after its outcome: a thread that the recipe left would keep it for ever."""

MOST_SAID = 1_000_000
"""Bytes of a training's output that wait for Redis; beyond, the oldest are dropped."""


class Horse:
    """`python -m trainer.jobs.run` with one payload: RQ's word for the process that does the work.

    It and the processes that it starts are `Contained`. It gets the settings through stdin, so a recipe finds none of
    them in its environment.
    """

    def __init__(self, payload: Mapping[str, Any], timeout: float, said: str = "") -> None:
        """`timeout` in seconds from now. `said`: whole lines with which its log begins."""
        self.progress: Mapping[str, Any] | None = None
        """The latest that has not been taken."""
        self._timeout = timeout
        self._end = time.monotonic() + timeout
        self._outcome: Mapping[str, Any] | Failure | None = None
        self._said, self._told = said.encode(), b""
        self._ended = False
        self._reports, report = os.pipe()
        self._output, output = os.pipe()
        with tempfile.TemporaryFile() as stdin:
            stdin.write(json.dumps({"payload": payload, "settings": Settings.variables()}).encode())
            stdin.seek(0)
            self._process = Contained(
                [sys.executable, "-m", MODULE, str(report)],
                env={**environment(RECIPES_OWN), "PYTHONUNBUFFERED": "1"},
                pass_fds=(report,),
                stdin=stdin,
                stdout=output,
                stderr=output,
            )
        for theirs in (report, output):
            os.close(theirs)
        for ours in (self._reports, self._output):
            os.set_blocking(ours, False)

    def poll(self) -> Mapping[str, Any] | Failure | None:
        """Takes in what the training says; its outcome once it has ended."""
        code = self._process.poll()
        self._hear()
        if code is None:
            if time.monotonic() <= self._end:
                return None
            late = f"the training took longer than {self._timeout:g} s (TRAIN_TIMEOUT)"
            self._outcome = self._outcome or Failure(Code.TIMEOUT, late)
        self.kill()
        return self._outcome or _crash(self._process.end())

    def lines(self) -> bytes:
        """The whole lines that it has printed and that are not forgotten yet; all when it has ended."""
        end = self._said.rfind(b"\n") + 1
        if self._process.returncode is not None and end < len(self._said):
            self._said += b"\n"
            end = len(self._said)
        return self._said[:end]

    def forget(self, size: int) -> None:
        """So many bytes of `lines` are in safety."""
        self._said = self._said[size:]

    def kill(self) -> None:
        """Ends it, with all that it started. Harmless to repeat."""
        self._process.end()
        if not self._ended:
            self._hear()
            for descriptor in (self._reports, self._output):
                os.close(descriptor)
            self._ended = True

    def _hear(self) -> None:
        if self._ended:
            return
        self._said += _read(self._output)
        if len(self._said) - self._said.rfind(b"\n") > LARGEST_LINE:
            self._said += b"\n"
        if len(self._said) > MOST_SAID:
            self._said = self._said[self._said.find(b"\n", len(self._said) - MOST_SAID) + 1 :]
        *reports, self._told = (self._told + _read(self._reports)).split(b"\n")
        for line in reports:
            report = json.loads(line)
            self.progress = report.get("progress", self.progress)
            if "failure" in report:
                self._outcome = Failure.from_json(report["failure"])
            elif "output" in report:
                self._outcome = report["output"]
            if self._outcome:
                self._end = min(self._end, time.monotonic() + FAREWELL)


def _read(descriptor: int) -> bytes:
    """What is there, up to what a pipe holds and a little more, so that nobody talks without an end."""
    parts = []
    for _ in range(4):
        try:
            part = os.read(descriptor, 65_536)
        except BlockingIOError:
            break
        if not part:
            break
        parts.append(part)
    return b"".join(parts)


def _crash(code: int) -> Failure:
    how = f"signal {-code}, {signal.strsignal(-code)}" if code < 0 else f"exit code {code}"
    hint = "; perhaps the machine ran out of memory" if code == -signal.SIGKILL else ""
    return Failure(Code.TRAINER_CRASHED, f"the process of the training died ({how}){hint}", {"exit": code})
