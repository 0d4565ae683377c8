"""The formats of files of rows."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path


class RowsFormat(StrEnum):
    """A format by its name, with its media type, the suffixes of its files, and what its files begin with."""

    media_type: str
    suffixes: tuple[str, ...]
    starts: tuple[bytes, ...]

    CSV = "csv", "text/csv", ("csv",)
    NDJSON = "ndjson", "application/x-ndjson", ("ndjson", "jsonl"), (b"{", b"[")
    PARQUET = "parquet", "application/vnd.apache.parquet", ("parquet",), (b"PAR1",)

    def __new__(
        cls, name: str, media_type: str = "", suffixes: tuple[str, ...] = (), starts: tuple[bytes, ...] = ()
    ) -> RowsFormat:
        member = str.__new__(cls, name)
        member._value_ = name
        member.media_type, member.suffixes, member.starts = media_type, suffixes, starts
        return member


BY_SUFFIX = {suffix: kind for kind in RowsFormat for suffix in kind.suffixes}
"""The formats by the suffixes of files, without a dot."""


def format_of_name(path: str | Path) -> RowsFormat | None:
    """Return the format that the name of a file says, None if it says none."""
    return BY_SUFFIX.get(Path(path).suffix.lower().removeprefix("."))


def format_of_start(start: bytes) -> RowsFormat:
    """Return the format that the beginning of a file shows: CSV may begin with anything."""
    return next((kind for kind in RowsFormat if start.lstrip().startswith(kind.starts)), RowsFormat.CSV)
