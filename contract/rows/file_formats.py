"""The formats of files of rows."""

from __future__ import annotations

from enum import StrEnum


class FileFormat(StrEnum):
    """A format of files of rows, by its media type.

    CSV: a header and rows. NDJSON: a JSON object or list a line. PARQUET: a flat table.
    """

    CSV = "text/csv"
    NDJSON = "application/x-ndjson"
    PARQUET = "application/vnd.apache.parquet"
