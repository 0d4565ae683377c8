"""The keys of the prediction log, whose records wait in Redis for the observer."""

from __future__ import annotations

from collections.abc import Sequence

from contract.work.prediction_log import LogRecord

LOG, LOG_BYTES = "mg:logged", "mg:logged:bytes"
"""A stream of records, and their bytes together. FINISH and END_SHADOW add to it, FORGET_LOGGED takes from it."""


def log_arguments(version: str, records: Sequence[LogRecord]) -> list[str | bytes | int]:
    """Return the scripts' arguments for records of a version, such as `loan@3`; none without records."""
    parts = (part for one in records for part in (one.rows, one.line, one.experiment, one.complete))
    return [version, *parts] if records else []
