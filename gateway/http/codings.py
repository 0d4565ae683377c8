"""Content codings (RFC 9110, 8.4): compressed requests are read up to a limit, and long answers are compressed for
clients that ask for it."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from flask import Response

from gateway.problems import MalformedBody, Problem, ProblemCode
from gateway.protocols.accepted import weights

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LEAST = 1024
"""Bytes of the shortest answer that is compressed."""

_WINDOW_LOG = 23
"""The largest window of a zstd frame that is read: 8 MB, which RFC 8878 asks of every reader."""

_PIECE = 2**16
"""Bytes that are decompressed at once. Where a member ends, what is left of them is copied."""

_MOST_MEMBERS = 10_000
"""Most members or frames of a body. `bgzip` makes one of 64 KB."""

_FAST = 1
"""Level at which answers are compressed: later ones take the gateway several times as long for a tenth fewer bytes."""

_GZIP, _DEFLATE = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS


def _deflater(bits: int) -> Callable[[bytes], bytes]:
    def compress(body: bytes) -> bytes:
        compressor = zlib.compressobj(_FAST, wbits=bits)
        return compressor.compress(body) + compressor.flush()

    return compress


_COMPRESS: Mapping[str, Callable[[bytes], bytes]] = {
    "zstd": lambda body: zstd.compress(body, _FAST),
    "gzip": _deflater(_GZIP),
    "deflate": _deflater(_DEFLATE),
}
"""By coding; of those that a client likes equally, the first."""

_DECOMPRESSORS: Mapping[str, Callable[[], Any]] = {
    "gzip": lambda: zlib.decompressobj(_GZIP),
    "x-gzip": lambda: zlib.decompressobj(_GZIP),
    "deflate": lambda: zlib.decompressobj(_DEFLATE),
    "zstd": lambda: zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG}),
}
SUPPORTED = ", ".join(_COMPRESS)


def decoded(body: bytes, coding: str, most: int) -> bytes:
    """Return the content of a body, at most one byte more than `most`.

    Raises `MalformedBody`, and `Problem` (415) for a coding that is not read.
    """
    names = [name for part in coding.lower().split(",") if (name := part.strip(" \t")) not in ("", "identity")]
    if not names:
        return body
    if len(names) > 1 or names[0] not in _DECOMPRESSORS:
        detail = f"the Content-Encoding {coding[:40]!r} is not supported; send one of {SUPPORTED}, or the body as it is"
        raise Problem(ProblemCode.UNSUPPORTED_CONTENT_ENCODING, detail, headers={"Accept-Encoding": SUPPORTED})
    try:
        return _decompressed(memoryview(body), names[0], most)
    except (zlib.error, zstd.ZstdError) as error:
        raise MalformedBody(f"the body is not {names[0]}, as its Content-Encoding says: {error}") from None


def _decompressed(body: memoryview, coding: str, most: int) -> bytes:
    content, at = bytearray(), 0
    for _ in range(_MOST_MEMBERS):  # members of a gzip file, or frames of zstd, may follow each other
        decompressor = _DECOMPRESSORS[coding]()
        while not decompressor.eof:
            if at >= len(body):
                raise MalformedBody(f"the body ends before its {coding} does; send all of it")
            content += decompressor.decompress(body[at : at + _PIECE], most + 1 - len(content))
            at += _PIECE
            if len(content) > most:
                return bytes(content)
        at = min(at, len(body)) - len(decompressor.unused_data)
        if at == len(body):
            return bytes(content)
    raise MalformedBody(f"the body has more than {_MOST_MEMBERS} parts of {coding}; compress all of it at once")


def encoded(body: bytes, accept: str) -> tuple[bytes, str | None]:
    """Return the body as a client with this `Accept-Encoding` wants it, and its coding. `body` has at least `LEAST`
    bytes, and the answer has `Vary: Accept-Encoding` either way."""
    coding = _preferred(accept)
    return (body, None) if coding is None else (_COMPRESS[coding](body), coding)


def encode_response(response: Response, accept: str) -> Response:
    """Compress a long answer of Flask's for a client with this `Accept-Encoding`. Pages stay as they
    are, because the length of one would tell of its token."""
    is_whole = response.is_sequence and response.status_code not in (204, 206, 304)
    if not is_whole or response.mimetype == "text/html" or "Content-Encoding" in response.headers:
        return response
    if len(body := response.get_data()) >= LEAST:
        body, coding = encoded(body, accept)
        response.vary.add("Accept-Encoding")
        if coding:
            response.set_data(body)
            response.headers["Content-Encoding"] = coding
    return response


@lru_cache(256)  # clients repeat the same header
def _preferred(accept: str) -> str | None:
    """Return the coding that the client likes best; None: it wants none of ours."""
    accepted = weights(accept)
    chosen = max(_COMPRESS, key=lambda name: accepted.get(name, accepted.get("*", 0.0)))
    weight = accepted.get(chosen, accepted.get("*", 0.0))
    return chosen if weight > 0 and weight >= accepted.get("identity", 0.0) else None
