"""A training in a fork, as the trainer sees it: its progress, its output and its end."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from broker.running.execution import Execution, Outcome
from contract.errors import Code, Failure
from contract.settings import Settings
from trainer.forks import Forks, ForkTask

LONGEST_LINE = 16_384
"""Bytes of output without a line end after which one is added."""

EXIT_GRACE = 10.0
"""Seconds that a training has to exit after its outcome: a thread that the recipe left would keep it for ever."""

LONGEST_REPORT = 1_000_000
"""Bytes of a report."""

MOST_UNSENT = 1_000_000
"""Bytes of a training's output that wait for Redis; beyond, the oldest lines are dropped."""


class TrainingProcess(Execution):
    """Runs `trainer.jobs.training_main` for one job."""

    def __init__(self, forks: Forks, payload: Mapping[str, Any], job_id: str, timeout: float, log: str = "") -> None:
        """`timeout` in seconds from now. `log`: whole lines that come before its output. Raises OSError."""
        self._timeout = timeout
        self._end = time.monotonic() + timeout
        self._outcome: Outcome | None = None
        self._log, self._partial_report = log.encode(), b""
        self._code: int | None = None
        self._closed = False
        self._reports, report = os.pipe()
        self._output, output = os.pipe()
        job = {"id": job_id, "payload": payload, "settings": Settings.variables(), "folder": str(Path.cwd())}
        try:
            self._template = forks.start(ForkTask.TRAIN, job, report, output)
        finally:
            for theirs in (report, output):
                os.close(theirs)
        for ours in (self._reports, self._output):
            os.set_blocking(ours, False)

    def poll(self) -> Outcome | None:
        """Read output and reports. Return the outcome, or None while the training runs."""
        if self._code is None:
            self._code = self._template.poll()
        self._read_pipes()
        if self._code is None:
            if time.monotonic() <= self._end:
                return None
            late = f"the training took longer than {self._timeout:g} s (TRAIN_TIMEOUT)"
            self._outcome = self._outcome or Failure(Code.TIMEOUT, late)
        code = self._ended()
        return self._outcome or _crash(code)

    def log_lines(self) -> bytes:
        """Return the whole lines of output that `discard` has not removed; after the end also the last, partial one."""
        end = self._log.rfind(b"\n") + 1
        if self._code is not None and end < len(self._log):
            self._log += b"\n"
            end = len(self._log)
        return self._log[:end]

    def discard(self, size: int) -> None:
        """Forget the first `size` bytes of `log_lines`: they are stored."""
        self._log = self._log[size:]

    def kill(self) -> None:
        """Kill the training and every process that it started. Harmless to repeat."""
        self._ended()

    def _ended(self) -> int:
        """Kill it unless it has ended, and return its exit code."""
        code = self._code = self._template.kill() if self._code is None else self._code
        if not self._closed:
            self._read_pipes()
            for descriptor in (self._reports, self._output):
                os.close(descriptor)
            self._closed = True
        return code

    def _read_pipes(self) -> None:
        if self._closed:
            return
        self._log += _read(self._output)
        if len(self._log) - self._log.rfind(b"\n") > LONGEST_LINE:
            self._log += b"\n"
        if len(self._log) > MOST_UNSENT:
            self._log = self._log[self._log.find(b"\n", len(self._log) - MOST_UNSENT) + 1 :]
        *reports, self._partial_report = (self._partial_report + _read(self._reports)).split(b"\n")
        try:
            if len(self._partial_report) > LONGEST_REPORT:
                raise ValueError("it has no end")
            for line in reports:
                self._take_report(json.loads(line))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            self._partial_report = b""
            message = f"the training sent a report that cannot be read ({type(error).__name__})"
            hint = "let the recipe write only to files that it opens"
            self._outcome = Failure(Code.TRAINING_FAILED, f"{message}; {hint}")
            self._end = 0.0

    def _take_report(self, report: Mapping[str, Any]) -> None:
        """Take a report of `trainer.jobs.training_main`. A recipe can write there too, so it may be anything."""
        self.progress = report.get("progress", self.progress)
        if "failure" in report:
            self._outcome = Failure.from_json(report["failure"])
            if not self._outcome.code:
                raise ValueError("a failure without a code")
        elif "output" in report:
            self._outcome = dict(report["output"])
        if self._outcome:
            self._end = min(self._end, time.monotonic() + EXIT_GRACE)


def _read(descriptor: int) -> bytes:
    """Return what a pipe holds, in at most four reads: a training that never stops printing must not block us."""
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
