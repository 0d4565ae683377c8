"""A drift monitor as a JSON object and back, to the last count.

The object has a few hundred kilobytes for a thousand columns: the rows in bins are kept as what they differ from the
training shares by, which are small numbers, and compressed.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from observer.drift.alarm import LEVEL, Column, DriftMonitor, OpenAlarm
from observer.drift.bins import Counts
from observer.drift.starts import Processes, Start


def to_json(monitor: DriftMonitor) -> dict[str, Any]:
    """Return the state of a monitor; `from_json` needs the columns as well."""
    processes = monitor.processes
    return {
        "bins": _fingerprint(monitor),
        "rows": processes.rows,
        "starts": [_plain(start) for start in processes.starts],
        "spans": _packed(processes.spans - _expected(monitor, processes)),
        "alarms": [
            [column, _plain(alarm.since), _plain(alarm.raised), alarm.p_value]
            for column, alarm in monitor.open_alarms.items()
        ],
        "ignored_before": [list(item) for item in monitor.ignored_before.items()],
    }


def from_json(columns: Sequence[Column], saved: Mapping[str, Any], level: float = LEVEL) -> DriftMonitor:
    """Return the monitor of these columns that continues from a saved state.

    Raises `ValueError` if the columns do not have the bins that the state counts by.
    """
    monitor = DriftMonitor(columns, level)
    if saved["bins"] != _fingerprint(monitor):
        raise ValueError("the saved state has other bins than the columns; begin with a new state")
    starts = [_start(start) for start in saved["starts"]]
    processes = Processes(starts, np.zeros((len(starts), monitor.processes.spans.shape[1]), np.int64), saved["rows"])
    processes.spans = _expected(monitor, processes) + _unpacked(saved["spans"], processes.spans.shape)
    monitor.processes = processes
    monitor.open_alarms = {
        column: OpenAlarm(_start(since), _start(raised), p_value) for column, since, raised, p_value in saved["alarms"]
    }
    monitor.ignored_before = dict(saved["ignored_before"])
    return monitor


def _fingerprint(monitor: DriftMonitor) -> int:
    return zlib.crc32(repr([column.bins for column in monitor.columns]).encode())


def _expected(monitor: DriftMonitor, processes: Processes) -> Counts:
    """Return the rows that each span would have in each bin with the shares of the training, in whole numbers."""
    rows = np.diff([*(start.row for start in processes.starts), processes.rows])
    bins = [np.array(column.bins.training, np.int64) for column in monitor.columns]
    return np.concatenate([rows[:, None] * counts // max(1, counts.sum()) for counts in bins], axis=1)


def _packed(numbers: Counts) -> str:
    """Return whole numbers as text, with all lowest bytes first: most other bytes are 0 and compress to nothing."""
    unsigned = np.where(numbers < 0, -2 * numbers - 1, 2 * numbers).astype("<u8")
    planes = unsigned.reshape(-1).view(np.uint8).reshape(-1, 8).T
    return base64.b64encode(zlib.compress(planes.tobytes())).decode()


def _unpacked(text: str, shape: tuple[int, ...]) -> Counts:
    planes = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8).reshape(8, -1)
    unsigned = np.ascontiguousarray(planes.T).view("<u8").reshape(shape)
    half = (unsigned >> np.uint64(1)).astype(np.int64)
    return np.where(unsigned % 2 == 0, half, -half - 1)


def _plain(start: Start) -> list[Any]:
    return [start.block, start.row, start.at.isoformat()]


def _start(plain: list[Any]) -> Start:
    block, row, at = plain
    return Start(block, row, datetime.fromisoformat(at))
