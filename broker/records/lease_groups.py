"""Groups of processes that own jobs under leases: the scorers, the trainers and the observers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contract.errors import Code, Failure


@dataclass(frozen=True)
class LeaseGroup:
    """Processes that take the same kinds of jobs.

    `members` is the key of their incarnations, and `deadlines` the key of the deadlines of their jobs. A job fails with
    `crashed` when `max_deaths` processes have died while they owned it. The group also expires and reconciles the jobs
    of the groups that it `covers`.
    """

    members: str
    deadlines: str
    max_deaths: int
    crashed: Failure
    covers: Sequence[LeaseGroup] = ()


SCORERS = LeaseGroup(
    "mg:incs",
    "mg:deadlines",
    3,
    Failure(Code.WORKER_CRASHED, "the worker process ended while it scored this job, three times"),
)
TRAINERS = LeaseGroup(
    "mg:trainers",
    "mg:deadlines:trainer",
    2,
    Failure(Code.TRAINER_CRASHED, "the trainer ended while it ran this job, twice"),
    covers=(SCORERS,),
)
"""They cover the scorers, because there may be no worker. Workers cannot read the trainer's keys (`broker/acl`)."""

OBSERVERS = LeaseGroup(
    "mg:observers",
    "mg:deadlines:observer",
    2,
    Failure(Code.OBSERVER_CRASHED, "the observer ended while it worked on this, twice"),
)


def worker_of(inc: str) -> str:
    """Return the worker of an incarnation (`broker.sides.supervisor.incarnation`)."""
    return inc.rsplit("-", 2)[0]


def serves_today(inc: str) -> bool:
    """Return whether a scorer serves versions of today's environment: the worker's name ends with the pool of another
    one (`broker.records.job_kinds.pool_of`)."""
    return "~" not in worker_of(inc)


EXTRA = "extra"
"""The slot of the scorer that a worker has in addition while rows hang in all others."""


def is_extra(inc: str) -> bool:
    """Return whether a scorer is there only while rows hang in all others of its worker."""
    return inc.rsplit("-", 2)[1:2] == [EXTRA]


def place_of(inc: str) -> str:
    """Return the name that the scorers of one slot share, each after the other."""
    return inc.rpartition("-")[0]
