"""Forms in request bodies: their fields, and their files, which go to the spool as they arrive."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import IO, Any, cast
from wsgiref.types import WSGIEnvironment

from flask import Request
from werkzeug import formparser
from werkzeug.datastructures import FileStorage, Headers, MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import MultipartDecoder
from werkzeug.wsgi import LimitedStream, get_content_length

from contract.rows.instances import MAX_NAMES
from contract.wording import shown
from gateway.http.exchange import current
from gateway.http.idempotency import note_content
from gateway.http.media_types import MULTIPART, URLENCODED, check_not_rows, file_in_form
from gateway.http.rules import SMALL_BODY
from gateway.problems import MalformedBody, Problem, ProblemCode
from gateway.protocols.offload import offload
from gateway.serving.spool import GatewaySpool
from storage.spool.store import IncomingUpload

_MAX_PARTS, _MAX_PARTS_OF_UPLOAD = 1000, 50
"""Fields and files of one form."""

_MAX_NAME = 100
"""Characters of a file's name that are kept."""

_MAX_MARKS = 20_000
"""Lines and parameters in the heads of all parts: a browser sends five for each part."""
_MAX_HEADS = 512 * 1024
"""Bytes of the heads of all parts: a single parameter may have millions of escapes, too."""

_PIECE = 64 * 1024
"""Bytes that are read, and those of a field that are decoded, at once."""

_MARK = re.compile(rb"[\r\n;]")
_ESCAPE = re.compile(rb"%[0-9A-Fa-f]{2}")
_NO_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True)
class Upload:
    """A received form: its fields, and by field the names of its files in SPOOL_DIR and at the client."""

    fields: Mapping[str, str]
    files: Mapping[str, str]
    client_names: Mapping[str, str]

    def check_fields(self) -> None:
        """Raise `Problem` (413) for fields larger than the same request in JSON."""
        if sum(map(len, self.fields.values())) > SMALL_BODY.bytes:
            detail = f"the fields of the form are larger than {SMALL_BODY.bytes // 1024} KB"
            raise Problem(ProblemCode.BODY_TOO_LARGE, detail)

    def content(self, spool: GatewaySpool) -> Iterator[str]:
        """Yield what makes two uploads the same: names and texts of the fields, names and digests of the files."""
        for name, text in sorted(self.fields.items()):
            yield from (name, text)
        for name, file in sorted(self.files.items()):
            yield from (name, self.client_names[name], spool.files.digest(file))


class BoundedForms(FormDataParser):
    """Parses forms that are in memory. Werkzeug alone takes 1.6 GB for 8 MB of `%`."""

    def parse(
        self, stream: IO[bytes], mimetype: str, content_length: int | None, options: dict[str, str] | None = None
    ) -> tuple[IO[bytes], MultiDict[str, str], MultiDict[str, Any]]:
        """Raises `RequestEntityTooLarge`, and `ValueError` unless it is `silent`."""
        if mimetype == URLENCODED:
            return stream, self._fields(_read(stream)), self.cls()
        return super().parse(stream, mimetype, content_length, options)

    def _fields(self, body: bytes) -> MultiDict[str, str]:
        if body.count(b"&") >= MAX_NAMES:
            raise RequestEntityTooLarge
        pairs = [pair.partition(b"=") for pair in body.replace(b"+", b" ").split(b"&") if pair]
        try:
            return self.cls([(_unescaped(name), _unescaped(value)) for name, _, value in pairs])
        except UnicodeDecodeError:
            if not self.silent:
                raise
            return self.cls()


def _read(stream: IO[bytes]) -> bytes:
    """Return a body, read in pieces: a browser shows the answer to one that is too large only if part of it is read."""
    return b"".join(iter(lambda: stream.read(_PIECE), b""))


def _unescaped(text: bytes) -> str:
    """Return the text without escapes. Python has no faster decoder of two digits than that of quoted-printable."""
    if b"%" not in text:
        return text.decode()
    pieces, start = [], 0
    while start < len(text):  # in pieces, because each match of `sub` takes 100 bytes
        end = start + _PIECE
        end += 2 * bool(_ESCAPE.match(text, end - 1)) or bool(_ESCAPE.match(text, end - 2))
        quoted = _NO_ESCAPE.sub(b"%25", text[start:end]).replace(b"=", b"%3D").replace(b"%", b"=")
        pieces.append(binascii.a2b_qp(quoted))
        start = end
    return b"".join(pieces).decode()


class _Decoder(MultipartDecoder):
    """Werkzeug's, which alone takes seconds for a head of a million parameters. Raises `RequestEntityTooLarge` if the
    heads of the parts have more bytes than `_MAX_HEADS`, or more lines and parameters than `_MAX_MARKS`."""

    _size = _marks = 0

    def _parse_headers(self, data: bytes | bytearray) -> Headers:
        self._size += len(data)
        if self._size <= _MAX_HEADS:
            self._marks += len(_MARK.findall(data))
        if self._size > _MAX_HEADS or self._marks > _MAX_MARKS:
            raise RequestEntityTooLarge
        return super()._parse_headers(data)


formparser.MultipartDecoder = _Decoder  # type: ignore[attr-defined]  # there is no hook for it


class FormRequest(Request):
    """A request whose form is parsed as `BoundedForms`."""

    form_data_parser_class = BoundedForms


def length_of(environ: WSGIEnvironment) -> int:
    """Return the bytes of a form's body. Raises `Problem` (411) if the client does not say."""
    length = get_content_length(environ)
    if length is None:
        raise Problem(ProblemCode.LENGTH_REQUIRED, "a form needs a Content-Length")
    return length


