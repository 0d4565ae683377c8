"""A running job: a training has a process group of its own (`training_process.py`), a quick job a thread."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from contract.errors import Code, Failure, ModelgateError

log = logging.getLogger("trainer")

Outcome = Mapping[str, Any] | Failure


class Execution(ABC):
    """One run of a job. Without further methods it has no output and cannot be killed."""

    progress: Mapping[str, Any] | None = None
    """The latest progress that has not been sent to Redis."""

    @abstractmethod
    def poll(self) -> Outcome | None:
        """Return the outcome, or None while the job runs."""

    def log_lines(self) -> bytes:
        """Return the whole lines of output that `discard` has not removed."""
        return b""

    def discard(self, size: int) -> None:  # noqa: B027
        """Forget the first `size` bytes of `log_lines`: they are stored."""

    def kill(self) -> None:  # noqa: B027
        """Kill the job if that is possible. Harmless to repeat."""


class ThreadExecution(Execution):
    """A quick job in a thread."""

    def __init__(self, run: Callable[[], Mapping[str, Any]]) -> None:
        self._outcome: Outcome | None = None
        self._job = run
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            self._outcome = self._job()
        except ModelgateError as error:
            self._outcome = error.failure
        except Exception as error:
            log.exception("a job of the trainer ended with %s", type(error).__name__)
            self._outcome = Failure(Code.NOT_PUBLISHED, f"the trainer failed: {type(error).__name__}: {error}")

    def poll(self) -> Outcome | None:
        return self._outcome
