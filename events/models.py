"""Notices that a model has a new version, or that `current` names another one, by looking at the model repository."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from broker.sides.deliveries import Deliveries
from contract.model.repository import CURRENT, Repository
from contract.work.jobs import timestamp
from contract.work.webhooks import Subscription
from events.messages import of_model


@dataclass(frozen=True)
class ModelWatch:
    """Reports the changes since the last look, by this process or another: what was reported is in Redis."""

    repository: Repository
    deliveries: Deliveries
    subscriptions: Callable[[], Sequence[Subscription]]

    def look(self) -> None:
        """Plan the deliveries for all changes. The first look of an installation reports nothing."""
        states = {name: self._state(name) for name in self.repository.names()}
        known = self.deliveries.models()
        if not known:
            self.deliveries.know_models(states)
            return
        for model in sorted(states.keys() | known.keys() - {""}):
            before, after = known.get(model, ""), states.get(model, "")
            if before != after:
                self._report(model, before, after)

    def _state(self, model: str) -> str:
        """Return the current and the newest version of a model, such as `3:4`."""
        return f"{self.repository.aliases(model)[CURRENT]}:{max(self.repository.versions(model), default=0)}"

    def _report(self, model: str, before: str, after: str) -> None:
        planned, at = [], timestamp(datetime.now(UTC))
        if after:
            was_current, was_newest = map(int, (before or "0:0").split(":"))
            current, newest = map(int, after.split(":"))
            subscriptions = self.subscriptions()
            if newest > was_newest:
                data: dict[str, object] = {"name": model, "version": newest}
                planned += of_model("model.published", at, data, subscriptions)
            if current != was_current:
                data = {"name": model, "version": current, "previous_version": was_current or None}
                planned += of_model("model.promoted", at, data, subscriptions)
        elif not self.repository.versions(model):
            data = {"name": model, "version": int(before.split(":")[0])}
            planned += of_model("model.removed", at, data, self.subscriptions())
        self.deliveries.plan_model(model, before, after, planned)
