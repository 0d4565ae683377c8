"""The formats of files of rows. `scoring.files.stages` has what plans, reads and writes each."""

from __future__ import annotations

from enum import StrEnum


class FileFormat(StrEnum):
    """A format by its media type; `media_types` has that and its other names, `suffixes` the ends of file names.

    CSV: a header and rows. NDJSON: a JSON object or list a line. PARQUET: a flat table.
    """

    media_types: tuple[str, ...]
    suffixes: tuple[str, ...]

    CSV = "text/csv", ("csv",)
    NDJSON = (
        "application/x-ndjson",
        ("ndjson", "jsonl"),
        ("application/ndjson", "application/jsonl", "application/x-jsonlines"),
    )
    PARQUET = ("application/vnd.apache.parquet", ("parquet",), ("application/parquet", "application/x-parquet"))

    def __new__(cls, media_type: str, suffixes: tuple[str, ...] = (), also: tuple[str, ...] = ()) -> FileFormat:
        member = str.__new__(cls, media_type)
        member._value_ = media_type
        member.media_types = (media_type, *also)
        member.suffixes = suffixes
        return member
