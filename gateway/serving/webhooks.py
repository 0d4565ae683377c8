"""Subscriptions to events: made, listed, deleted. Decides which of them a caller sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from broker.webhooks import TooManyWebhooks, Webhooks
from contract.keys import Key, Scope
from contract.webhooks import Subscription
from gateway.refusals import Reason, Refusal


@dataclass(frozen=True)
class Subscriptions:
    """What a caller does with subscriptions. That of another owner does not exist for the caller, unless it is an
    admin. Raises `Refusal` and `redis.exceptions.RedisError`."""

    webhooks: Webhooks
    caller: Callable[[], Key]

    def all(self) -> list[tuple[Subscription, Mapping[str, object] | None]]:
        """Return the caller's subscriptions by name, each with its last try."""
        tries = self.webhooks.last_tries()
        return [(one, tries.get(one.name)) for one in self.webhooks.all() if self._exists(one)]

    def get(self, name: str) -> tuple[Subscription, Mapping[str, object] | None]:
        found = self.webhooks.get(name)
        if found is None or not self._exists(found):
            raise _unknown(name)
        return found, self.webhooks.last_tries().get(name)

    def put(self, wanted: Subscription) -> tuple[Subscription, bool]:
        """Store the subscription. Returns it, and whether there was none of its name."""
        while True:
            before = self.webhooks.get(wanted.name)
            if before is not None and not self._exists(before):
                detail = f"another owner has a webhook {wanted.name!r}; take another name"
                raise Refusal(Reason.NAME_TAKEN, detail)
            after = wanted if before is None else replace(wanted, created_at=before.created_at)
            try:
                if self.webhooks.replace(wanted.name, before, after):
                    return after, before is None
            except TooManyWebhooks as error:
                raise Refusal(Reason.TOO_MANY_WEBHOOKS, str(error)) from error

    def delete(self, name: str) -> None:
        while True:
            before, _ = self.get(name)
            if self.webhooks.replace(name, before, None):
                return

    def _exists(self, one: Subscription) -> bool:
        caller = self.caller()
        return caller.allows(Scope.ADMIN) or (one.owner == caller.owner)


def _unknown(name: str) -> Refusal:
    return Refusal(
        Reason.UNKNOWN_WEBHOOK, f"there is no webhook {name[:64]!r}; list the webhooks to see which there are"
    )
