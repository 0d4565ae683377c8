"""Groups of processes that hold leases: the scorers and the trainers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from broker.records import CRASHED, TRAINER_CRASHED, of_predictions, ours
from contract.errors import Failure

MOST_DEATHS = 3
"""A job that was being scored at so many deaths of its scorer fails."""


@dataclass(frozen=True)
class LeaseGroup:
    """The processes that hold leases. A job fails with `crashed` when `most_deaths` processes have died while they
    owned it.

    `deadlines` are the keys of the deadlines that they check, and `tends` says which queues they reconcile. Workers
    have no access to the trainer's keys (`broker/acl`). Trainers also check predictions, since there may be no worker.
    """

    members: str
    deadlines: Sequence[str]
    tends: Callable[[bytes], bool]
    most_deaths: int
    crashed: Failure


DEADLINES, TRAINER_DEADLINES = "mg:deadlines", "mg:deadlines:trainer"

SCORERS = LeaseGroup("mg:incs", (DEADLINES,), of_predictions, MOST_DEATHS, CRASHED)
TRAINERS = LeaseGroup("mg:trainers", (DEADLINES, TRAINER_DEADLINES), ours, 2, TRAINER_CRASHED)
