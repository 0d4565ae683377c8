"""The audit log: who did what, when, from where and with what outcome, in Redis and as lines of the log."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import orjson
from redis import Redis
from redis.exceptions import RedisError

from broker.link.scripts import Call, Durability, Scripts
from broker.records.job_records import dumps
from contract.work.api_keys import without_keys
from contract.work.jobs import timestamp
from runtime.logs import AUDIT

ANONYMOUS, INBOX, COMMAND_LINE, SCHEDULE, TRAINER = "anonymous", "inbox", "command line", "schedule", "trainer"
EXPERIMENT = "experiment"
"""Actors without a key; their entries have no `key_id`."""


class Stream(StrEnum):
    """The streams of the audit log. Callers without a privilege must not be able to push out privileged actions. The
    trainer, which runs recipes, must not be able to remove entries of gateways (`broker/acl`)."""

    PRIVILEGED = "mg-gateway:audit"
    """Privileged actions over HTTP that succeeded, and `python -m gateway key`."""
    OTHERS = "mg-gateway:audit:others"
    """Requests with a key that were refused or have failed."""
    TRAINER = "mg:audit:trainer"
    """Actions of the trainer without HTTP."""
    ANYBODY = "mg-gateway:audit:anybody"
    """Entries that anybody can make in any number: refused and failed requests without a key, and deleted jobs."""

    @classmethod
    def of(cls, entry: AuditEntry, *, privileged: bool) -> Stream:
        """Return the stream for an entry of a gateway. `privileged`: the action takes a privilege."""
        if entry.outcome is Outcome.DONE:
            return cls.PRIVILEGED if privileged else cls.ANYBODY
        return cls.ANYBODY if entry.key_id is None else cls.OTHERS


MOST_BYTES = 64 * 1024 * 1024
"""Most bytes of each stream in Redis, which also takes at most a twentieth of `maxmemory`. The oldest entries leave."""

LARGEST_PAGE = 500
_LOOK, _LOOKS = 1000, 10
"""Entries that are read from each stream at once, and reads before a call returns a short page."""

_LONGEST = 128
"""Characters of a text in an entry; longer ones are cut."""

_DAY = 86_400_000
ENTRY_ID = re.compile(r"([0-9]{1,16})-([0-9]{1,20})-([0-3])", re.ASCII)
_OF_TRAINER = ("action", "actor", "outcome", "owner", "model", "version", "alias", "job_id", "code", "count")

log = logging.getLogger(AUDIT)


class Outcome(StrEnum):
    """`refused`: the caller may not do this, or not so often. `failed`: it was not done for another reason."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One action, or `count` similar ones. None: unknown, or not part of this action.

    `actor`: the name of the key, or one of the actors above. `owner` and `key_id`: of the key; a schedule has an owner,
    too. `client`: the address. `model`, `version`, `alias`, `job_id` and `on_key` (the id of a key): the objects that
    the action changed or made. `status` and `code`: of the answer; a failure outside of HTTP has only a `code`.
    """

    action: str
    actor: str
    outcome: Outcome = Outcome.DONE
    owner: str | None = None
    key_id: str | None = None
    client: str | None = None
    request_id: str | None = None
    route: str | None = None
    model: str | None = None
    version: int | None = None
    alias: str | None = None
    job_id: str | None = None
    on_key: str | None = None
    status: int | None = None
    code: str | None = None
    count: int = 1

    def to_json(self) -> dict[str, Any]:
        """Return the fields, with long texts cut and API keys masked: a client may send one in the wrong place."""
        return {name: _harmless(value) if isinstance(value, str) else value for name, value in asdict(self).items()}

    def sentence(self) -> str:
        """Return the message of the log line of this entry."""
        about = f"{self.model}@{self.version}" if self.model and self.version else self.model or self.on_key
        text = f"{self.action}{f' of {about}' if about else ''} by {self.actor}: {self.outcome}"
        return _harmless(f"{text} {self.count} times" if self.count > 1 else text)


def _harmless(text: str) -> str:
    return without_keys(text)[:_LONGEST]


FIELDS = tuple(entry.name for entry in fields(AuditEntry))
FILTERS = ("action", "actor", "owner", "key_id", "client", "model", "job_id", "on_key", "outcome", "code")
"""Fields by which `AuditLog.page` filters: an entry must have exactly the given value."""


@dataclass(frozen=True)
class AuditPage:
    """Entries, newest first, each with its `id` and `time`. `next_cursor` is None on the last page; an earlier page
    can be short."""

    items: Sequence[Mapping[str, Any]]
    next_cursor: str | None


_Position = tuple[int, int, int]
"""The position of an entry: its id in its stream, then the number of that stream. It is unique, unlike the id."""


class AuditLog:
    """The audit log in Redis."""

    def __init__(
        self, connection: Redis | None, days: int, durability: Durability | None = None, *, of_trainer: bool = False
    ) -> None:
        """`days`: how long entries are kept. `durability` decides when an entry counts as written. Without a
        connection, entries are only logged. `of_trainer`: the trainer writes the entries."""
        self._redis: Any = connection
        self._scripts = None if connection is None else Scripts(connection)
        self._kept = days * _DAY
        self._durability = durability or Durability()
        self._of_trainer = of_trainer

    def write(self, entry: AuditEntry, *, privileged: bool = True) -> None:
        """Log an entry and add it to Redis, in one round trip. If Redis does not take it, the log line says so."""
        log_entry(entry, self.add(entry, privileged=privileged))

    def add(self, entry: AuditEntry, *, privileged: bool = True) -> RedisError | None:
        """Add an entry to Redis. Returns the error if Redis has not taken it, else None."""
        if self._scripts is None:
            return None
        stream = Stream.TRAINER if self._of_trainer else Stream.of(entry, privileged=privileged)
        try:
            (lost,) = self._durability.send(self._scripts.send, [self.call([(stream, entry)])])
        except RedisError as error:
            return error
        if lost:
            log.warning("the audit log is full: %d entries were removed before their time was over", lost)
        return None

    def call(self, entries: Iterable[tuple[Stream, AuditEntry]] = ()) -> Call:
        """Return the call that adds entries to their streams, and removes old ones."""
        trimmed = [Stream.TRAINER] if self._of_trainer else [*Stream]
        written = [part for stream, entry in entries for part in (stream, dumps(entry.to_json()))]
        return Call("audit", [secrets.token_hex(8), self._kept, MOST_BYTES, " ".join(trimmed), *written])

    def page(
        self,
        wanted: Mapping[str, str],
        limit: int,
        cursor: str | None,
        since: datetime | None = None,
        until: datetime | None = None,
        looks: int | None = None,
    ) -> AuditPage:
        """Return at most `limit` (1 to `LARGEST_PAGE`) entries whose fields have the values `wanted`. `since` is
        included, `until` is not. Each of the `looks` (ten by default) reads a thousand
        entries of each stream.

        Raises `ValueError` for a `cursor` that is no page's `next_cursor`, or a `limit` out of range, and `RedisError`.
        """
        if not 1 <= limit <= LARGEST_PAGE:
            raise ValueError(f"limit={limit} is not between 1 and {LARGEST_PAGE}")
        now = _milliseconds(datetime.now(UTC))
        end = _milliseconds(until) if until else now + _DAY  # the clock of Redis may be ahead
        position, oldest = _position_of(cursor) if cursor else (end, 0, 0), now - self._kept
        if since is not None:
            oldest = max(oldest, _milliseconds(since))
        items: list[Mapping[str, Any]] = []
        for _ in range(_LOOKS if looks is None else looks):
            entries, more = self._read(position, oldest)
            for at, text in entries:
                entry = _read_entry(text, at)
                if entry and all(entry.get(name) == value for name, value in wanted.items()):
                    if len(items) == limit:
                        return AuditPage(items, items[-1]["id"])
                    items.append(_shown(at, entry))
                position = at
            if not more:
                return AuditPage(items, None)
        return AuditPage(items, _id_of(position))

    def _read(self, after: _Position, oldest: int) -> tuple[list[tuple[_Position, bytes]], bool]:
        """Return the next entries of all streams in order, and whether there may be more."""
        with self._redis.pipeline(transaction=False) as pipeline:
            for number, stream in enumerate(Stream):
                pipeline.xrevrange(stream, _highest(after, number), str(oldest), count=_LOOK)
            chunks = pipeline.execute(raise_on_error=False)
        for stream, chunk in zip(Stream, chunks, strict=True):
            if isinstance(chunk, RedisError) and stream is not Stream.TRAINER:
                raise chunk
        positions = [
            [(_position_of(f"{entry_id.decode()}-{number}"), values.get(b"entry", b"")) for entry_id, values in chunk]
            for number, chunk in enumerate(chunks)
            if not isinstance(chunk, RedisError)  # the trainer can replace its own stream by another type
        ]
        # A stream with more entries may continue before the others end.
        ends = [chunk[-1][0] for chunk in positions if len(chunk) == _LOOK]
        entries = [entry for chunk in positions for entry in chunk if not ends or entry[0] >= max(ends)]
        return sorted(entries, reverse=True), bool(ends)


def log_entry(entry: AuditEntry, missing: Exception | None = None) -> None:
    """Log an entry. `missing`: the error if Redis has not taken it."""
    if missing is None:
        log.info("%s", entry.sentence(), extra=entry.to_json())
    else:
        log.error("%s; Redis has not taken this entry: %s", entry.sentence(), missing, extra=entry.to_json())


def _highest(after: _Position, stream: int) -> str:
    """Return the upper end for XREVRANGE of the entries in a stream that follow `after`."""
    milliseconds, number, of_stream = after
    return f"{'' if stream < of_stream else '('}{milliseconds}-{number}"


def _milliseconds(moment: datetime) -> int:
    return max(1, round(moment.timestamp() * 1000))


def _position_of(cursor: str) -> _Position:
    matched = ENTRY_ID.fullmatch(cursor)
    if matched is None:
        raise ValueError(f"{cursor[:64]!r} is not a cursor of this list")
    milliseconds, number, stream = map(int, matched.groups())
    return milliseconds, number, stream


def _id_of(position: _Position) -> str:
    return "-".join(map(str, position))


def _read_entry(text: bytes, position: _Position) -> dict[str, Any] | None:
    """Return the fields of an entry; None if it cannot be read. The trainer can write anything into its own stream, so
    its entries keep only the fields that it can know."""
    try:
        entry = orjson.loads(text)
    except ValueError:
        return None
    if not isinstance(entry, dict) or [*Stream][position[2]] is not Stream.TRAINER:
        return entry if isinstance(entry, dict) else None
    known = {name: value for name in _OF_TRAINER if isinstance(value := entry.get(name), str | int)}
    actor = known.get("actor")
    return {**known, "actor": actor if actor in (INBOX, COMMAND_LINE, SCHEDULE, EXPERIMENT) else TRAINER}


def _shown(position: _Position, entry: Mapping[str, Any]) -> dict[str, Any]:
    time = timestamp(datetime.fromtimestamp(position[0] / 1000, UTC))
    return {"id": _id_of(position), "time": time, **{name: entry.get(name) for name in FIELDS}}
