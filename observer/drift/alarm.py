"""Watches the stream of rows of one model version, and raises an alarm for each column whose distribution changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.model.manifest import DataProfile
from contract.model.signature import Kind, OutputKind, Signature
from observer.drift.bins import ColumnBins, Counts, NumberBins, Numbers, column_bins
from observer.drift.evidence import ColumnEvidence, log_start_weights
from observer.drift.screening import Screening
from observer.drift.sizes import Quartiles, Sizes, quartiles, sizes
from observer.drift.starts import Processes, Start

LEVEL = 0.01
"""The chance that an unchanged stream ever causes an alarm, for all columns of a model version together."""

RECOVERY_ROWS = 50
"""Rows for each bin of a column that must look like training before an alarm ends: 650 for most numbers. By chance, the
PSI of so many rows varies by 0.01."""

RECOVERY_PART = 0.5
"""The part of the minima below which all sizes must be before an alarm ends; between it and 1, an alarm stays."""

_VALUE_BINS, _MOST_VALUES, _LEAST_VALUES = 12_000, 50, 8
"""Bins for single words of all columns together, and of one column: so a state stays below 1 MB."""


@dataclass(frozen=True)
class Column:
    """One column of a stream: an input, or an output, which is what the model answered."""

    name: str
    is_output: bool
    bins: ColumnBins


@dataclass(frozen=True)
class OpenAlarm:
    """What is kept of an alarm: the start of the process that raised it, where it was raised, and the p-value then."""

    since: Start
    raised: Start
    p_value: float


@dataclass(frozen=True)
class Alarm:
    """A column whose rows no longer come from the distribution of the training rows.

    `since` is the most likely beginning of the change, and `raised` the block whose rows made it sure. `p_value` holds
    at whatever time one looks, and for all columns of the model version together. `training` and `stream` are the
    shares of the bins with these `labels`; `stream`, `sizes` and `after` are those of the `rows` since the change.
    `before` and `after` are quartiles of numbers, None where there are none.
    """

    column: str
    is_output: bool
    since: Start
    raised: Start
    p_value: float
    sizes: Sizes
    rows: int
    labels: tuple[str, ...]
    training: tuple[float, ...]
    stream: tuple[float, ...]
    before: Quartiles | None
    after: Quartiles | None


class DriftEvents(NamedTuple):
    """What a batch of rows has changed: the alarms that it raised, and those that it ended."""

    raised: list[Alarm]
    recovered: list[Alarm]


def stream_columns(profile: DataProfile, signature: Signature) -> tuple[Column, ...]:
    """Return the inputs, then the outputs, that the profile describes."""
    inputs = [(entry.name, entry.kind, column) for entry, column in zip(signature.inputs, profile.inputs, strict=False)]
    outputs = [
        (output.name or "prediction", Kind.NUMBER if output.kind is OutputKind.NUMBER else Kind.STRING, column)
        for output, column in zip(signature.outputs, profile.outputs, strict=False)
    ]
    most = max(_LEAST_VALUES, min(_MOST_VALUES, _VALUE_BINS // max(1, len(inputs) + len(outputs))))
    return tuple(
        Column(name, index >= len(inputs), column_bins(column, kind, most))
        for index, (name, kind, column) in enumerate(inputs + outputs)
    )


class DriftMonitor:
    """The stream of one model version.

    If all rows of the training and of the stream are independent and from one distribution, the chance that a first
    alarm ever comes is at most `level`, however long the stream is and however often it is looked at. An alarm needs
    evidence beyond the threshold, and a size beyond a minimum since the same start. Nothing is promised for rows that
    depend on each other, such as many rows of one customer in a batch; nor for an alarm after another one has ended,
    because then the stream has changed.
    """

    def __init__(self, columns: Sequence[Column], level: float = LEVEL) -> None:
        """Raises `ValueError` without columns."""
        if not columns:
            raise ValueError("a stream needs at least one column to be watched")
        self.columns = tuple(columns)
        self._evidence = [ColumnEvidence(column.bins) for column in self.columns]
        self._screening = Screening(self._evidence)
        self._ends = self._screening.ends
        self._log_share = np.log(len(self.columns) / level)
        self.level = level
        self.processes = Processes([], np.zeros((0, int(self._ends[-1])), np.int64))
        self.open_alarms: dict[int, OpenAlarm] = {}
        self.ignored_before: dict[int, int] = {}
        """The first block whose process may raise an alarm again, by the position of a column that has recovered."""

    def observe(self, counts: Sequence[Counts], rows: int, at: datetime) -> DriftEvents:
        """Add a batch of `rows` that came `at` this time: for each of `columns`, its rows in each bin.

        Raises `ValueError` if the counts are not those of the columns' bins, or do not sum to `rows`.
        """
        if [len(column) for column in counts] != np.diff(self._ends).tolist():
            raise ValueError("the counts must have a number for each bin of each column")
        batch = np.concatenate(counts)
        if (self._screening.of_columns(batch) != rows).any() or (batch < 0).any():
            raise ValueError(f"the counts of each column must sum to the {rows} rows of the batch")
        if rows == 0 or not self.processes.add(batch, rows, at):
            return DriftEvents([], [])
        since = self.processes.since_starts()
        recovered = self._end_alarms(since)
        return DriftEvents(self._raise_alarms(since), recovered)

    def alarms(self) -> list[Alarm]:
        """Return the alarms that have not ended, in the order of the columns, with the rows until now."""
        since = self.processes.since_starts()
        return [self._alarm(column, since) for column in sorted(self.open_alarms)]

    def _raise_alarms(self, since: Counts) -> list[Alarm]:
        thresholds = self._log_share - log_start_weights(self.processes.blocks)
        suspicious = self._screening.bound(since) >= thresholds[:, None]
        raised = []
        for column in np.flatnonzero(suspicious.any(axis=0)).tolist():
            if column in self.open_alarms:
                continue
            chosen = np.flatnonzero(
                suspicious[:, column] & (self.processes.blocks >= self.ignored_before.get(column, 0))
            )
            if alarm := self._decide(column, chosen, since[chosen], thresholds[chosen]):
                self.open_alarms[column] = alarm
                raised.append(self._alarm(column, since))
        return raised

    def _decide(self, column: int, chosen: NDArray[np.intp], since: Counts, thresholds: Numbers) -> OpenAlarm | None:
        """Return an alarm from the process that exceeds its threshold most, if one does whose rows differ enough."""
        own = since[:, self._slice(column)]
        excess = self._evidence[column].log_e(own) - thresholds
        bins = self.columns[column].bins
        for index in np.argsort(-excess, kind="stable").tolist():
            if excess[index] < 0:
                break
            if sizes(bins, own[index]).reach():
                p_value = self.level * float(np.exp(-excess[index]))
                return OpenAlarm(self.processes.starts[chosen[index]], self.processes.starts[-1], p_value)
        return None

    def _end_alarms(self, since: Counts) -> list[Alarm]:
        """End the alarms of columns of which enough rows after the alarm look like training again."""
        recovered = []
        ages = self.processes.rows - np.array([start.row for start in self.processes.starts])
        for column, alarm in sorted(self.open_alarms.items()):
            bins = self.columns[column].bins
            # The youngest process with enough rows. Ages fall from the oldest process to the youngest.
            index = int(np.count_nonzero(ages >= RECOVERY_ROWS * len(bins.training))) - 1
            if index < 0 or self.processes.starts[index].block <= alarm.raised.block:
                continue
            if not sizes(bins, since[index, self._slice(column)]).reach(RECOVERY_PART):
                recovered.append(self._alarm(column, since))
                del self.open_alarms[column]
                self.ignored_before[column] = self.processes.starts[index].block
        return recovered

    def _alarm(self, column: int, since: Counts) -> Alarm:
        """Return the alarm of a column with what its rows since the change look like."""
        kept, watched = self.open_alarms[column], self.columns[column]
        # The process of the change may have been dropped meanwhile; the next younger one has only rows after it.
        index = int(np.searchsorted(self.processes.blocks, kept.since.block))
        stream = since[index, self._slice(column)]
        threshold = self._log_share - log_start_weights(self.processes.blocks[index : index + 1])
        excess = self._evidence[column].log_e(stream[None]) - threshold
        training = np.array(watched.bins.training, np.int64)
        numbers = watched.bins if isinstance(watched.bins, NumberBins) else None
        return Alarm(
            watched.name,
            watched.is_output,
            kept.since,
            kept.raised,
            min(kept.p_value, self.level * float(np.exp(-excess[0]))),
            sizes(watched.bins, stream),
            int(stream.sum()),
            watched.bins.labels,
            tuple((training / max(1, training.sum())).tolist()),
            tuple((stream / stream.sum()).tolist()),
            quartiles(numbers, training) if numbers else None,
            quartiles(numbers, stream) if numbers else None,
        )

    def _slice(self, column: int) -> slice:
        return slice(int(self._ends[column]), int(self._ends[column + 1]))
