"""Deliveries of webhooks, as their sender sees them: events become deliveries, which are tried until they succeed."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any

from redis import Redis

from broker.link.outbox import Outbox
from broker.link.scripts import Call, Connected
from broker.records.job_kinds import kind_of
from broker.records.job_records import dumps
from broker.state.job_reading import read_jobs
from broker.state.webhook_store import ENDED, MOST_WAITING, body_of_event
from contract.work.jobs import Job, timestamp_now
from contract.work.webhooks import Subscription, target

MODELS = "mg-events:models"

CLAIM = 60.0
"""Seconds for which a sender has a delivery to itself, more than one try takes."""

_PARTS = 11
"""Values of each delivery that a claim returns."""

MOST_TRIES_KEPT = 10
"""Tries that are shown of a delivery."""


@dataclass(frozen=True)
class Ended:
    """A job that has ended. `entry` is its report; `job` None: it is gone already, and its `id`, `kind`, `model` and
    `owner` are all that is known. `url`: its own webhook, or None."""

    entry: bytes
    id: str
    event: str
    at: str
    kind: str
    model: str
    owner: str
    url: str | None
    job: Job | None


@dataclass(frozen=True)
class Planned:
    """A delivery to make. Its `id` is always the same for an event and a subscription, whose name is `webhook` ('': the
    job's own URL). It takes turns with others of its `owner` and `host`. `body`: b'' for that of a job, which is made
    of the job for each try."""

    id: str
    url: str
    webhook: str
    event: str
    owner: str
    host: str
    at: str
    model: str
    body: bytes = b""


@dataclass(frozen=True)
class Delivery(Planned):
    """A delivery that is due, of which `tries` have failed. Without a `body` it is of the end of the job `job_id`;
    `job`: as it is now, None if it is gone."""

    job_id: str = ""
    tries: int = 0
    job: Job | None = None


def of_event(
    event: str, at: str, data: Mapping[str, object], to: Sequence[Subscription], message: str = ""
) -> list[Planned]:
    """Return the deliveries of an event of the model or the key `data["name"]` to these subscriptions. An event with
    the id `message` may be planned again; '': it has an id of its own."""
    message, name = message or f"msg_{secrets.token_hex(16)}", str(data["name"])
    return [
        Planned(
            f"{message}_{one.name}",
            one.url,
            one.name,
            event,
            one.owner,
            host_of(one.url),
            at,
            name,
            body_of_event(event, at, data, one.format),
        )
        for one in to
    ]


def host_of(url: str) -> str:
    try:
        return target(url).host
    except ValueError:
        return ""


class Deliveries(Connected):
    """All deliveries. Several senders may use them at once. Every method is harmless to repeat and raises
    `redis.exceptions.RedisError`. What they send also has what is in `outbox`."""

    def __init__(self, connection: Redis, outbox: Outbox) -> None:
        super().__init__(connection)
        self._outbox = outbox

    def ended(self, most: int) -> list[Ended]:
        """Return the oldest ends that were reported and not planned, at most `most`. An entry that cannot be read is
        dropped. Up to two round trips."""
        ends = []
        for entry in self._redis.lrange(ENDED, 0, most - 1):
            try:
                data = json.loads(entry)
                ends.append((entry, data, data["id"], data["type"], data["at"], data["q"]))
            except (ValueError, TypeError, KeyError, RecursionError):
                self._redis.lrem(ENDED, 1, entry)
        jobs = read_jobs(self._scripts, [str(end[2]) for end in ends])
        return [_ended(*end, job) for end, job in zip(ends, jobs, strict=True)]

    def plan(self, ends: Sequence[tuple[bytes, str, Sequence[Planned]]]) -> list[int]:
        """Make the deliveries of some ends, each with its report and the id of its job, and forget the reports. Returns
        how many of each were given up, because too many of their owner wait. Raises `OutOfMemoryError` if Redis is
        full; then reports stay. One round trip."""
        steps = [
            Call("plan_deliveries", [entry, "", "", "", job_id, *_arguments(planned)])
            for entry, job_id, planned in ends
        ]
        return [given_up or 0 for given_up in self._outbox.send(self._scripts, steps)]

    def models(self) -> Mapping[str, str]:
        """Return the versions of each model as they were reported last, with the key '' once there are any."""
        return {name.decode(): text.decode() for name, text in self._redis.hgetall(MODELS).items()}

    def know_models(self, versions: Mapping[str, str]) -> None:
        """Remember the versions of all models without an event, when none are known."""
        self._redis.hset(MODELS, mapping={**versions, "": "1"})

    def plan_model(self, model: str, before: str, after: str, planned: Sequence[Planned]) -> bool:
        """Make the deliveries of a model whose versions were `before` and are `after` ('': none). Returns False if
        another sender was faster."""
        return bool(self._run("plan_deliveries", "", model, before, after, "", *_arguments(planned)))

    def plan_event(self, planned: Sequence[Planned]) -> None:
        """Make the deliveries of an event that nobody else plans."""
        self._run("plan_deliveries", "", "", "", "", "", *_arguments(planned))

    def claim(self, most: int, each_host: int, each_owner: int, in_flight: Iterable[Delivery]) -> list[Delivery]:
        """Return deliveries that are due, which no other sender gets for `CLAIM` seconds. Owners take turns, and the
        hosts of each; a host of an owner has `each_host` tries at a time at most, and an owner `each_owner`, with those
        `in_flight`. Two round trips."""
        held = [part for delivery in in_flight for part in (delivery.owner, delivery.host)]
        fields = self._run("claim_deliveries", most, round(CLAIM * 1000), each_host, each_owner, *held)
        rows: Iterable[Any] = zip(*(fields[start::_PARTS] for start in range(_PARTS)), strict=True)
        values: list[list[Any]] = [
            [*map(bytes.decode, texts), body, job_id.decode(), int(tries or 0)] for *texts, job_id, body, tries in rows
        ]
        claimed = [Delivery(*row) for row in values]
        of_jobs = [delivery.job_id for delivery in claimed if not delivery.body]
        jobs = dict(zip(of_jobs, read_jobs(self._scripts, of_jobs), strict=True)) if of_jobs else {}
        return [replace(delivery, job=jobs.get(delivery.job_id)) for delivery in claimed]

    def note(self, delivery: Delivery, status: str, attempt: Mapping[str, object], pause: float = 0) -> None:
        """Note a try, after which the delivery is `pending`, `delivered` or `failed`. It is due again after `pause`
        seconds, or its record is kept as long as its job."""
        number = delivery.tries + 1
        self._run("note_delivery", delivery.id, number, status, round(pause * 1000), dumps(attempt), MOST_TRIES_KEPT)

    def _run(self, name: str, *arguments: str | bytes | int | float) -> Any:
        (answer,) = self._outbox.send(self._scripts, [Call(name, arguments)])
        return answer


def _arguments(planned: Sequence[Planned]) -> list[str | bytes | int]:
    refusal = {
        "at": timestamp_now(),
        "status": None,
        "error": f"{MOST_WAITING} webhooks of its owner wait already, so this one is given up",
        "ms": 0,
    }
    return [MOST_WAITING, dumps(refusal), *(part for plan in planned for part in astuple(plan))]


def _ended(
    entry: bytes, data: Mapping[str, Any], job_id: str, event: str, at: str, queue: str, job: Job | None
) -> Ended:
    kind = kind_of(queue)
    model, owner = (kind.model_of(queue), kind.owner_of(queue)) if kind else ("", "")
    if job is not None:
        model, owner = job.model, job.owner
    return Ended(entry, job_id, event, at, kind.name if kind else "", model, owner, data.get("url"), job)
