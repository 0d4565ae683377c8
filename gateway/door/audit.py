"""Audits requests: privileged actions, refusals and failures."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from broker.access.audit_log import ANONYMOUS, AuditEntry, AuditLog, Outcome, Stream, log_entry
from broker.link.scripts import Call
from gateway.http.exchange import Exchange
from gateway.http.rules import READING

TIMEOUT = 1.0
"""Seconds that Redis has to take an entry. The answer to a privileged action waits for it."""

REQUEST = "request"
"""The action of a refused request to a route that declares none."""

SUMMARY_EVERY = 60.0
"""Seconds from an entry to the next similar one, which counts all requests in between."""

MOST_GROUPS = 100
"""Most groups of similar entries with a key, and as many without one, so that an attack without a key pushes out none
with a key. All further entries are one group for each key, and one without a key: attacks take no more memory."""

TRIM_EVERY = 3600.0
"""Seconds after which old entries are removed, even if there are no new ones."""

_REFUSED = frozenset({401, 403, 429})


@dataclass(frozen=True)
class Audit:
    """Writes an entry for each audited action that succeeded, before its answer leaves. Refused and failed requests go
    to `Repetitions`. A request that is not audited costs two comparisons."""

    log: AuditLog
    repetitions: Repetitions

    def __call__(self, exchange: Exchange) -> None:
        route, status = exchange.route, exchange.status
        action = None if route is None else route.audit
        if action is None:
            if status not in _REFUSED and exchange.ignored_key is None:
                return
            action = REQUEST
        elif exchange.environ["REQUEST_METHOD"] in READING:  # OPTIONS, which Flask answers for every route
            return
        entry = _entry(exchange, action if isinstance(action, str) else action(exchange.environ))
        if exchange.further_action:
            further = replace(entry, action=exchange.further_action, outcome=Outcome.DONE, job_id=None)
            self.log.write(further)
        if entry.outcome is Outcome.DONE:
            self.log.write(entry, privileged=route is not None and route.audited)
        else:
            self.repetitions.add(entry)


def _entry(exchange: Exchange, action: str) -> AuditEntry:
    caller, arguments, status = exchange.caller, exchange.arguments, exchange.status
    refused = status in _REFUSED or exchange.ignored_key is not None
    outcome = Outcome.REFUSED if refused else Outcome.DONE if 200 <= status < 400 else Outcome.FAILED
    method = exchange.environ["REQUEST_METHOD"]
    model = exchange.model or arguments.get("name", arguments.get("reference"))
    return AuditEntry(
        action,
        caller.name or ANONYMOUS,
        outcome,
        owner=caller.owner or None,
        key_id=caller.id or None,
        client=exchange.environ.get("REMOTE_ADDR"),
        request_id=exchange.request_id,
        route=None if exchange.route is None else f"{method} {exchange.route.rule}",
        model=model,
        version=exchange.version or _number(arguments.get("version")),
        alias=exchange.alias or arguments.get("alias"),
        job_id=exchange.job_id or arguments.get("job_id"),
        on_key=exchange.on_key or arguments.get("key_id"),
        status=status or None,
        code=exchange.ignored_key or exchange.code,
    )


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else None


@dataclass
class _Group:
    """Similar entries: the last one, how many came since the last report, and when the next report is due."""

    latest: AuditEntry
    due: float
    count: int = 0


_Groups = dict[tuple[str | None, ...], _Group]


class Repetitions:
    """Reports the first of similar entries at once, and then their count once a minute. A source of the outbox.

    Entries are similar if client, key, action and code are the same.
    """

    def __init__(self, log: AuditLog, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` returns seconds."""
        self._log = log
        self._clock = clock
        self._with_key: _Groups = {}
        self._without_key: _Groups = {}
        self._reported: list[AuditEntry] = []
        self._trim_at = float("-inf")

    def add(self, entry: AuditEntry) -> None:
        """Report or count the entry of a request that was refused or has failed."""
        groups = self._without_key if entry.key_id is None else self._with_key
        group: tuple[str | None, ...] = (entry.client, entry.key_id, entry.action, entry.code)
        similar = groups.get(group)
        if similar is None and len(groups) >= MOST_GROUPS:
            group = (entry.key_id,)
            entry = AuditEntry(REQUEST, entry.actor, entry.outcome, owner=entry.owner, key_id=entry.key_id)
            similar = groups.get(group)
        if similar is None:
            groups[group] = _Group(entry, self._clock() + SUMMARY_EVERY)
            self._report(entry)
        else:
            similar.latest = entry
            similar.count += 1

    def close(self) -> None:
        """Report all counts with the next steps, which are the last ones of this process."""
        for group in (*self._with_key.values(), *self._without_key.values()):
            group.due = float("-inf")

    def steps(self) -> Sequence[Call]:
        """Return the call that writes the reports that are due."""
        now = self._clock()
        for groups in (self._with_key, self._without_key):
            for name, group in [(name, group) for name, group in groups.items() if group.due <= now]:
                if group.count:
                    self._report(replace(group.latest, count=group.count))
                    group.count, group.due = 0, now + SUMMARY_EVERY
                else:
                    del groups[name]
        if not self._reported and now < self._trim_at:
            return ()
        self._trim_at = now + TRIM_EVERY
        reported, self._reported = self._reported, []
        return [self._log.call((Stream.of(entry, privileged=False), entry) for entry in reported)]

    def _report(self, entry: AuditEntry) -> None:
        log_entry(entry)
        self._reported.append(entry)
