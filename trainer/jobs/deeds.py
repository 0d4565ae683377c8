"""A job while it is being done: a training in a process group of its own, a repository command in a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from contract.errors import Code, Failure, ModelgateError

Outcome = Mapping[str, Any] | Failure


class Deed(Protocol):
    """What is known of a job that is being done."""

    progress: Mapping[str, Any] | None
    """The latest that has not been taken."""

    def poll(self) -> Outcome | None:
        """The outcome once it has ended."""

    def lines(self) -> bytes:
        """Whole lines that it has said and that are not forgotten yet."""

    def forget(self, size: int) -> None:
        """So many bytes of `lines` are in safety."""

    def kill(self) -> None:
        """Ends it, where that can be done. Harmless to repeat."""


class Errand:
    """A repository command, which is quick, says nothing and cannot be ended."""

    def __init__(self, carry_out: Callable[[], Mapping[str, Any]]) -> None:
        self.progress: Mapping[str, Any] | None = None
        self._outcome: Outcome | None = None
        self._carry_out = carry_out
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            self._outcome = self._carry_out()
        except ModelgateError as error:
            self._outcome = error.failure
        except Exception as error:
            self._outcome = Failure(Code.NOT_PUBLISHED, f"the trainer cannot do that: {type(error).__name__}: {error}")

    def poll(self) -> Outcome | None:
        return self._outcome

    def lines(self) -> bytes:
        return b""

    def forget(self, size: int) -> None:
        pass

    def kill(self) -> None:
        pass
