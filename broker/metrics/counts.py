"""What one process has counted since its last report to Redis, and how what is counted there is read."""

from __future__ import annotations

import functools
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import TypeVar

from broker.link.scripts import Call, NumberedCalls
from broker.metrics import table
from broker.metrics.table import Metric

BY_FIELD = {metric.name.removeprefix(table.PREFIX): metric for metric in table.METRICS if metric.counted_by}
"""The metrics that are counted, by the beginning of their fields."""

_NUMBER = re.compile(rb"-?[0-9]{1,19}")

_PER_CALL = 1000
"""Most values of one call of the script: Redis does nothing else meanwhile."""

_Labelled = tuple[Metric, tuple[str, ...]]
T = TypeVar("T")


class Counts:
    """Counters and histograms of this process, a source of its outbox. An observation costs less than a microsecond.

    It holds one number a series, also while Redis is away: labels are declared routes, models of the repository and the
    like, never what a caller makes up.
    """

    def __init__(self) -> None:
        self._calls = NumberedCalls("count")
        self._counters: dict[_Labelled, int] = {}
        self._histograms: dict[_Labelled, list[float]] = {}

    def add(self, metric: Metric, labels: tuple[str, ...] = (), amount: int = 1) -> None:
        """Add to a counter."""
        key = (metric, labels)
        self._counters[key] = self._counters.get(key, 0) + amount

    def add_upload(self, size: int) -> None:
        """Count a file of `size` bytes."""
        self.add(table.UPLOADS)
        self.add(table.UPLOAD_BYTES, amount=size)

    def add_load(self, model: str, seconds: float, *, worked: bool) -> None:
        """Count a load of `model`, or a failed one."""
        self.add(table.LOADS, (model, "loaded" if worked else "failed"))
        if worked:
            self.observe(table.LOAD_SECONDS, seconds)

    def add_rows(self, model: str, version: int, rows: int) -> None:
        """Count scored rows."""
        self.add(table.ROWS_BY_VERSION, (model, str(version)), rows)

    def add_batch(self, rows: int, left: str, seconds: float) -> None:
        """Count a batch whose outcomes are in Redis. `left`: what ended it; `seconds`: since it was taken."""
        self.add(table.BATCHES, (left,))
        self.observe(table.BATCH_ROWS, rows)
        self.observe(table.BATCH_SECONDS, seconds)

    def observe(self, metric: Metric, value: float, labels: tuple[str, ...] = ()) -> None:
        """Add a value, in the unit of the metric, to a histogram."""
        key = (metric, labels)
        values = self._histograms.get(key)
        if values is None:
            values = self._histograms[key] = [0.0] * (len(metric.buckets) + 2)  # the last one is the sum
        values[bisect_left(metric.buckets, value)] += 1
        values[-1] += value

    def steps(self) -> Sequence[Call]:
        """Return the calls that report what was counted since the last call."""
        counters, self._counters = self._counters, {}
        histograms, self._histograms = self._histograms, {}
        added: list[tuple[str, str, int]] = []
        for counter, labels, amount in _with_models(counters):
            added.append((counter.key(labels), counter.field(labels), amount))
        for histogram, labels, values in _with_models(histograms):
            key, count_of = histogram.key(labels), functools.partial(histogram.field, labels)
            added += [(key, count_of(str(at)), int(count)) for at, count in enumerate(values[:-1]) if count]
            added.append((key, count_of("sum"), round(values[-1] * histogram.scale)))
        parts = (added[start : start + _PER_CALL] for start in range(0, len(added), _PER_CALL))
        return [self._calls.next(chain.from_iterable(part)) for part in parts]


def _with_models(counted: Mapping[_Labelled, T]) -> Iterator[tuple[Metric, tuple[str, ...], T]]:
    """Yield what was counted, and what was counted for a version once more for its model."""
    for (metric, labels), value in counted.items():
        yield metric, labels, value
        if metric.of_model:
            yield metric.of_model, (labels[0], *labels[2:]), value


def parse_counts(counted: Mapping[bytes, bytes]) -> Iterator[tuple[Metric, list[str], int]]:
    """Yield what the fields of a hash of counts hold: the metric, its labels but `model` (of a histogram also the part)
    and the number. A process may have written anything, so unknown fields are skipped."""
    for name, text in counted.items():
        short, *rest = name.decode(errors="replace").split("|", 1)
        metric = BY_FIELD.get(short)
        if metric is None or not _NUMBER.fullmatch(text):
            continue
        expected = len(metric.labels) - metric.by_model + (metric.type is table.Type.HISTOGRAM)
        values = rest[0].rsplit("|", max(0, expected - 1)) if rest else []
        if len(values) == expected:
            yield metric, values, int(text)
