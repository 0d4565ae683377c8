"""Announces models whose requests fail much more often than usual, and keys that expire soon."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from broker.access.key_store import Keys
from broker.metrics.traffic import Period, Point, TrafficReader, together
from broker.sides.deliveries import Deliveries, of_event
from broker.state.announced import Announced
from contract.model.repository import CURRENT, Repository
from contract.work.api_keys import Key
from contract.work.jobs import timestamp_now
from contract.work.webhooks import Subscription

WINDOW, CALM = 5, 15
"""Minutes in which errors have to be many, and in which they have to be few again."""
LEAST_ERRORS, LEAST_SHARE, TIMES_USUAL = 20, 0.1, 3
"""A model fails if at least so many requests were refused or failed, if that is at least this share of all, and so many
times the share of the day before."""
DAYS = (1, 14)
"""Days before its end at which a key is announced."""


@dataclass(frozen=True)
class Announcements:
    """What was announced is in Redis. One process looks at a time; if it ends in between, the next one repeats a
    message under the same id. Raises `redis.exceptions.RedisError`."""

    repository: Repository
    traffic: TrafficReader
    keys: Keys
    announced: Announced
    subscriptions: Callable[[], Sequence[Subscription]]
    deliveries: Deliveries

    def look(self) -> None:
        before = self.announced.read()
        names = self.repository.names()
        issued = [issued.key for issued in self.keys.all()]
        self._look_at_models(names, before)
        self._look_at_keys(issued, before)
        present = {f"model:{name}" for name in names} | {f"key:{key.id}" for key in issued}
        for gone in before.keys() - present:
            self.announced.note(gone, None)

    def _look_at_models(self, names: Sequence[str], before: Mapping[str, str]) -> None:
        recent = self.traffic.newest(Period.HOURS, names, CALM + 1) if names else []
        for model, minutes in zip(names, recent, strict=True):
            name = f"model:{model}"
            if name not in before:
                if _errors(minutes[-WINDOW - 1 :]) >= LEAST_ERRORS and (finding := self._spike(model, minutes)):
                    self._announce("model.failing", model, str(minutes[-1].start), [finding])
                    self.announced.note(name, str(minutes[-1].start))
            elif _is_calm(together(minutes)):
                self._announce("model.failing_ended", model, before[name], [])
                self.announced.note(name, None)

    def _spike(self, model: str, minutes: Sequence[Point]) -> str:
        """Return what is wrong; '' if errors are not more than usual."""
        now = together(minutes[-WINDOW - 1 :])
        (day,) = self.traffic.newest(Period.DAY, [model], Period.DAY.points)
        usual = together(day[:-1]).error_share or 0.0  # the newest quarter of an hour has the spike itself
        share = now.error_share or 0.0
        if share < max(LEAST_SHARE, TIMES_USUAL * usual):
            return ""
        return (
            f"{now.refused + now.failed} of {now.requests} requests ({share:.0%}) were refused or failed within"
            f" {WINDOW} minutes; in the 24 hours before it was {usual:.1%}"
        )

    def _announce(self, event: str, model: str, since: str, findings: Sequence[str]) -> None:
        data = {"name": model, "version": self.repository.aliases(model).get(CURRENT), "findings": findings}
        to = [one for one in self.subscriptions() if one.wants(event, model)]
        self.deliveries.plan_event(
            of_event(event, timestamp_now(), data, to, f"msg_{event.partition('.')[2]}_{model}_{since}")
        )

    def _look_at_keys(self, keys: Iterable[Key], before: Mapping[str, str]) -> None:
        for key in keys:
            stage = stage_of(key)
            if stage is None or before.get(f"key:{key.id}") == stage:
                continue
            data = {"name": key.name, "id": key.id, "owner": key.owner, "user": key.user, "expires_at": key.expires_at}
            to = [one for one in self.subscriptions() if "key.expiring" in one.events and not one.owner]
            self.deliveries.plan_event(of_event("key.expiring", timestamp_now(), data, to, f"msg_{key.id}_{stage}"))
            self.announced.note(f"key:{key.id}", stage)


def _errors(points: Iterable[Point]) -> int:
    return sum(point.refused + point.failed for point in points)


def _is_calm(point: Point) -> bool:
    return _errors([point]) < LEAST_ERRORS or (point.error_share or 0.0) < LEAST_SHARE


def stage_of(key: Key) -> str | None:
    """Return the end of the key and the days before it of which one is reached; None if none is. A key that was made
    for less than these days is not announced."""
    if not key.expires_at or not key.created_at:
        return None
    end = datetime.fromisoformat(key.expires_at)
    left, life = end - datetime.now(UTC), end - datetime.fromisoformat(key.created_at)
    reached = [days for days in DAYS if timedelta() < left <= timedelta(days=days) < life]
    return f"{reached[0]}d_{end.timestamp():.0f}" if reached else None
