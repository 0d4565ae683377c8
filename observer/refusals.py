"""Watches for which fields requests for the current versions are refused."""

from __future__ import annotations

from collections.abc import Sequence
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
            if not refused or version is None:
                continue
            saved = self.states.read((model, version))
            watch = RefusalWatch.from_json(saved) if saved else RefusalWatch()
            alarms = watch.look(refused, requests, datetime.now(UTC))
            self.states.write((model, version), watch.to_json())
            if alarms:
                found[model, version] = alarms
        changed = found.keys() | self._alarms.keys()
        self._alarms, self.looked = found, True
        self.changed.update(changed)

    def of(self, version: VersionKey) -> Sequence[RefusedField]:
        """Return the alarms of a version."""
        return self._alarms.get(version, ())

    def remove(self, version: VersionKey) -> None:
        """Forget a version."""
        self._alarms.pop(version, None)
        self.states.remove(version)
        self.changed.add(version)
