"""Request bodies at the door: limited in size, decompressed, and complete, since half a CSV is a CSV too."""

from __future__ import annotations

from io import BytesIO
from wsgiref.types import WSGIEnvironment

from werkzeug.sansio.utils import get_content_length

from contract.work.api_keys import Key
from gateway.door.attempts import network_of
from gateway.door.body_work import BodyWork
from gateway.http.codings import decoded
from gateway.http.rules import BodyLimit
from gateway.problems import MalformedBody, Problem, ProblemCode
from gateway.protocols.offload import FREELY, LARGE, TURN

FREE = 1024
"""Bytes of a body that may be read whatever its caller owes, and cost nothing if it is refused."""


class Body:
    """Takes the place of `wsgi.input`, and keeps to the limit of the route.

    If the route streams, only a body that is read at once has that limit. One that is read in pieces goes to the spool,
    which has a quota, as it was sent. All others are decompressed, and then keep to the limit again. They cost the
    caller what `work` says.
    """

    __slots__ = (
        *("_address", "_coding", "_compressed", "_held", "_key", "_length", "_limit", "_received", "_size"),
        *("_stream", "_streams", "_work"),
    )

    def __init__(self, environ: WSGIEnvironment, limit: BodyLimit, work: BodyWork, key: Key, *, streams: bool) -> None:
        # Not the environ itself, which holds this: such a cycle stays in memory until the garbage collector comes.
        self._coding = environ.get("HTTP_TRANSFER_ENCODING")
        self._compressed = environ.get("HTTP_CONTENT_ENCODING")
        self._length = environ.get("CONTENT_LENGTH")
        self._limit = limit
        self._streams = streams
        self._work = work
        self._key = key
        self._address = environ.get("REMOTE_ADDR", "")
        self._received = self._held = self._size = 0
        self._stream = environ["wsgi.input"]

    def read(self, size: int = -1) -> bytes:
        """Return the next `size` bytes, or the whole body.

        Raises `MalformedBody` for broken chunks, and `Problem` (413) for a body over the limit. For the whole body it
        also raises `MalformedBody` if the client hangs up, and `Problem` (501) for a transfer coding other than chunks,
        or (415) for a content coding that is not read. Raises `Problem` (429) for a caller whose bodies take too much.
        """
        if self._compressed is not None and (size < 0 or not self._streams):
            self._decompress(self._compressed)
        return self._piece(size) if size >= 0 else self._whole()

    def _decompress(self, coding: str) -> None:
        """Go on as if the body had come without a content coding."""
        self._work.check(self._caller)
        body, self._compressed = decoded(self._whole(), coding, self._limit.bytes), None
        self._stream, self._length, self._coding, self._size = BytesIO(body), str(len(body)), None, len(body)

    def _whole(self) -> bytes:
        """Read without Werkzeug's stream, which copies in pieces, and ends silently when the client hangs up."""
        if self._coding is not None:
            _check_coding(self._coding)
        length, most = get_content_length(self._length, self._coding), self._limit.bytes
        if length is not None and length > most:
            raise self._too_large()
        if length is None or length >= FREE:
            self._work.check(self._caller)
        self._hold(length or 0)
        try:
            body: bytes = self._stream.read(most + 1 if length is None else length)
        except Problem:  # of what makes a body of a gRPC message
            raise
        except Exception as error:
            raise _unreadable(error) from error
        if length is None and len(body) > most:
            raise self._too_large()
        if length is not None and len(body) < length:
            raise MalformedBody(f"the body ends after {len(body)} of {length} bytes")
        self._size = len(body)
        return body

    def _hold(self, size: int) -> None:
        """Count a large body as in work, for as long as its request takes."""
        if size >= LARGE:
            TURN.set(self._work.hold(self._caller, size))
            self._held += size

    def end(self, *, refused: bool) -> None:
        """Count the body as done, and as `refused` if its caller is to pay for that."""
        if self._held:
            self._work.release(self._caller, self._held)
            TURN.set(FREELY)
        if refused and self._size >= FREE:
            self._work.charge(self._caller, self._size, self._key.limits.rows_per_second)

    @property
    def _caller(self) -> str:
        return self._key.id or network_of(self._address)

    def _piece(self, size: int) -> bytes:
        """Read at most one byte more than the limit, unless the route streams."""
        most = size if self._streams else self._limit.bytes + 1 - self._received
        if not self._streams and not self._received:
            self._work.check(self._caller)
        try:
            piece: bytes = self._stream.read(min(size, most))
        except Exception as error:
            raise _unreadable(error) from error
        self._received += len(piece)
        self._size = max(self._size, self._received)
        if self._received > self._limit.bytes and not self._streams:
            raise self._too_large()
        return piece

    def _too_large(self) -> Problem:
        return Problem(ProblemCode.BODY_TOO_LARGE, f"the body is larger than {self._limit.words}")


def _unreadable(error: Exception) -> MalformedBody:
    """Each server has its own exceptions for broken chunks and lost clients."""
    return MalformedBody(f"the body cannot be read to its end: {error}")


def _check_coding(coding: str) -> None:
    name = coding.strip(" \t").lower()
    if name != "chunked":
        detail = f"the Transfer-Encoding {name[:40]!r} is not supported; send the body as it is, in chunks if need be"
        raise Problem(ProblemCode.UNSUPPORTED_TRANSFER_ENCODING, detail)
