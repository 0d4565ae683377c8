"""The keys of the prediction log, whose records wait in Redis for the observer."""

from __future__ import annotations

from collections.abc import Sequence

from contract.work.prediction_log import LogRecord

LOG, LOG_BYTES = "mg:logged", "mg:logged:bytes"
"""A stream of records, and their bytes together. FINISH adds to it, FORGET_LOGGED takes from it."""


def log_arguments(version: str, records: Sequence[LogRecord]) -> list[str | bytes | int]:
    """Return FINISH's arguments for records of a version, such as `loan@3`; none without records."""
    return [version, *(part for record in records for part in (record.rows, record.line))] if records else []
