"""Webhooks in Redis, as the gateway sees them: the subscriptions, and what became of the deliveries of a job."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from broker.link.scripts import Durable
from broker.records.job_kinds import job_events
from broker.records.job_records import dumps
from contract.work.jobs import timestamp
from contract.work.webhooks import MODEL_EVENTS, Format, Subscription, chat_text
from runtime import exact_json

SUBSCRIPTIONS = "mg-gateway:webhooks"
"""The hash of all subscriptions. A process that runs models or recipes cannot write it (`broker/acl`): it could have
the jobs of others sent to itself."""
ENDED = "mg:webhooks:ended"
"""The list of ends that the scripts report (`endings.lua`)."""
DUE = "mg-events:due"
"""The owners whose deliveries wait, by the time of their next turn in milliseconds (`deliveries.lua`)."""
WAITING = "mg-events:waiting"
"""The hash of how many deliveries of each owner wait."""
LAST_TRIES = "mg-events:last"
"""The hash of each subscription's last try, as JSON."""

EVENTS = (*job_events(), *MODEL_EVENTS)
"""What a subscription can ask for."""

MOST = 100
"""Most subscriptions."""
MOST_WAITING = 10_000
"""Most deliveries of an owner that wait; those beyond are given up. One takes about 1.6 KB, and 2 KB more with the
longest URL."""

_PER_CALL = 500
"""Deliveries that one script deletes."""


def body_of_event(event: str, at: str, data: Mapping[str, Any], form: Format = Format.STANDARD) -> bytes:
    """Return the body of a message."""
    chat = form is Format.CHAT
    return exact_json.dumps(
        {"text": chat_text(event, data)} if chat else {"type": event, "timestamp": at, "data": data}
    )


class TooManyWebhooks(Exception):
    """The limit is reached; the message says what to do."""


class Webhooks(Durable):
    """All subscriptions. Raises `redis.exceptions.RedisError`."""

    def all(self) -> list[Subscription]:
        """Return the subscriptions by name. One round trip."""
        subscriptions = [readable(text) for text in self._redis.hgetall(SUBSCRIPTIONS).values()]
        return sorted(
            (subscription for subscription in subscriptions if subscription is not None),
            key=lambda subscription: subscription.name,
        )

    def get(self, name: str) -> Subscription | None:
        return readable(self._redis.hget(SUBSCRIPTIONS, name))

    def replace(self, name: str, before: Subscription | None, after: Subscription | None) -> bool:
        """Replace `before` (None: there is none) by `after` (None: by none). Returns False, and changes nothing, if the
        subscription is no longer `before`. Raises `TooManyWebhooks`."""
        present = self._redis.hget(SUBSCRIPTIONS, name) or b""
        if readable(present) != before:
            return False
        entry = "" if after is None else dumps(after.to_json())
        answer = self._write("change_webhooks", [name, entry, present, MOST])
        if answer == -1:
            raise TooManyWebhooks(f"there are {MOST} webhooks already; delete one first")
        return bool(answer)

    def last_tries(self) -> Mapping[str, Mapping[str, object]]:
        """Return the last try of each subscription that has had one, by name. One round trip."""
        tries = self._redis.hgetall(LAST_TRIES).items()
        return {name.decode(errors="replace"): json.loads(text) for name, text in tries}

    def waiting(self) -> Mapping[str, int]:
        """Return how many deliveries of each owner wait. One round trip."""
        return {owner.decode(): int(count) for owner, count in self._redis.hgetall(WAITING).items()}

    def delete_waiting(self, owner: str, host: str = "") -> int:
        """Delete the deliveries of an owner that wait, to `host` or to all ('')."""
        deleted = 0
        while gone := self._scripts.run("delete_deliveries", owner, host, _PER_CALL):
            deleted += gone
        return deleted

    def deliveries(self, job_id: str) -> list[Mapping[str, Any]]:
        """Return the deliveries of a job as JSON, in the order of their ids. Two round trips."""
        ids = sorted(name.decode() for name in self._redis.smembers(f"mg-events:of:{job_id}"))
        hashes = self._scripts.send([("HGETALL", f"mg-events:delivery:{name}") for name in ids]) if ids else []
        return [_delivery(name, fields) for name, fields in zip(ids, hashes, strict=True) if fields]


def seconds_late(first_end: Any, first_turn: Sequence[tuple[bytes, float]], now: float) -> float:
    """Return the seconds since the first end was reported that is not planned, or since the first turn was due. A
    worker may have written anything to the list of ends, or something else than a list."""
    late = now - first_turn[0][1] / 1000 if first_turn else 0.0
    with suppress(ValueError, TypeError, KeyError, AttributeError):
        late = max(late, now - datetime.fromisoformat(json.loads(first_end or b"{}")["at"]).timestamp())
    return max(0.0, late)


def readable(text: bytes | None) -> Subscription | None:
    """Return the subscription in an entry. One that cannot be read is none."""
    try:
        return Subscription.from_json(json.loads(text)) if text else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _delivery(name: str, fields: Mapping[bytes, bytes]) -> Mapping[str, Any]:
    tries = sorted((int(key[4:]), json.loads(text)) for key, text in fields.items() if key.startswith(b"try:"))
    following = fields.get(b"next")
    return {
        "id": name,
        "type": fields[b"type"].decode(),
        "url": fields[b"url"].decode(),
        "webhook": fields[b"webhook"].decode() or None,
        "status": fields[b"status"].decode(),
        "created_at": fields[b"created_at"].decode(),
        "next_try_at": following and timestamp(datetime.fromtimestamp(int(following) / 1000, UTC)),
        "tries": [attempt for _, attempt in tries],
    }
