"""Mirrors of a model repository in an object store: which models have changed there, and which mirror has that.

An announcement is a hint that saves a mirror from asking the store all the time. It counts the changes; a mirror says
up to which number it has looked.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from redis import Redis

from broker.link.scripts import Call, Connected, Scripts

MIRRORS = "mg:mirrors"
"""The key of the mirrors, by the time of their last report (ms)."""

_LAST, _CHANGED = "mg:repository:last", "mg:repository:changed"

_REPORT_TTL = 60
_SILENT = 10.0
"""Seconds without a report after which nobody waits for a mirror."""

_CHECK_EVERY = 0.02

MIRROR_STATES = ("current", "behind", "away")

MOST_PROBLEMS = 20
"""Most models that a mirror names in its report."""


@dataclass(frozen=True)
class MirrorReport:
    """What a mirror says of itself. `seen`: the number of the last change that it has looked at. `problems`: by model,
    why the mirror does not have it as the store has it. `away`: why the store does not answer, or nothing."""

    seen: int = 0
    problems: Mapping[str, str] = field(default_factory=dict)
    away: str = ""

    @property
    def state(self) -> str:
        """One of `MIRROR_STATES`."""
        return "away" if self.away else "behind" if self.problems else "current"

    def lacks(self, model: str, number: int) -> str:
        """Return why the mirror may not have a change of the model, or nothing."""
        return self.problems.get(model) or self.away or ("it has not looked yet" if self.seen < number else "")


class MirrorLink(Connected):
    """The mirrors' side. All methods raise `redis.exceptions.RedisError`."""

    def changes(self, since: int) -> tuple[int, list[str]]:
        """Return the number of the last change, and the models that have changed after `since`. A number below `since`
        means that Redis has lost its data."""
        last, changed = self._scripts.send([("GET", _LAST), ("ZRANGEBYSCORE", _CHANGED, f"({since}", "+inf")])
        return int(last or 0), [model.decode() for model in changed]

    def report(self, name: str, report: MirrorReport) -> None:
        """Tell who waits for mirrors what this one has. Call it every few seconds, and at once after a change."""
        text = json.dumps(asdict(report))
        self._scripts.send([("SET", report_key(name), text, "EX", _REPORT_TTL), Call("report_alive", [MIRRORS, name])])

    def withdraw(self, name: str) -> None:
        """Say that nobody has to wait for this mirror any more."""
        self._scripts.send([("ZREM", MIRRORS, name), ("DEL", report_key(name))])


def announce(connection: Redis, model: str) -> int:
    """Say that a model has changed in the store, and return the number of the change."""
    return int(Scripts(connection).run("announce_model", model))


def last_change(connection: Redis) -> int:
    """Return the number of the last change of any model."""
    redis: Any = connection
    return int(redis.get(_LAST) or 0)


def mirror_reports(connection: Redis) -> dict[str, MirrorReport]:
    """Return the reports of the mirrors that are alive. Two round trips."""
    redis: Any = connection
    seconds, _ = redis.time()
    names = alive_mirrors(redis.zrange(MIRRORS, 0, -1, withscores=True), seconds)
    return parse_reports(names, redis.mget([report_key(name) for name in names]) if names else [])


def alive_mirrors(entries: Sequence[tuple[bytes, float]], now: float) -> list[str]:
    """Return the mirrors that are alive at `now`, in seconds, of the entries of `MIRRORS`."""
    return sorted(name.decode(errors="replace") for name, at in entries if now - at / 1000 <= _SILENT)


def parse_reports(names: Sequence[str], texts: Sequence[bytes | None]) -> dict[str, MirrorReport]:
    """Return the reports by mirror, from the values at each `report_key`. One that cannot be read counts as none."""
    reports = {}
    for name, text in zip(names, texts, strict=True):
        with suppress(ValueError, TypeError):
            reports[name] = MirrorReport(**json.loads(text or b""))
    return reports


def wait_for_mirrors(connection: Redis, model: str, number: int, end: float) -> dict[str, str]:
    """Return once every mirror has looked at the change `number` of the model, at the latest at `end`, a monotonic
    time. Returns the mirrors that lack it, with the reason."""
    while True:
        lacking = {
            name: why for name, report in mirror_reports(connection).items() if (why := report.lacks(model, number))
        }
        if not lacking or time.monotonic() > end:
            return lacking
        time.sleep(_CHECK_EVERY)


def report_key(name: str) -> str:
    """Return the key of the report of a mirror."""
    return f"mg:mirror:{name}"
