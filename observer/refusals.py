"""Watches for which fields requests for the current versions are refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from broker.sides.observer import RequestCounts
from contract.model.repository import CURRENT, Repository
from observer.log.states import VersionKey, VersionStates
from observer.log.store import LogStore
from observer.refused import RefusalWatch, RefusedField

FOLDER = "refused"


class RefusalWatches:
    """A watch for each model with refused requests, which begins anew with another current version. Methods raise
    OSError and `redis.exceptions.RedisError`."""

    def __init__(self, store: LogStore, counts: RequestCounts, repository: Repository) -> None:
        self.states = VersionStates(store, FOLDER)
        self._counts = counts
        self._repository = repository
        self._alarms: dict[VersionKey, Sequence[RefusedField]] = {}
        self._without: dict[VersionKey, tuple[int, datetime]] = {}
        """How many requests there were when none had been refused, and when that was."""
        self.changed = set(self.states.versions())
        """Those of which something else may be said since this was emptied; at first all."""
        self.looked = False
        """Whether anything is known of the alarms."""

    def look(self) -> None:
        """Look at what gateways have counted."""
        found: dict[VersionKey, Sequence[RefusedField]] = {}
        for model in self._repository.names():
            refused, requests = self._counts.read(model)
            version = self._repository.aliases(model).get(CURRENT)
            if version is None:
                continue
            key, now = (model, version), datetime.now(UTC)
            if not refused:
                self._without[key] = requests, now
                continue
            alarms = self._look(key, refused, requests, now)
            if alarms:
                found[key] = alarms
        changed = found.keys() | self._alarms.keys()
        self._alarms, self.looked = found, True
        self.changed.update(changed)

    def _look(
        self, version: VersionKey, refused: Mapping[tuple[str, str], int], requests: int, now: datetime
    ) -> Sequence[RefusedField]:
        saved = self.states.read(version)
        watch = RefusalWatch.from_json(saved) if saved else RefusalWatch()
        if not saved and version in self._without:
            watch.look({}, *self._without.pop(version))
        alarms = watch.look(refused, requests, now)
        self.states.write(version, watch.to_json())
        return alarms

    def of(self, version: VersionKey) -> Sequence[RefusedField]:
        """Return the alarms of a version."""
        return self._alarms.get(version, ())

    def remove(self, version: VersionKey) -> None:
        """Forget a version."""
        self._alarms.pop(version, None)
        self._without.pop(version, None)
        self.states.remove(version)
        self.changed.add(version)
