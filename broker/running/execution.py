"""A running job: a quick one is a thread; another one may have a process of its own."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from contract.errors import Failure, ModelgateError

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
    """A quick job in a thread. `unexpected` makes the failure of an exception that is no `ModelgateError`."""

    def __init__(self, run: Callable[[], Mapping[str, Any]], unexpected: Callable[[Exception], Failure]) -> None:
        self._outcome: Outcome | None = None
        self._job = run
        self._unexpected = unexpected
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            self._outcome = self._job()
        except ModelgateError as error:
            self._outcome = error.failure
        except Exception as error:
            self._outcome = self._unexpected(error)

    def poll(self) -> Outcome | None:
        return self._outcome
