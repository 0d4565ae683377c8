"""Event streams of AWS, in which SageMaker answers piece by piece (vnd.amazon.eventstream).

https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html has the form of a message.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

CONTENT_TYPE = "application/vnd.amazon.eventstream"

_PIECE = 128 * 1024
"""Bytes of the answer in each message."""
_TEXT = 7
"""The type of a header that is text."""


def write(body: bytes) -> bytes:
    """Return a body as messages with its parts."""
    starts = range(0, max(len(body), 1), _PIECE)
    return b"".join(_message(body[start : start + _PIECE]) for start in starts)


def _message(payload: bytes) -> bytes:
    headers = b"".join(_headers())
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return message + struct.pack(">I", zlib.crc32(message))


def _headers() -> Iterator[bytes]:
    described = {":message-type": "event", ":event-type": "PayloadPart", ":content-type": "application/octet-stream"}
    for name, value in described.items():
        yield struct.pack(f">B{len(name)}sBH", len(name), name.encode(), _TEXT, len(value)) + value.encode()
