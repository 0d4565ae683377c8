"""Forms in request bodies: their fields, and their files, which go to the spool as they arrive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any, cast

from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header
from werkzeug.wsgi import LimitedStream, get_content_length

from contract.instances import MAX_NAMES
from gateway.media_types import MULTIPART, URLENCODED, check_form, file_in_form
from gateway.problems import Problem
from gateway.refusals import MalformedBody
from gateway.serving.spool import IncomingUpload, Spool

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_MAX_PARTS, _MAX_PARTS_OF_UPLOAD = 1000, 50
"""Fields and files of one form."""

_MAX_NAME = 100
"""Characters of a file's name that are kept."""


@dataclass(frozen=True)
class Upload:
    """A received form: its fields, and by field the names of its files in SPOOL_DIR and at the client."""

    fields: Mapping[str, str]
    files: Mapping[str, str]
    client_names: Mapping[str, str]

    def content(self, spool: Spool) -> Iterator[str]:
        """Yield what makes two uploads the same: names and texts of the fields, names and digests of the files."""
        for name, text in sorted(self.fields.items()):
            yield from (name, text)
        for name, file in sorted(self.files.items()):
            yield from (name, self.client_names[name], spool.digest(file))


def length_of(environ: WSGIEnvironment) -> int:
    """Return the bytes of a form's body. Raises `Problem` (411) if the client does not say."""
    length = get_content_length(environ)
    if length is None:
        raise Problem(411, "length_required", "a form needs a Content-Length")
    return length


def fields_in(environ: WSGIEnvironment, body: bytes) -> MultiDict[str, str]:
    """Return the fields of the form in `body`. Raises `MalformedBody` if it is not a form, and `Problem`: 413 for too
    many fields, 415 for a file or for JSON or CSV sent as a form."""
    kind, options = parse_options_header(environ.get("CONTENT_TYPE"))
    kind = kind.lower()
    if kind == URLENCODED:
        check_form(body)
        if body.count(b"&") >= MAX_NAMES:
            raise Problem(413, "form_too_large", f"the form has more than {MAX_NAMES} fields; send those of the model")
    parser = FormDataParser(max_form_parts=_MAX_PARTS, silent=False)
    try:
        _, fields, files = parser.parse(BytesIO(body), kind, len(body), options)
    except RequestEntityTooLarge as error:
        detail = f"the form has more than {_MAX_PARTS} parts; send the row as JSON"
        raise Problem(413, "form_too_large", detail) from error
    except ValueError as error:
        raise MalformedBody(f"the body is not {kind}: {error}") from error
    if kind == MULTIPART and not all([*fields, *files]):
        raise MalformedBody("a part of the form has no name; give each its name")
    for name, file in files.items(multi=True):
        if file.filename:  # a browser sends a nameless one if no file was chosen
            raise file_in_form(name)
    return fields


def receive(environ: WSGIEnvironment, spool: Spool, max_fields: int) -> Upload:
    """Receive the form of a multipart request. The caller hands its files to the trainer, or discards them.

    `max_fields`: bytes that its fields may take together, which are held in memory. Raises `Refusal` without space,
    also during the upload, and `Problem`: 411 without a length, 413 if it is too large, 422 if it repeats a field.
    """
    with spool.receiving(length_of(environ)) as upload:
        _, options = parse_options_header(environ.get("CONTENT_TYPE"))
        parser = FormDataParser(
            stream_factory=cast(Any, lambda **_: upload.open()),
            max_form_parts=_MAX_PARTS_OF_UPLOAD,
            silent=False,
        )
        try:
            body = _UploadBody(environ["wsgi.input"], upload, max_fields)
            _, fields, files = parser.parse(cast(IO[bytes], body), MULTIPART, upload.size, options)
        except RequestEntityTooLarge as error:
            limits = f"{_MAX_PARTS_OF_UPLOAD} parts, or fields of more than {max_fields // 1024} KB together"
            detail = f"the form has more than {limits}"
            raise Problem(413, "form_too_large", detail) from error
        except ValueError as error:
            raise MalformedBody(f"the body is not multipart/form-data: {error}") from error
        if len(fields.keys() | files.keys()) < len(list(fields.items(multi=True))) + len(upload.files):
            raise Problem(422, "repeated_field", "the form has a field more than once; send each once")
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


def _file_name(given: str) -> str:
    """Return the name of a file for people: without folders and unprintable characters, and of limited length."""
    name = given.replace("\\", "/").rpartition("/")[2][:_MAX_NAME]
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in name)
