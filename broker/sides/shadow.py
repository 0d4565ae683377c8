"""A shadow scorer's side of experiments: take what current versions have answered, and log what candidates answer."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from redis import Redis

from broker.link.scripts import Connected
from broker.state.prediction_log import log_arguments
from contract.work.prediction_log import LogRecord

_PATIENCE = 600.0
"""Seconds after which an entry is taken from a shadow scorer that has not ended it: it is gone with its worker. One
that is restarted goes on with its own at once."""


@dataclass(frozen=True)
class ShadowEntry:
    """The record (`worker.log_records`) of `version`, such as `loan@3`, for the candidate of `experiment`. It has this
    number of `rows`, also those of jobs that were not answered: `without` has their ids.

    `taken`: how often it was taken before and not ended. `dropped`: how many rows of the experiment there was no room
    for since the entry before.
    """

    experiment: str
    position: str
    version: str
    rows: int
    line: bytes
    without: Collection[str] = ()
    taken: int = 0
    dropped: int = 0

    @property
    def model(self) -> str:
        return self.version.partition("@")[0]

    @property
    def number(self) -> int:
        """The number of the version. Raises `ValueError` if what a scorer has written has none."""
        return int(self.version.partition("@")[2])


class ShadowQueue(Connected):
    """The entries of shadow experiments. Each goes to one of the shadow scorers that read them. Methods raise
    `redis.exceptions.RedisError`."""

    def __init__(self, connection: Redis, consumer: str, patience: float = _PATIENCE) -> None:
        """`consumer`: a name that no other process has, the same after a restart. `patience` in seconds."""
        super().__init__(connection)
        self._consumer = consumer
        self._patience = round(patience * 1000)

    def take(self, experiments: Sequence[str]) -> ShadowEntry | None:
        """Take the next entry of the first of `experiments` that has one. One that was taken and not ended comes again.
        One round trip."""
        answer = self._scripts.run("take_shadow", self._consumer, self._patience, *experiments)
        if not answer:
            return None
        experiment, position, taken, *parts = answer
        fields = dict(zip(parts[::2], parts[1::2], strict=True))
        return ShadowEntry(
            experiment.decode(),
            position.decode(),
            fields[b"version"].decode(),
            int(fields[b"rows"]),
            fields[b"record"],
            frozenset(fields[b"without"].decode().split()),
            taken,
            int(fields[b"dropped"]),
        )

    def end(self, entry: ShadowEntry, candidate: int, record: LogRecord | None) -> bool:
        """End an entry, and give the prediction log the `record` of the version `candidate`, if there is one. Harmless
        to repeat. Returns whether this has ended it."""
        logged = log_arguments(f"{entry.model}@{candidate}", [record] if record else [])
        size = len(entry.line)
        arguments = (entry.experiment, entry.position, size, entry.model, entry.rows, entry.dropped, *logged)
        return bool(self._scripts.run("end_shadow", *arguments))
