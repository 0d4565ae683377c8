"""What came true of the predictions of a model, and how good they were."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from modelgate.connection import Connection
from modelgate.prediction_log import LoggedModel

MOST = 10_000
"""Outcomes of one request."""


def add_outcomes(self: LoggedModel, outcomes: Any) -> dict[str, int]:
    """Say what came true: a DataFrame, or dicts, with the columns `id` (yours, `id_field`) and perhaps `at`, or `job`
    and `row`, and with the `outcome`. Return how many are `new`, `corrected` others or `repeated` what is known.

    What is sent again is a correction if it differs. An outcome with a time `at`, such as `2026-01-02T03:04:05Z`, is of
    the rows with this id that were accepted before it. The key needs the scope `log`.

    >>> from modelgate import Client
    >>> iris = Client().model("iris")
    >>> iris.add_outcomes([{"id": "flower 1", "outcome": 2}])
    {'new': 1, 'corrected': 0, 'repeated': 0}
    """
    rows = outcomes.to_dict("records") if hasattr(outcomes, "to_dict") else outcomes
    totals = Counter({"new": 0, "corrected": 0, "repeated": 0})
    for counts in sent(self._connection, self.name, rows):
        totals.update(counts)
    return dict(totals)


def measured(self: LoggedModel, version: int | str = "current") -> dict[str, Any]:
    """Return how good the logged answers of a version were, as far as their outcomes are known: `metrics` with
    intervals, `periods`, the worst `slices`, the `calibration`, and the `promise` of the report beside them."""
    path = f"/v1/models/{self.name}/outcomes"
    found: dict[str, Any] = self._connection.request("GET", path, params={"version": str(version)})
    return found


def sent(connection: Connection, name: str, rows: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, int]]:
    """Send outcomes, some at a time, and yield how many of these are new, corrected and repeated."""
    waiting = iter(rows)
    while some := [_plain(row) for row in islice(waiting, MOST)]:
        yield connection.request("POST", f"/v1/models/{name}/outcomes", json=some)


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with Python's own values: those of numpy are not JSON."""
    plain = {name: value.item() if hasattr(value, "item") else value for name, value in row.items()}
    return {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in plain.items()}
