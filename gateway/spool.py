"""Uploads: a form's files go to SPOOL_DIR as they come in, and never into memory or Redis."""

from __future__ import annotations

import errno
import fcntl
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from flask import Request
from gevent import get_hub
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser
from werkzeug.wsgi import LimitedStream

from gateway.problems import Problem

_PART = ".part"
"""The end of the name of a file that is still being received."""

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES})

_MOST_PARTS = 50
"""Fields and files of one form."""


@dataclass(frozen=True)
class Form:
    """What a form held: its fields, and its files by field, as names in SPOOL_DIR."""

    fields: Mapping[str, str]
    files: Mapping[str, str]


class Spool:
    """Receives uploads. Together they take at most `megabytes`."""

    def __init__(self, folder: Path, megabytes: int, most_fields: int) -> None:
        """`most_fields`: bytes that the fields of a form may take, which are held in memory."""
        self._folder = folder
        self._limit = megabytes * 1024 * 1024
        self._most_fields = most_fields

    def receive(self, request: Request) -> Form:
        """The form of a multipart request, whose files are on disk now: for the trainer, or to be discarded.

        Raises `Problem`: 411 without a length, 507 when there is no room, 400 and 413 for what is not such a form.
        """
        size = request.content_length
        if size is None:
            raise Problem(411, "length_required", "send a form with a Content-Length")
        received: list[_File] = []
        try:
            with self._room(size):
                return self._parse(request, size, received)
        except BaseException as error:
            for file in received:
                file.remove()
            if isinstance(error, OSError) and error.errno in _NO_ROOM:
                raise _full(f"SPOOL_DIR takes nothing ({error.strerror})") from error
            raise

    def open(self, name: str) -> IO[bytes]:
        """A file that was received."""
        return (self._folder / name).open("rb")

    def discard(self, form: Form) -> None:
        """Removes the files of a form that nobody is going to use."""
        for name in form.files.values():
            (self._folder / name).unlink(missing_ok=True)

    def _parse(self, request: Request, size: int, received: list[_File]) -> Form:
        def open_file(**_: Any) -> IO[bytes]:
            received.append(_File(self._folder))
            return received[-1].file

        parser = FormDataParser(
            stream_factory=cast(Any, open_file),
            max_form_memory_size=self._most_fields,
            max_form_parts=_MOST_PARTS,
            silent=False,
        )
        try:
            # Which raises when the caller hangs up, other than Werkzeug's own.
            body = LimitedStream(request.environ["wsgi.input"], size)
            _, fields, files = parser.parse(cast(IO[bytes], body), request.mimetype, size, request.mimetype_params)
        except RequestEntityTooLarge as error:
            limits = f"{_MOST_PARTS} parts, or fields of more than {self._most_fields // 1024} KB"
            raise Problem(
                413, "form_too_large", f"the form has more than {limits}", headers={"Connection": "close"}
            ) from error
        except ValueError as error:
            raise Problem(400, "malformed_body", f"the body is not multipart/form-data: {error}") from error
        if len(fields.keys() | files.keys()) < len(list(fields.items(multi=True))) + len(received):
            raise Problem(422, "repeated_field", "the form has a field more than once; send each once")
        if not all([*fields, *files]):
            raise Problem(400, "malformed_body", "a part of the form has no name; give each its name")
        # Werkzeug opens the files in the order in which it gives them.
        names = [name for name, _ in files.items(multi=True)]
        return Form(fields.to_dict(), {name: file.keep() for name, file in zip(names, received, strict=True)})

    @contextmanager
    def _room(self, size: int) -> Iterator[None]:
        """Keeps `size` bytes of the quota for this upload while it is received, also from other processes."""
        self._folder.mkdir(parents=True, exist_ok=True)
        claim = self._folder / f"{uuid.uuid4().hex}.claim"
        with (self._folder / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            taken = sum(path.stat().st_size for path in _files(self._folder) if path.suffix != _PART)
            if taken + size > self._limit:
                used = f"{taken // 1_048_576} of {self._limit // 1_048_576} MB (SPOOL_MB) are taken"
                raise _full(f"there is no room for an upload of {size / 1_048_576:.1f} MB: {used}")
            with claim.open("wb") as file:
                file.truncate(size)  # a hole: what is received is in files of its own
        try:
            yield
        finally:
            claim.unlink(missing_ok=True)


class _File:
    """A file of a form, which has its name only when it is on disk."""

    def __init__(self, folder: Path) -> None:
        self._final = folder / f"{uuid.uuid4().hex}.upload"
        self._path = self._final.with_suffix(_PART)
        self.file: IO[bytes] = self._path.open("wb+")

    def keep(self) -> str:
        """Its name in SPOOL_DIR."""
        self.file.flush()
        get_hub().threadpool.apply(os.fsync, (self.file.fileno(),))  # other requests go on meanwhile
        self.file.close()
        self._path.rename(self._final)
        self._path = self._final
        return self._final.name

    def remove(self) -> None:
        with suppress(OSError):  # a full disk says so again
            self.file.close()
        self._path.unlink(missing_ok=True)


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        try:
            if path.is_file():
                yield path
        except OSError:  # it has just been removed
            continue


def _full(detail: str) -> Problem:
    message = f"{detail}; trainings that end make room, or raise SPOOL_MB"
    return Problem(507, "spool_full", message, headers={"Retry-After": "60", "Connection": "close"})