def fields_in(environ: WSGIEnvironment, body: bytes) -> MultiDict[str, str]:
    """Return the fields of the form in `body`. Raises `MalformedBody` if it is not a form, and `Problem`: 413 for too
    many fields, 415 for a file or for JSON or CSV sent as a form."""
    kind, options = parse_options_header(environ.get("CONTENT_TYPE"))
    kind = kind.lower()
    if kind == URLENCODED:
        check_not_rows(body)
    parser = BoundedForms(max_form_parts=_MAX_PARTS, silent=False)
    try:
        _, fields, files = offload(len(body), parser.parse, BytesIO(body), kind, len(body), options)
    except RequestEntityTooLarge as error:
        most = f"{MAX_NAMES} fields" if kind == URLENCODED else f"{_MAX_PARTS} parts, or parts with long heads"
        detail = f"the form has more than {most}; send only the fields of the model"
        raise Problem(ProblemCode.FORM_TOO_LARGE, detail) from error
    except ValueError as error:
        raise MalformedBody(f"the body is not {kind}: {error}") from error
    if kind == MULTIPART and not all([*fields, *files]):
        raise MalformedBody("a part of the form has no name; give each its name")
    for name, file in files.items(multi=True):
        if file.filename:  # a browser sends a nameless one if no file was chosen
            raise file_in_form(name)
    return fields


def form_in_memory(environ: WSGIEnvironment) -> tuple[MultiDict[str, str], MultiDict[str, FileStorage]]:
    """Return the fields and the files of a multipart form, two at most, whose route limits its body. Raises `Problem`:
    400 if it cannot be read, 411 without a length."""
    _, options = parse_options_header(environ.get("CONTENT_TYPE"))
    parser = FormDataParser(stream_factory=cast(Any, lambda **_: BytesIO()), max_form_parts=2, silent=False)
    length_of(environ)
    body = _read(environ["wsgi.input"])
    try:
        _, fields, files = offload(len(body), parser.parse, BytesIO(body), MULTIPART, len(body), options)
    except (ValueError, RequestEntityTooLarge) as error:
        raise MalformedBody(f"the form cannot be read: {error}") from error
    return fields, files


@contextmanager
def received(environ: WSGIEnvironment, spool: GatewaySpool, max_fields: int) -> Iterator[Upload]:
    """Receive a form as `receive` does; note its key and fingerprint if its route is idempotent. Its files are deleted
    if the block raises, or an earlier request has made what answers this one."""
    upload = receive(environ, spool, max_fields)
    try:
        if (exchange := current()).route and exchange.route.idempotent:
            note_content(exchange, upload.content(spool))
        yield upload
        if exchange.replayed:
            spool.files.discard(upload.files.values())
    except BaseException:
        spool.files.discard(upload.files.values())
        raise


def receive(environ: WSGIEnvironment, spool: GatewaySpool, max_fields: int) -> Upload:
    """Receive the form of a multipart request. The caller hands its files to the trainer, or discards them.

    `max_fields`: bytes that its fields may take together, which are held in memory. Raises `Problem` without space,
    also during the upload, and `Problem`: 411 without a length, 413 if it is too large, 422 if it repeats a field.
    """
    with spool.receiving(length_of(environ)) as upload:
        _, options = parse_options_header(environ.get("CONTENT_TYPE"))
        parser = FormDataParser(
            stream_factory=cast(Any, lambda **_: upload.open()), max_form_parts=_MAX_PARTS_OF_UPLOAD, silent=False
        )
        try:
            body = _UploadBody(environ["wsgi.input"], upload, max_fields)
            _, fields, files = parser.parse(cast(IO[bytes], body), MULTIPART, upload.size, options)
        except RequestEntityTooLarge as error:
            limits = f"{_MAX_PARTS_OF_UPLOAD} parts, or fields of more than {max_fields // 1024} KB together"
            detail = f"the form has more than {limits}"
            raise Problem(ProblemCode.FORM_TOO_LARGE, detail) from error
        except ValueError as error:
            raise MalformedBody(f"the body is not multipart/form-data: {error}") from error
        names = [name for name, _ in (*fields.items(multi=True), *files.items(multi=True))]
        if repeated := next((name for name in names if names.count(name) > 1), None):
            detail = f"the form has the field {shown(repeated)} more than once; send it once"
            raise Problem(ProblemCode.REPEATED_FIELD, detail)
        if not all([*fields, *files]):
            raise MalformedBody("a part of the form has no name; give each its name")
        # Werkzeug opens the files in the order in which it returns them.
        kept = {name: file.keep() for name, file in zip(files, upload.files, strict=True)}
    return Upload(fields.to_dict(), kept, {name: _file_name(file.filename or "") for name, file in files.items()})


class _UploadBody(LimitedStream):
    """The body of an upload. Werkzeug's own stream ends silently when the client hangs up; this one raises."""

    def __init__(self, stream: IO[bytes], upload: IncomingUpload, max_fields: int) -> None:
        super().__init__(stream, upload.size)
        self._upload = upload
        self._max_fields = max_fields

    def read(self, size: int = -1) -> bytes | None:
        """Raises `RequestEntityTooLarge` if what was read before, without the files, is larger than `max_fields`."""
        # Werkzeug limits each field alone, and neither their names nor what is before the first one.
        if self.tell() - self._upload.received() > self._max_fields:
            raise RequestEntityTooLarge
        return super().read(size)


def _file_name(client_name: str) -> str:
    """Return the name of a file for people: without folders and unprintable characters, and of limited length."""
    name = client_name.replace("\\", "/").rpartition("/")[2][:_MAX_NAME]
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in name)
