"""Bodies in chunks."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from gunicorn.http.body import ChunkedReader

FREE_CHUNKS, MIN_CHUNK = 10_000, 32
"""Chunks of a body that may have any size, and the bytes that each further one must have on average."""


class Chunks(ChunkedReader):
    """Refuses bodies in many small chunks, which cost more to parse than to read."""

    _count = _size = 0

    def parse_chunk_size(self, unreader: Any, data: bytes | None = None) -> tuple[int, bytes | None]:
        size, rest = super().parse_chunk_size(unreader, data)
        self._count += 1
        self._size += size
        if self._count > FREE_CHUNKS + self._size // MIN_CHUNK:
            raise ValueError(f"its chunks are too small; send at least {MIN_CHUNK} bytes in each")
        return size, rest

    def release(self) -> None:
        """Free what has been read of an unfinished body: parser and reader refer to each other, so the megabytes would
        stay until the garbage collector runs, hundreds of requests later."""
        if self.parser is not None:
            self.parser.close()
            self.parser, self.buf = None, BytesIO()
