"""The card of a version as it is now: what is kept with it, and what is known since."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from broker.access.audit_log import ANONYMOUS, LARGEST_PAGE, AuditLog, Outcome
from broker.sides.gateway.observer_client import ObserverUnavailable
from broker.state.boards import HealthBoard
from contract.errors import ModelgateError
from contract.model.model_card import Card, kept_card
from contract.model.repository import CURRENT
from contract.work.api_keys import Scope
from gateway.problems import Problem
from gateway.serving.model_versions import aliases_by_version
from gateway.serving.prediction_log import LogAccess

TO_ANSWER = 2.0
"""Seconds that the observer has for an answer once it has begun: a card does without."""

_MADE = ("train", "upload", "import", "edit_signature", "migrate")
_MOVED = ("move_alias", "roll_back", "delete_alias", "approve_promotion")
_OF_EXPERIMENT = ("id", "candidate", "baseline", "share", "started_at", "ending", "ended_at", "reason")

Entry = Mapping[str, Any]


@dataclass(frozen=True)
class ModelCards:
    """Cards as the caller of the current request may see them: only admins see names of keys, and only keys with the
    scope `log` what came true."""

    log: LogAccess
    audit: AuditLog
    health: HealthBoard

    def card(self, name: str, version: int) -> Card:
        """Return the card of a version. In `since` it has what is known by now, and the reasons for what is not."""
        repository = self.log.repository
        manifest, aliases = repository.manifest(name, version), aliases_by_version(repository, name)
        made_from = self._made_from(name, manifest.training_data.fingerprint)
        since = {
            **self._observed(name, version),
            "experiments": [
                {
                    "kind": one.plan.kind,
                    **{key: getattr(one, key) for key in _OF_EXPERIMENT},
                    **self._by(one.started_by or ANONYMOUS),
                }
                for one in repository.settings(name).experiments
                if version in (one.candidate, one.baseline)
            ],
            "lineage": {
                "aliases": aliases.get(version, []),
                "versions_from_the_same_data": [one for one in made_from if one != version],
                **self._history(name, version),
            },
        }
        return {**kept_card(repository, manifest), "since": since}

    def _by(self, name: str) -> Card:
        """Return the name of a key as a member, if the caller may see it."""
        return {"by": name if self.log.caller().allows(Scope.ADMIN) else None}

    def _made_from(self, name: str, fingerprint: str) -> Iterator[int]:
        for version in self.log.repository.versions(name):
            with suppress(ModelgateError):
                if self.log.repository.manifest(name, version).training_data.fingerprint == fingerprint:
                    yield version

    def _history(self, name: str, version: int) -> Card:
        """Return who made the version and moved its aliases, as far as the audit log goes back."""
        job = self.log.repository.files(name, version).training_job()
        try:
            entries = self._done(name)
        except RedisError:
            return {"training_job": job, "unknown": "Redis does not answer"}
        made = [
            {"action": entry["action"], "at": entry["time"], **self._by(entry["actor"])}
            for entry in entries
            if _has_made(entry, job, version)
        ]
        moves = [
            {"alias": alias, "version": to, "at": entry["time"], **self._by(entry["actor"])}
            for entry, alias, to in moves_of(version, entries)
        ]
        return {"training_job": job, "made": made[:1], "moves": moves}

    def makers(self, name: str, versions: Sequence[int]) -> Mapping[int, str]:
        """Return whose key made each of these versions, as far as the audit log goes back and the caller may see it."""
        entries: Sequence[Entry] = ()
        if self.log.caller().allows(Scope.ADMIN):
            with suppress(RedisError):
                entries = self._done(name)
        jobs = {version: self.log.repository.files(name, version).training_job() for version in versions}
        return {v: entry["actor"] for entry in reversed(entries) for v in versions if _has_made(entry, jobs[v], v)}

    def _done(self, name: str) -> Sequence[Entry]:
        return self.audit.page({"model": name, "outcome": Outcome.DONE}, LARGEST_PAGE, None).items

    def _observed(self, name: str, version: int) -> Card:
        health = None
        with suppress(RedisError):
            health = self.health.of(f"{name}@{version}")
        seen, found = self._asked(self.log.health, name, version), Card(reason="the key lacks the scope log")
        if self.log.caller().allows(Scope.LOG):
            found = self._asked(self.log.measure, name, version) if "watched" in seen else seen
        metrics = [
            {"metric": name, "value": one["value"], "interval": [one["low"], one["high"]], "outcomes": one["outcomes"]}
            for name, one in (found.get("metrics") or {}).items()
        ]
        drift = {"findings": list(health.findings) if health else [], "rows": seen.get("rows")}
        drift |= {"watched": seen.get("watched"), "drifted": [alarm["column"] for alarm in seen.get("alarms", ())]}
        counts = {key: found.get(key) for key in ("predictions", "outcomes")}
        return {
            "drift": {"unknown": seen.get("reason"), **drift},
            "outcomes": {"unknown": found.get("reason"), **counts, "metrics": metrics},
        }

    def _asked(self, ask: Callable[[str, str, float], Card], name: str, version: int) -> Card:
        try:
            return ask(name, str(version), TO_ANSWER)
        except (ObserverUnavailable, RedisError, Problem) as error:
            return {"reason": str(error)}


def _has_made(entry: Entry, job: str | None, version: int) -> bool:
    return entry["action"] in _MADE and (entry["job_id"] == job if job else entry["version"] == version)


def moves_of(version: int, entries: Sequence[Entry]) -> Iterator[tuple[Entry, str, int | None]]:
    """Yield the entries of the audit log with which an alias came to a version or left it, the oldest first, each with
    the alias and the version that it names then (None: it is deleted). `entries`: the newest first."""
    named: dict[str, int | None] = {}
    for entry in reversed(entries):
        to = None if entry["action"] == "delete_alias" else entry["version"]
        if alias := alias_moved_by(entry):
            if version in (to, named.get(alias)) and to != named.get(alias):
                yield entry, alias, to
            named[alias] = to


def alias_moved_by(entry: Entry) -> str | None:
    """Return the alias that an entry of the audit log has moved. A rollback, an approval and a page move `current`."""
    alias: str | None = entry["alias"] or (CURRENT if entry["action"] in _MOVED else None)
    return alias
