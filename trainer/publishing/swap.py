"""Another version in the place of the one that serves, while requests come: loaded by the workers, then named."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from redis import Redis
from redis.exceptions import RedisError

from broker import warmup
from broker.warmup import Report
from contract.repository import CURRENT
from contract.settings import Settings
from trainer.publishing.aliases import check_move, move_alias, previous

Promote = Callable[[str, int, str], str | None]
"""Model, version, alias: points the alias at the version; returns a remark where there is one."""

_LOOK = 0.02
"""Seconds between two looks at what the workers have."""

_AFTERWARDS = 2.0
"""Seconds that the workers keep a version whatever the aliases say: until they have seen that one names it."""


def promote(settings: Settings, connection: Redis | None, model: str, version: int, alias: str = CURRENT) -> str | None:
    """Points `alias` at `version` once every live worker that serves `model` has loaded it, at the latest after
    `WARMUP_TIMEOUT`. Returns a remark where it was not to be waited for.

    Raises `ModelgateError`, as `trainer.publishing.aliases.move_alias` does.
    """
    check_move(settings.models_dir, model, alias, version)
    wanted = f"{model}@{version}"
    remark = _warm_up(connection, model, wanted, settings.warmup_timeout)
    move_alias(settings.models_dir, model, alias, version)
    if connection:
        with suppress(RedisError):  # then they keep it a little longer
            warmup.ask(connection, wanted, _AFTERWARDS)
    return remark


def roll_back(settings: Settings, connection: Redis | None, model: str) -> str | None:
    """Points `current` at `previous`, and `previous` at the version that was left. Returns a remark as `promote` does.

    Raises `ModelgateError` (`no_previous`).
    """
    return promote(settings, connection, model, previous(settings.models_dir, model))


def _warm_up(connection: Redis | None, model: str, wanted: str, seconds: float) -> str | None:
    """Waits for the workers; the remark says whom it did not wait for."""
    if connection is None:
        return "moved at once: REDIS_URL is not set, so no worker could be asked to load it first"
    end = time.monotonic() + seconds
    try:
        warmup.ask(connection, wanted, seconds + _AFTERWARDS)
        while True:
            reports = warmup.reports(connection, model)
            lacking = [name for name, said in reports.items() if wanted not in {*said.loaded, *said.refused}]
            if not lacking:
                return _remark(reports, wanted)
            if time.monotonic() > end:
                return f"moved after {seconds:g} s though {_names(lacking)} had not loaded it"
            time.sleep(_LOOK)
    except RedisError as error:
        return f"moved at once: Redis does not answer, so no worker could be asked to load it first ({error})"


def _remark(reports: Mapping[str, Report], wanted: str) -> str | None:
    if not reports:
        return "moved at once: no worker is alive that serves this model"
    refused = [name for name, said in reports.items() if wanted not in said.loaded]
    if refused:
        return f"moved though {_names(refused)} did not load it: {reports[refused[0]].refused[wanted]}"
    return None


def _names(workers: list[str]) -> str:
    shown = ", ".join(workers[:3]) + (", …" if len(workers) > 3 else "")
    return f"the worker {shown}" if len(workers) == 1 else f"the workers {shown}"
