"""Objects in a bucket of S3, Google Cloud Storage or Azure, read and written with the caller's own credentials."""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any

from modelgate.errors import ModelgateError

SCHEMES = ("s3://", "gs://", "az://")
_CLIENT: Any = {"connect_timeout": "5s", "read_timeout": "20s", "timeout": "1h"}
_RETRY: Any = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}
_PIECE = 4 * 2**20
"""Bytes that are read at a time."""


class BucketError(ModelgateError):
    """A bucket cannot be used, or an object in it; the message names it."""


@dataclass(frozen=True)
class BucketObject:
    """An object as a list has it. `tag` changes whenever it is written."""

    key: str
    size: int
    tag: str
    modified: datetime


class Bucket:
    """The objects below a URL, by their keys relative to it. All methods raise `BucketError`."""

    def __init__(self, url: str, options_file: Path | None = None) -> None:
        """`options_file`: a file with options of obstore as JSON, such as `aws_region`; what it lacks is taken from the
        environment. Raises OSError, too."""
        try:
            import obstore
            from obstore.store import from_url
        except ImportError:
            raise ModelgateError("buckets need obstore: pip install 'modelgate-client[lake]'") from None
        self.url = url if url.endswith("/") else f"{url}/"
        self._library = obstore
        try:
            options: Any = json.loads(options_file.read_bytes()) if options_file else {}
            client: Any = {**_CLIENT, **({"allow_http": True} if _without_tls(options) else {})}
            self._store = from_url(self.url, config=options, client_options=client, retry_config=_RETRY)
        except (obstore.exceptions.BaseError, ValueError, TypeError, AttributeError) as error:
            raise BucketError(f"{self.url} cannot be used with {options_file}: {_reason(error)}") from None

    def objects(self) -> Iterator[BucketObject]:
        """Yield all of them."""
        with self._asked("list", ""):
            for page in self._library.list(self._store):
                for meta in page:
                    yield BucketObject(meta["path"], meta["size"], str(meta["e_tag"]), meta["last_modified"])

    def read(self, key: str) -> bytes | None:
        """Return a small object; None if there is none."""
        with self._asked("read", key):
            try:
                return bytes(self._library.get(self._store, key).bytes())
            except FileNotFoundError:
                return None

    def download(self, wanted: BucketObject, file: IO[bytes]) -> None:
        """Write an object to a file, if it is still the one that was listed."""
        with self._asked("read", wanted.key):
            found = self._library.get(self._store, wanted.key, options={"if_match": wanted.tag})
            for piece in found.stream(min_chunk_size=_PIECE):
                file.write(piece)

    def check_unchanged(self, listed: BucketObject) -> None:
        """Raise `BucketError` unless an object is still the one that was listed."""
        with self._asked("read", listed.key):
            if str(self._library.head(self._store, listed.key)["e_tag"]) != listed.tag:
                raise BucketError(f"{self.url}{listed.key} was changed while it was scored; run this again")

    def create(self, key: str, data: bytes | IO[bytes]) -> bool:
        """Write an object unless it exists; return whether it was written. A file is not read into memory."""
        with self._asked("write", key):
            if not isinstance(data, bytes):
                size = data.seek(0, os.SEEK_END)
                data = mmap.mmap(data.fileno(), 0, access=mmap.ACCESS_READ) if size else b""  # type: ignore[assignment]
            try:
                self._library.put(self._store, key, data, mode="create")
            except self._library.exceptions.AlreadyExistsError:
                return False
            return True

    @contextmanager
    def _asked(self, verb: str, key: str) -> Iterator[None]:
        exceptions = self._library.exceptions
        try:
            yield
        except exceptions.PreconditionError:
            raise BucketError(f"{self.url}{key} was changed since it was listed; run this again") from None
        except (exceptions.BaseError, FileNotFoundError) as error:
            how = "are the credentials right? They are those of the environment, and of --store-options"
            raise BucketError(f"cannot {verb} {self.url}{key}: {_reason(error)}; {how}") from None


def _without_tls(options: Mapping[str, Any]) -> bool:
    """Return whether the options or the environment, from which the library takes the rest, name an http endpoint."""
    variables = {name: value for name, value in os.environ.items() if name.startswith(("AWS_", "AZURE_"))}
    named = {**variables, **options}.items()
    return any("endpoint" in name.lower() and str(value).startswith("http://") for name, value in named)


def _reason(error: Exception) -> str:
    """Return the sentence of an error of the library, without what it has for its own developers."""
    return str(error).partition("\n\nDebug source")[0].strip()
