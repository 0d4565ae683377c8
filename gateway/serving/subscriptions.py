"""Subscriptions to events: made, listed, deleted. Decides which of them, and of their deliveries, a caller sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from broker.sides.deliveries import Deliveries, of_event
from broker.state.webhook_store import TooManyWebhooks, Webhooks
from contract.work.api_keys import Key, Scope
from contract.work.jobs import timestamp_now
from contract.work.webhooks import TEST, Subscription
from gateway.problems import Problem, ProblemCode


@dataclass(frozen=True)
class Subscriptions:
    """What a caller does with subscriptions. That of another owner does not exist for the caller, unless it is an
    admin. Raises `Problem` and `redis.exceptions.RedisError`."""

    webhooks: Webhooks
    to_send: Deliveries
    caller: Callable[[], Key]

    def all(self) -> list[tuple[Subscription, Mapping[str, object] | None]]:
        """Return the caller's subscriptions by name, each with its last try."""
        tries = self.webhooks.last_tries()
        return [
            (subscription, tries.get(subscription.name))
            for subscription in self.webhooks.all()
            if self._exists(subscription)
        ]

    def get(self, name: str) -> tuple[Subscription, Mapping[str, object] | None]:
        subscription = self.webhooks.get(name)
        if subscription is None or not self._exists(subscription):
            raise _unknown(name)
        return subscription, self.webhooks.last_tries().get(name)

    def put(self, wanted: Subscription) -> tuple[Subscription, bool]:
        """Store the subscription. Returns it, and whether there was none of its name."""
        while True:
            before = self.webhooks.get(wanted.name)
            if before is not None and not self._exists(before):
                detail = f"another owner has a webhook {wanted.name!r}; take another name"
                raise Problem(ProblemCode.NAME_TAKEN, detail)
            after = wanted if before is None else replace(wanted, created_at=before.created_at)
            try:
                if self.webhooks.replace(wanted.name, before, after):
                    return after, before is None
            except TooManyWebhooks as error:
                raise Problem(ProblemCode.TOO_MANY_WEBHOOKS, str(error)) from error

    def delete(self, name: str) -> None:
        while True:
            before, _ = self.get(name)
            if self.webhooks.replace(name, before, None):
                return

    def test(self, name: str) -> None:
        """Send a message to the URL of the subscription, as any other is sent."""
        subscription, _ = self.get(name)
        self.to_send.plan_event(of_event(TEST, timestamp_now(), {"name": name}, [subscription]))

    def deliveries(self, job_id: str) -> list[Mapping[str, Any]]:
        """Return the deliveries of a job to its own URL, and to the subscriptions that the caller may list."""
        caller, deliveries = self.caller(), self.webhooks.deliveries(job_id)
        if caller.allows(Scope.ADMIN):
            return deliveries
        listed = self.webhooks.all() if caller.allows(Scope.PUBLISH) else []
        # A delivery from before the subscription went to another one of the same name, which was deleted.
        since = {item.name: item.created_at for item in listed if self._exists(item)}
        return [
            delivery
            for delivery in deliveries
            if (name := delivery["webhook"]) is None or (name in since and since[name] <= delivery["created_at"])
        ]

    def waiting(self) -> list[Mapping[str, object]]:
        """Return how many deliveries of each owner wait, the most first."""
        waiting = sorted(self.webhooks.waiting().items(), key=lambda item: (-item[1], item[0]))
        return [{"owner": owner, "waiting": count} for owner, count in waiting]

    def delete_waiting(self, owner: str | None, host: str) -> int:
        """Delete the deliveries of an owner that wait, to `host` or to all (''). Returns how many."""
        if owner is None:
            detail = "?owner= is missing; name the owner whose webhooks are to be deleted, or none with ?owner="
            raise Problem(ProblemCode.INVALID_PARAMETER, detail)
        return self.webhooks.delete_waiting(owner, host.lower())

    def _exists(self, subscription: Subscription) -> bool:
        caller = self.caller()
        return caller.allows(Scope.ADMIN) or (subscription.owner == caller.owner)


def _unknown(name: str) -> Problem:
    return Problem(
        ProblemCode.UNKNOWN_WEBHOOK, f"there is no webhook {name[:64]!r}; list the webhooks to see which there are"
    )
