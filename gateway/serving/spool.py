"""Uploads: a form's files go to SPOOL_DIR as they come in, and never into memory or Redis.

A file in transfer is sparse and as large as the space that it claims. So the processes of the gateway share the quota
by the sizes of the files alone.
"""

from __future__ import annotations

import errno
import fcntl
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from flask import Request
from gevent import get_hub
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser
from werkzeug.wsgi import LimitedStream

from contract.settings import MB
from gateway.problems import Problem

_PART = ".part"
"""The end of the name of a file that is still being received."""

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES})

_MOST_PARTS = 50
"""Fields and files of one form."""

_LONGEST_NAME = 100
"""Longest name of a file that is kept, in characters."""

_FIRST_CLAIM, _LARGEST_CLAIM = 64 * 1024, 1024 * 1024
"""Bytes that a file claims at first, and most bytes that it claims beyond those received. In between it claims twice
the received bytes."""


@dataclass(frozen=True)
class Form:
    """A received form: its fields, and by field the names of its files in SPOOL_DIR and at the caller."""

    fields: Mapping[str, str]
    files: Mapping[str, str]
    called: Mapping[str, str]


class Spool:
    """Receives uploads: each of at most `megabytes_each`, together at most `megabytes`."""

    def __init__(self, folder: Path, megabytes: int, megabytes_each: int, most_fields: int) -> None:
        """`most_fields`: bytes that the fields of a form may take, which are held in memory."""
        self._folder = folder
        self._limit = megabytes * MB
        self._most_each = megabytes_each * MB
        self._most_fields = most_fields

    def receive(self, request: Request) -> Form:
        """Receive the form of a multipart request. Its files are on disk then: for the trainer, or to be discarded.

        Raises `Problem`: 411 without a length, 507 without space (also during the upload), 413 if it is too large, 400
        if it is not such a form.
        """
        size = request.content_length
        if size is None:
            raise Problem(411, "length_required", "send a form with a Content-Length")
        if size > self._most_each:
            most = f"{self._most_each // MB} MB (MAX_UPLOAD_MB)"
            detail = f"the upload has {size / MB:.1f} MB, more than the {most} that one may have"
            raise Problem(413, "upload_too_large", detail, headers={"Connection": "close"})
        received: list[_File] = []
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._free() as free:
                if size > free:
                    raise self._no_room(size, free)
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
            received.append(_File(self._folder, self._claim))
            return cast(IO[bytes], received[-1])

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
        kept = {name: file.keep() for name, file in zip(files, received, strict=True)}
        return Form(fields.to_dict(), kept, {name: _file_name(file.filename or "") for name, file in files.items()})

    def _claim(self, file: IO[bytes], size: int) -> int:
        """Let `file` claim at least `size` bytes. Returns the bytes that it claims now."""
        claimed = os.fstat(file.fileno()).st_size
        with self._free() as free:
            if size - claimed > free:
                raise self._no_room(size - claimed, free)
            grown = min(size + min(max(size, _FIRST_CLAIM), _LARGEST_CLAIM), claimed + free)
            os.truncate(file.fileno(), grown)
        return grown

    @contextmanager
    def _free(self) -> Iterator[int]:
        """Yield the unclaimed bytes of the quota, which stay unclaimed by others within the block."""
        with (self._folder / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield self._limit - sum(_sizes(self._folder))

    def _no_room(self, size: int, free: int) -> Problem:
        used = f"{(self._limit - free) // MB} of {self._limit // MB} MB (SPOOL_MB) are taken"
        return _full(f"there is no room for {size / MB:.1f} MB more: {used}")


class _File:
    """A file of a form, which has its name only when it is on disk."""

    def __init__(self, folder: Path, claim: Callable[[IO[bytes], int], int]) -> None:
        self._final = folder / f"{uuid.uuid4().hex}.upload"
        self._path = self._final.with_suffix(_PART)
        self._file: IO[bytes] = self._path.open("wb")
        self._claim = claim
        self._size = self._claimed = 0

    def write(self, data: bytes) -> int:
        self._size += len(data)
        if self._size > self._claimed:
            self._claimed = self._claim(self._file, self._size)
        return self._file.write(data)

    def seek(self, position: int) -> int:
        """Seek to the beginning, as Werkzeug does."""
        return position

    def keep(self) -> str:
        """Its name in SPOOL_DIR."""
        self._file.truncate(self._size)
        get_hub().threadpool.apply(os.fsync, (self._file.fileno(),))  # other requests go on meanwhile
        self._file.close()
        self._path.rename(self._final)
        self._path = self._final
        return self._final.name

    def remove(self) -> None:
        with suppress(OSError):  # a full disk says so again
            self._file.close()
        self._path.unlink(missing_ok=True)


def _sizes(folder: Path) -> Iterator[int]:
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):  # it has just been removed
                yield entry.stat().st_size


def _file_name(given: str) -> str:
    """Return the name of a file for people: without folders and unprintable characters, and of limited length."""
    name = given.replace("\\", "/").rpartition("/")[2][:_LONGEST_NAME]
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in name)


def _full(detail: str) -> Problem:
    message = f"{detail}; trainings that end make room, or raise SPOOL_MB"
    return Problem(507, "spool_full", message, headers={"Retry-After": "60", "Connection": "close"})
