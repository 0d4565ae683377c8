"""The metrics of the whole system as Prometheus' text."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import accumulate, islice
from typing import TypeVar

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from broker.access.key_store import IssuedKey
from broker.metrics import table
from broker.metrics.reading import Labels, MetricsReader, Snapshot
from broker.metrics.table import METRICS, Metric, Type
from contract.errors import ModelgateError
from contract.files import free_share
from contract.model.repository import CURRENT, Repository
from contract.work.api_keys import Key
from gateway.serving.announcements import stage_of
from gateway.serving.spool import GatewaySpool
from runtime.ttl_cache import TtlCache

log = logging.getLogger(__name__)

T = TypeVar("T")

KEEP, KEEP_FACTOR, KEEP_MOST = 1.0, 20, 10.0
"""Fewest seconds that a snapshot or a page is kept, the multiple of the time that it took to make, and most seconds. So
each takes at most a twentieth of a process's time, for any number of requests and hundreds of models, and alerts see a
fault within a minute."""


MOST_MODELS, MOST_ALIASES = 1000, 20
"""Most models with series, and aliases of each: keys that may train or publish choose their names."""

_MODEL = re.compile(rb'[{,]model="([^"]*)"')
"""The label of a sample of one model."""


class Metrics:
    """Reads the metrics: those of Redis, and those of the keys, the model repository and the spool."""

    def __init__(
        self,
        reader: MetricsReader,
        keys: Callable[[], Sequence[IssuedKey]],
        repository: Repository,
        spool: GatewaySpool,
        expected: Mapping[str, int],
    ) -> None:
        """`keys` returns all keys. `expected`: how many processes should be alive, by kind."""
        self._reader = reader
        self._keys = keys
        self._repository = repository
        self._spool = spool
        self._expected = expected
        self._first: dict[str, str] = {}
        self._snapshots: TtlCache[str, Snapshot] = TtlCache(1)
        self._pages: TtlCache[str, tuple[Snapshot, bytes]] = TtlCache(1)

    def page(self, caller: Key) -> bytes:
        """Return the latest page, without the models that the caller's key may not use. Without Redis it has only the
        metrics of the model repository and the spool."""
        _, page = self._pages.fetch("page", self._make_page, lambda made, seconds: _ttl(made[0], seconds))
        if caller.models is None:
            return page
        of_models = ((line, _MODEL.search(line)) for line in page.splitlines(keepends=True))
        return b"".join(line for line, model in of_models if model is None or caller.may_use(model[1].decode()))

    def snapshot(self) -> Snapshot:
        """Return the latest values, with all models. Without Redis it has only those of the repository and the
        spool."""
        return self._snapshots.fetch("snapshot", self._read, _ttl)

    def _make_page(self) -> tuple[Snapshot, bytes]:
        snapshot = self._read()
        return snapshot, generate_latest(_Collector(snapshot, self._without_series()))

    def _without_series(self) -> Collection[str]:
        """Return all but the `MOST_MODELS` oldest models: those who make further ones take no series away."""
        models = self._repository.names()
        if len(models) > MOST_MODELS:
            self._first = {model: self._first.get(model) or self._since(model) for model in models}
            models.sort(key=self._first.__getitem__)
        return frozenset(models[MOST_MODELS:])

    def _since(self, model: str) -> str:
        """Return when the oldest version of a model was made, in RFC 3339; after all times if that is unknown."""
        time.sleep(1e-6)  # requests go on while a large repository is read
        with suppress(ModelgateError, ValueError):
            return self._repository.summary(model, min(self._repository.versions(model))).created_at
        return "~"

    def _read(self) -> Snapshot:
        models = self._repository.names()
        try:
            snapshot = self._reader.read(models)
            expiring = sum(stage_of(issued.key) is not None for issued in self._keys())
            snapshot.values[table.KEYS_EXPIRING][()] = expiring
        except RedisError as error:
            log.warning("/metrics has no counters: Redis does not answer: %s", error, extra={"kind": "/metrics"})
            # No counters: if they began at 0, Prometheus would see a reset, and then a burst.
            snapshot = Snapshot()
            snapshot.values[table.REDIS_UP][()] = 0
        values = snapshot.values
        values[table.MODELS][()] = len(models)
        values[table.SPOOL][()] = self._spool.files.used()
        disks = {"models": free_share(self._repository.root), "spool": self._spool.files.free_share()}
        values[table.DISK_FREE] = {(folder,): share for folder, share in disks.items() if share is not None}
        values[table.EXPECTED] = {(kind,): count for kind, count in self._expected.items()}
        logs = False
        for model in models:
            logs = logs or self._repository.settings(model).logging.share > 0
            values[table.VERSIONS][model,] = self._repository.count_versions(model)
            for alias, version in islice(self._repository.aliases(model).items(), MOST_ALIASES):
                values[table.ALIASES][model, alias] = version
        values[table.EXPECTED]["observers",] = int(logs)
        values[table.MODEL_FINDINGS] = {
            (model, version, *state): count
            for (model, version, *state), count in values[table.MODEL_FINDINGS].items()
            if str(values[table.ALIASES].get((model, CURRENT))) == version
        }
        return snapshot


def _ttl(snapshot: Snapshot, seconds: float) -> float:
    """Return how long to keep what took `seconds` to make, unless they were spent on waiting for Redis in vain."""
    return ttl_of_cost(seconds, KEEP) if snapshot.values[table.REDIS_UP][()] == 1 else KEEP


def ttl_of_cost(seconds: float, fewest: float) -> float:
    """Return how long to keep what took `seconds` to make, `fewest` seconds at least."""
    return max(fewest, min(KEEP_MOST, KEEP_FACTOR * seconds))


class _Collector(Collector):
    """Gives a snapshot to prometheus_client, family by family."""

    def __init__(self, snapshot: Snapshot, left_out: Collection[str]) -> None:
        """`left_out`: models that have no series."""
        self._snapshot = snapshot
        self._left_out = left_out

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily]:
        for metric in METRICS:
            time.sleep(1e-6)  # requests go on while the page of a large repository is made
            yield self._histogram(metric) if metric.type is Type.HISTOGRAM else self._numbers(metric)

    def _numbers(self, metric: Metric) -> CounterMetricFamily | GaugeMetricFamily:
        make = CounterMetricFamily if metric.type is Type.COUNTER else GaugeMetricFamily
        family = make(metric.name, metric.help, labels=metric.labels)
        for labels, value in self._with_series(metric, self._snapshot.values[metric]):
            family.add_metric(labels, value)
        return family

    def _histogram(self, metric: Metric) -> HistogramMetricFamily:
        family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels, histogram in self._with_series(metric, self._snapshot.histograms[metric]):
            bounds = [*(f"{bound:g}" for bound in metric.buckets), "+Inf"]
            family.add_metric(labels, list(zip(bounds, accumulate(histogram.counts), strict=True)), histogram.sum)
        return family

    def _with_series(self, metric: Metric, values: Mapping[Labels, T]) -> Iterator[tuple[Labels, T]]:
        at = metric.labels.index("model") if metric.by_model else None
        return (entry for entry in values.items() if at is None or entry[0][at] not in self._left_out)
