"""Keeps the log in order: merges small files, removes old ones."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from observer.log.outcomes import OUTCOMES
from observer.log.store import ONCE, LogStore, parquet, written

log = logging.getLogger("observer")

SMALL, MOST_SMALL = 8 * 2**20, 16
"""Bytes of a file that is merged with others, and how many of such a partition may have."""

GB = 2**30


def merge(store: LogStore) -> None:
    """Merge the small files of each partition that has many, or whose day is over. A row that is there twice stays
    once: Redis may have lost the end of a job whose answer the log had, and the job ran again."""
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    for partition in store.partitions():
        with store.lock:  # no file is deleted between being listed and being merged
            small = [file for file in store.files(partition) if file.stat().st_size < SMALL]
            if len(small) >= MOST_SMALL or (len(small) > 1 and partition.day < today):
                _merge(store, small)


def _merge(store: LogStore, files: Sequence[Path]) -> None:
    first = files[0]
    with store.database() as database:
        database.execute(written(f"SELECT * FROM {parquet(files)} {ONCE}", store.draft / first.name))
        store.replace({first.name: store.renewed(first)}, map(store.relative, files))


def remove_old(store: LogStore, keep_days: Callable[[str], int], most_gb: float) -> None:
    """Remove the days that a model does not keep, and the oldest ones, also of outcomes, as long as the log is larger
    than `most_gb`."""
    with store.lock:
        _remove_old(store, keep_days, most_gb)


def _remove_old(store: LogStore, keep_days: Callable[[str], int], most_gb: float) -> None:
    now = datetime.now(UTC)
    partitions = store.partitions()
    old = [one for one in partitions if one.day < (now - timedelta(days=keep_days(one.model))).strftime("%Y-%m-%d")]
    rows = [(one.day, file) for one in partitions if one not in old for file in store.files(one)]
    outcomes = [
        (file.parent.name.removeprefix("day="), file)
        for file in (store.folder / OUTCOMES).glob("model=*/day=*/*.parquet")
    ]
    files = [(file, file.stat().st_size) for _, file in sorted(rows + outcomes)]
    removed = [file for one in old for file in store.files(one)]
    size = sum(size for _, size in files)
    too_many = []
    for file, bytes_of_file in files:
        if size <= most_gb * GB:
            break
        too_many.append(file)
        size -= bytes_of_file
    if too_many:
        log.warning("the prediction log is full (PREDICTION_LOG_GB), and loses its %d oldest files", len(too_many))
    if removed or too_many:
        store.replace({}, map(store.relative, [*removed, *too_many]))
