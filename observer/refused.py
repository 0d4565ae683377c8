"""Raises an alarm for each field for which the requests of an owner begin to be refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

LEAST_REQUESTS, LEAST_SHARE = 10, 0.01
"""An alarm begins with so many refused requests in an hour, if they are this share of the model's requests."""

RECOVERY_PART = 0.5
"""An alarm ends when the hour no longer reaches this part of both minima."""

_WINDOW, _STEP = timedelta(hours=1), timedelta(minutes=1)
_MOST_PAIRS = 100
"""Most pairs that are watched, so that a saved state stays below 100 kB."""

_Pair = tuple[str, str]
"""A field, and the owner of a key."""


@dataclass(frozen=True)
class RefusedField:
    """A field for which requests of an `owner` are refused; '' stands for the fields that the model does not have.

    `requests`: how many were refused in the last hour; `share`: of all requests for the model in it. `since`: when the
    alarm began.
    """

    field: str
    owner: str
    requests: int
    share: float
    since: datetime


@dataclass(frozen=True)
class _Totals:
    """What had been counted at one moment."""

    at: datetime
    requests: int
    refused: Mapping[_Pair, int]

    def gained(self, pair: _Pair, count: int) -> int:
        """Return how many refused requests came since; 0 if it is unknown what there was of a pair."""
        return count - self.refused.get(pair, 0 if len(self.refused) < _MOST_PAIRS else count)

    def exceed(self, refused: Mapping[_Pair, int], requests: int) -> bool:
        return self.requests > requests or any(refused.get(pair, 0) < count for pair, count in self.refused.items())


class RefusalWatch:
    """Watches the refused requests of one model. All times are aware of their zone."""

    def __init__(self) -> None:
        self._hour: list[_Totals] = []
        """About one a minute, the oldest first."""
        self._since: dict[_Pair, datetime] = {}

    def look(self, refused: Mapping[tuple[str, str], int], requests: int, now: datetime) -> list[RefusedField]:
        """Return the alarms of this moment, those with the most requests first.

        `refused`: how many requests there have ever been that were refused, by field and owner; `requests`: how many
        there have ever been. The first look sees no hour, so it has no alarms, nor has one after counters that went
        back, because Redis was restored.
        """
        self._hour = [totals for totals in self._hour if now - _WINDOW <= totals.at <= now]
        if self._hour and self._hour[-1].exceed(refused, requests):
            self._hour = []
        most = dict(sorted(refused.items(), key=lambda item: (-item[1], item[0]))[:_MOST_PAIRS])
        if not self._hour or now - self._hour[-1].at >= _STEP:
            self._hour.append(_Totals(now, requests, most))
        alarms = self._alarms(most, requests, now)
        self._since = {(alarm.field, alarm.owner): alarm.since for alarm in alarms}
        return alarms

    def _alarms(self, refused: Mapping[_Pair, int], requests: int, now: datetime) -> list[RefusedField]:
        before, alarms = self._hour[0], []
        for pair, count in refused.items():
            gained = before.gained(pair, count)
            share = gained / max(1, gained, requests - before.requests)
            part = RECOVERY_PART if pair in self._since else 1
            if gained >= part * LEAST_REQUESTS and share >= part * LEAST_SHARE:
                alarms.append(RefusedField(*pair, gained, share, self._since.get(pair, now)))
        return sorted(alarms, key=lambda alarm: (-alarm.requests, alarm.field, alarm.owner))

    def to_json(self) -> dict[str, Any]:
        """Return the state, from which `from_json` goes on."""
        pairs = list(dict.fromkeys(pair for totals in self._hour for pair in totals.refused))
        return {
            "pairs": pairs,
            "hour": [
                [totals.at.isoformat(), totals.requests, [totals.refused.get(pair) for pair in pairs]]
                for totals in self._hour
            ],
            "since": [[*pair, since.isoformat()] for pair, since in self._since.items()],
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Self:
        watch, pairs = cls(), [(field, owner) for field, owner in saved["pairs"]]
        for at, requests, counts in saved["hour"]:
            refused = {pair: count for pair, count in zip(pairs, counts, strict=True) if count is not None}
            watch._hour.append(_Totals(datetime.fromisoformat(at), requests, refused))
        watch._since = {(field, owner): datetime.fromisoformat(since) for field, owner, since in saved["since"]}
        return watch
