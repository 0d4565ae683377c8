"""The card of a version as it is now: what is kept with it, and what is known since."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from broker.access.audit_log import LARGEST_PAGE, AuditLog, Outcome
from broker.sides.gateway.observer_client import ObserverUnavailable
from broker.state.model_health import HealthBoard
from contract.errors import ModelgateError
from contract.model.manifest import ModelManifest
from contract.model.model_card import Card, kept_card
from contract.model.repository import CURRENT
from contract.work.api_keys import Scope
from gateway.problems import Problem
from gateway.serving.model_versions import aliases_by_version
from gateway.serving.prediction_log import LogAccess

TO_ANSWER = 2.0
"""Seconds that the observer has for an answer once it has begun: a card does without."""

_MADE = ("train", "upload", "import", "edit_signature", "migrate")
_MOVED = ("move_alias", "roll_back", "delete_alias")
_OF_DRIFT = ("reason", "rows", "watched", "alarms")
_OF_OUTCOMES = ("reason", "predictions", "outcomes", "headline", "metrics", "promise")

Entries = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class ModelCards:
    """Cards as the caller of the current request may see them: only admins see names of keys, and only keys with the
    scope `log` what came true."""

    log: LogAccess
    audit: AuditLog
    health: HealthBoard

    def card(self, manifest: ModelManifest) -> Card:
        """Return the card of a version. In `since` it has what is known by now, and the reasons for what is not."""
        repository, name, version = self.log.repository, manifest.name, manifest.version
        aliases = aliases_by_version(repository, name).get(version, [])
        experiments = [
            {**one.to_json(), "started_by": one.started_by if self._names_are_shown else None}
            for one in repository.settings(name).experiments
            if version in (one.candidate, one.baseline)
        ]
        since = {
            "aliases": aliases,
            "same_data": [*self._same_data(manifest)],
            "experiments": experiments,
            **self._history(manifest),
            **self._observed(name, version),
        }
        return {**kept_card(repository, manifest), "since": since}

    @property
    def _names_are_shown(self) -> bool:
        return self.log.caller().allows(Scope.ADMIN)

    def _same_data(self, manifest: ModelManifest) -> Iterator[int]:
        """Yield the other versions that were made from the same data."""
        for version in self.log.repository.versions(manifest.name):
            with suppress(ModelgateError):
                data = self.log.repository.manifest(manifest.name, version).training_data
                if version != manifest.version and data.fingerprint == manifest.training_data.fingerprint:
                    yield version

    def _history(self, manifest: ModelManifest) -> Card:
        """Return who made the version and moved its aliases, as far as the audit log goes back."""
        job = self.log.repository.files(manifest.name, manifest.version).training_job()
        entries: Entries = ()
        reason = None
        try:
            wanted = {"model": manifest.name, "outcome": Outcome.DONE}
            entries = self.audit.page(wanted, LARGEST_PAGE, None).items
        except RedisError:
            reason = "Redis does not answer"

        def made(entry: Mapping[str, Any]) -> bool:
            of_version = entry["job_id"] == job if job else entry["version"] == manifest.version
            return entry["action"] in _MADE and of_version

        moves = [self._who(entry, alias=alias, version=to) for entry, alias, to in moves_of(manifest.version, entries)]
        made_by = next((self._who(entry, action=entry["action"]) for entry in entries if made(entry)), None)
        return {"job": job, "made": made_by, "moves": moves, "no_history": reason}

    def _who(self, entry: Mapping[str, Any], **more: object) -> Card:
        return {"at": entry["time"], "by": entry["actor"] if self._names_are_shown else None, **more}

    def _observed(self, name: str, version: int) -> Card:
        findings: Sequence[str] = ()
        with suppress(RedisError):
            found = self.health.of(f"{name}@{version}")
            findings = found.findings if found else ()
        drift, outcomes = self._asked(self.log.health, name, version), {"reason": "the key lacks the scope log"}
        if self.log.caller().allows(Scope.LOG):
            away = "watched" not in drift
            outcomes = drift if away else self._asked(self.log.measure, name, version)
        return {
            "findings": [*findings],
            "drift": {key: drift.get(key) for key in _OF_DRIFT},
            "outcomes": {key: outcomes.get(key) for key in _OF_OUTCOMES},
        }

    def _asked(self, ask: Callable[[str, str, float], Card], name: str, version: int) -> Card:
        try:
            return ask(name, str(version), TO_ANSWER)
        except (ObserverUnavailable, RedisError, Problem) as error:
            return {"reason": str(error)}


def moves_of(version: int, entries: Entries) -> Iterator[tuple[Mapping[str, Any], str, int | None]]:
    """Yield the entries of the audit log with which an alias came to a version or left it, the oldest first, each with
    the alias and the version that it names then (None: it is deleted). `entries`: the newest first."""
    named: dict[str, int | None] = {}
    for entry in reversed(entries):
        alias, to = entry["alias"], None if entry["action"] == "delete_alias" else entry["version"]
        if alias is None and entry["action"] in _MOVED:
            alias = CURRENT  # that of a rollback, and of a page
        if alias is not None:
            if version in (to, named.get(alias)) and to != named.get(alias):
                yield entry, alias, to
            named[alias] = to
