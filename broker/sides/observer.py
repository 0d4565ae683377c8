"""An observer's side of the prediction log: read what the scorers have recorded, and forget what is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from broker.link.scripts import Connected
from broker.metrics.counts import parse_counts
from broker.metrics.table import JOBS_BY_VERSION, MODEL_COUNTS, MODEL_REQUESTS, REFUSED_FIELDS, Metric
from broker.state.prediction_log import LOG

BEGINNING = "0-0"
"""The position before the first entry."""


class Fate(StrEnum):
    """What became of the rows of a record: the log has kept them; or they were dropped, because too many waited for the
    observer, or because the observer could not read them."""

    KEPT = "kept"
    DROPPED = "dropped"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class LogEntry:
    """Records of one `version`, such as `loan@3`, each a line of JSON (`worker.log_records`). Those of jobs that were
    not answered have their ids as `without`."""

    position: str
    version: str
    records: Sequence[bytes]

    @property
    def size(self) -> int:
        return sum(map(len, self.records))


class LogStream(Connected):
    """The records that wait for the observer. All methods are harmless to repeat and raise
    `redis.exceptions.RedisError`."""

    def read(self, after: str, most: int) -> list[LogEntry]:
        """Return at most `most` entries after a position, the oldest first. One round trip."""
        answer = self._redis.xread({LOG: after}, count=most)
        entries = []
        for position, fields in answer[0][1] if answer else ():
            version = fields.pop(b"version", b"").decode(errors="replace")
            without = b',"without":["%b"]}' % b'","'.join(fields.pop(b"without", b"").split())
            records = [record.removesuffix(b"}") + without for record in fields.values()]
            entries.append(LogEntry(position.decode(), version, records))
        return entries

    def forget(self, position: str, size: int, rows: Mapping[tuple[str, Fate], int]) -> None:
        """Forget the entries up to a position, whose records have `size` bytes, and count their rows by model and fate.
        One round trip."""
        time, _, number = position.partition("-")
        counted = [part for (model, fate), count in rows.items() for part in (model, str(fate), count)]
        self._scripts.run("forget_logged", position, f"{time}-{int(number) + 1}", size, *counted)


class RequestCounts(Connected):
    """What is counted of the requests for predictions of a model. Methods take one round trip and raise
    `RedisError`."""

    def read(self, model: str) -> tuple[Mapping[tuple[str, str], int], int]:
        """Return how many requests were refused for each field and owner (`table.REFUSED_FIELDS`), and how many there
        were, answered and refused."""
        refused, requests = {}, 0
        for metric, labels, count in self._counts(model):
            if metric is REFUSED_FIELDS:
                field, owner = labels
                refused[field, owner] = count
            elif metric is MODEL_REQUESTS:
                requests += count
        return refused, requests

    def ended(self, model: str, versions: Sequence[int]) -> list[tuple[int, int]]:
        """Return how many jobs of each version have succeeded, and how many have failed."""
        counts = {tuple(labels): count for metric, labels, count in self._counts(model) if metric is JOBS_BY_VERSION}
        return [(counts.get((str(one), "succeeded"), 0), counts.get((str(one), "failed"), 0)) for one in versions]

    def _counts(self, model: str) -> Iterator[tuple[Metric, list[str], int]]:
        return parse_counts(self._redis.hgetall(MODEL_COUNTS + model))
