"""Why requests to a model fail, as a caller may see it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from broker.access.key_store import IssuedKey
from broker.metrics.traffic import Period
from broker.state.failures import Cause, FailureBoard, FailureCount, FailureEntry
from contract.model.repository import Repository
from contract.retention import DAY, HOUR, Retention
from contract.work.api_keys import Detail, Key, Scope
from gateway.serving.failure_sentences import sentence_of
from gateway.serving.model_versions import check_model, resolve
from gateway.serving.traffic import Traffic, moment_of


class Sender(NamedTuple):
    """The name of a key, its owner and its id; name and id are None if they are unknown or none of the caller's
    business. The owner is None for all other keys, and '' for requests without a key."""

    name: str | None
    owner: str | None
    key_id: str | None = None


_WITHOUT_RECORD: Mapping[str, Sender] = {"admin": Sender("ADMIN_KEY", None), "": Sender(None, "")}
"""The senders of callers that are no key in Redis."""


@dataclass(frozen=True)
class FailureCause:
    """What requests have failed of. `versions`: how many by version, None if it was unknown. `senders`: by key."""

    code: str
    field: str
    field_code: str
    count: FailureCount
    versions: Mapping[int | None, int]
    senders: Mapping[Sender, int]
    example: Any

    @property
    def sentence(self) -> str:
        return sentence_of(self.code, self.field, self.field_code)

    @property
    def since(self) -> str:
        return moment_of(self.count.first)

    @property
    def last(self) -> str:
        return moment_of(self.count.last)

    def to_json(self, requests: int) -> dict[str, Any]:
        return {
            "code": self.code,
            "field": self.field or None,
            "field_code": self.field_code or None,
            "message": self.sentence,
            "count": self.count.number,
            "share": self.count.number / requests,
            "first_at": self.since,
            "last_at": self.last,
            "versions": [{"version": version, "count": count} for version, count in self.versions.items()],
            "keys": [{"name": one.name, "owner": one.owner, "count": count} for one, count in self.senders.items()],
            "example": self.example,
        }


@dataclass(frozen=True)
class FailureReport:
    """The causes of the failed requests to a model since `start` (Unix time), those with the most requests first, and
    how many `requests` there were in all. A request with several wrong fields counts for each."""

    start: int
    requests: int
    causes: Sequence[FailureCause]

    @property
    def since(self) -> str:
        return moment_of(self.start)

    def to_json(self) -> dict[str, Any]:
        items = [cause.to_json(self.requests) for cause in self.causes]
        return {"since": self.since, "requests": self.requests, "items": items}


@dataclass(frozen=True)
class Failures:
    """Reads why requests failed. `repository` and `traffic`: those of the caller. `all_keys` returns the keys."""

    board: FailureBoard
    traffic: Traffic
    repository: Repository
    all_keys: Callable[[], Sequence[IssuedKey]]
    caller: Callable[[], Key]

    def of_model(self, model: str, since: float | None = None, version: str | None = None) -> FailureReport:
        """Return the causes since a time (Unix time; by default a day ago), at most for as long as they are kept, of
        all versions or of one (a number or an alias). Raises `Problem` without such a model or version, and
        `RedisError`."""
        check_model(self.repository, model)
        start, period = _start(since)
        entries, examples = self.board.read(model, start)
        number = resolve(self.repository, f"{model}@{version}")[1] if version else None
        if number is not None:
            entries = {entry: count for entry, count in entries.items() if entry.version == str(number)}
        causes = self._causes(entries, examples)
        points = self.traffic.of_model(model, period, number).points
        # Traffic does not count requests that were refused before their version was known, and is ten seconds late.
        requests = sum(point.answered + point.refused for point in points if point.start >= start)
        requests += sum(cause.versions.get(None, 0) for cause in causes)
        return FailureReport(start, max([requests, *(cause.count.number for cause in causes)], default=0), causes)

    def _causes(
        self, entries: Mapping[FailureEntry, FailureCount], examples: Mapping[Cause, Any]
    ) -> list[FailureCause]:
        terse = self.caller().detail is Detail.TERSE
        alike: dict[Cause, list[tuple[FailureEntry, FailureCount]]] = {}
        for entry, count in entries.items():
            alike.setdefault((entry.code, "", "") if terse else entry.cause, []).append((entry, count))
        senders = self._senders({entry.caller for entry in entries})
        causes = [_cause(cause, alike[cause], senders, examples) for cause in alike]
        return sorted(causes, key=lambda cause: (-cause.count.number, cause.code, cause.field, cause.field_code))

    def _senders(self, callers: Iterable[str]) -> dict[str, Sender]:
        """Return who an admin sees behind each caller of the entries; others only see the keys of their owner."""
        callers, asking = set(callers), self.caller()
        keys = {issued.key.id: issued.key for issued in self.all_keys()} if callers - {""} else {}
        senders: dict[str, Sender] = {}
        for caller in callers:
            key = keys.get(caller)
            sender = _WITHOUT_RECORD.get(caller, Sender(caller, None))
            sender = Sender(key.name, key.owner, key.id) if key else sender
            if not asking.allows(Scope.ADMIN) and sender.owner != "":
                sender = Sender(None, sender.owner if sender.owner == asking.owner else None)
            senders[caller] = sender
        return senders


def _cause(
    cause: Cause,
    entries: Sequence[tuple[FailureEntry, FailureCount]],
    senders: Mapping[str, Sender],
    examples: Mapping[Cause, Any],
) -> FailureCause:
    total = FailureCount(0, entries[0][1].first, entries[0][1].last)
    versions: Counter[int | None] = Counter()
    by_sender: Counter[Sender] = Counter()
    for entry, count in entries:
        total.add(count)
        versions[int(entry.version) if entry.version.isdecimal() else None] += count.number
        by_sender[senders[entry.caller]] += count.number
    of_version, of_sender = dict(versions.most_common()), dict(by_sender.most_common())
    return FailureCause(*cause, total, of_version, of_sender, examples.get(cause))


def _start(since: float | None) -> tuple[int, Period]:
    """Return the beginning of what is counted, and the period whose points begin there: failures are counted by the
    hour, and requests of earlier days by six hours."""
    now = time.time()
    if since is None or since >= now - DAY + HOUR:
        return int(max(since or 0, now - DAY + HOUR)) // HOUR * HOUR, Period.DAY
    step = Period.MONTH.step
    return int(max(since, now - Retention.failures + step)) // step * step, Period.MONTH
