"""The observer for the gateway: ask about the prediction log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from broker.state.waited_jobs import NotBegun, NotEnded, WaitedJobs
from contract.work.observation import Observation

MOST_OF_OWNER = 16
"""Questions of one owner that may wait and run: the observer works on few at a time."""


class ObserverUnavailable(Exception):
    """No observer is alive, or none has time."""


@dataclass(frozen=True)
class ObserverClient:
    """What the gateway asks of the observer."""

    jobs: WaitedJobs

    def ask(self, observation: Observation, wait: float) -> dict[str, Any]:
        """Return the observer's answer, which it gives within `wait` seconds of beginning it. Raises
        `ObserverUnavailable`, and as `WaitedJobs.run`."""
        try:
            return self.jobs.run(
                observation.to_json(), f"{observation.action} {observation.model}", wait, MOST_OF_OWNER
            )
        except NotBegun:
            raise ObserverUnavailable(
                "no observer answers, and nothing was done; start one (python -m observer) and try again"
            ) from None
        except NotEnded:
            raise ObserverUnavailable(f"the observer has not answered within {wait:.0f} s; ask for less") from None
