"""Objects in a store, such as a bucket of S3, Google Cloud Storage or Azure."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import from_url

from contract.errors import SettingsError
from contract.files import read_regular
from storage.disk import StoreError

if TYPE_CHECKING:
    from obstore import WritableFile
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

SCHEMES = ("s3", "gs", "az")
"""Of the URLs of stores: AWS and those that speak its protocol, Google, Azure."""

_CLIENT: ClientConfig = {"connect_timeout": "5s", "read_timeout": "20s", "timeout": "1h"}
"""A request may take long, as long as bytes come."""

_RETRY: RetryConfig = {
    "max_retries": 3,
    "retry_timeout": timedelta(seconds=20),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
}

_PART = 8 * 2**20
"""Bytes that an object is sent in; two of them are in memory."""

_PIECE = 4 * 2**20
"""Bytes that are read at a time."""


class Conflict(Exception):
    """Another process has written the object first."""


class Tag(NamedTuple):
    """What changes whenever an object is written. Stores use one part or both."""

    e_tag: str | None
    version: str | None


@dataclass(frozen=True)
class Entry:
    """An object in a list."""

    key: str
    tag: Tag
    size: int
    modified: datetime


@dataclass(frozen=True)
class FileFacts:
    """What says whether a file is the one that was meant."""

    size: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> FileFacts:
        """Raises OSError."""
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
            return cls(file.tell(), digest.hexdigest())


class Objects:
    """The objects below a URL. Keys are relative to it. All methods raise `StoreError`."""

    def __init__(self, store: ObjectStore, url: str, beat: Callable[[], object] = lambda: None) -> None:
        """`beat` is called for each piece of a large object that arrives."""
        self.url = url
        self._store = store
        self._beat = beat

    @classmethod
    def at(
        cls, name: str, url: str, options_file: Path | None = None, beat: Callable[[], object] = lambda: None
    ) -> Objects:
        """Return the objects below `url`, which the setting `name` has. The JSON object in `options_file` has options
        of the library (obstore), such as `aws_access_key_id`; what it lacks, the library takes from the environment.
        Raises `SettingsError`."""
        scheme = url.partition("://")[0]
        if scheme not in SCHEMES or "://" not in url:
            raise SettingsError(f"{name}={url!r} must begin with {', '.join(f'{known}://' for known in SCHEMES)}")
        options: Any = _options(options_file)
        try:
            client: ClientConfig = {**_CLIENT, **({"allow_http": True} if _without_tls(options) else {})}
            store = from_url(url, config=options, client_options=client, retry_config=_RETRY)
        except (BaseError, ValueError, TypeError) as error:
            raise SettingsError(f"{name}={url!r} cannot be used: {_reason(error)}") from None
        return cls(store, url, beat)

    def read(self, key: str, most: int) -> tuple[bytes, Tag]:
        """Return an object of at most so many bytes. Raises FileNotFoundError, too."""
        with self.asked("read", key):
            found = obstore.get(self._store, key)
            if found.meta["size"] > most:
                raise StoreError(f"{key} of {self.url} has {found.meta['size']} bytes, more than {most}")
            return bytes(found.bytes()), Tag(found.meta["e_tag"], found.meta["version"])

    def create(self, key: str, data: bytes | Path) -> Tag:
        """Write an object that must not exist. Raises `Conflict`, too."""
        return self._put(key, data, "create")

    def replace(self, key: str, data: bytes, tag: Tag) -> Tag:
        """Write an object that must still have `tag`. Raises `Conflict`, too."""
        return self._put(key, data, {name: value for name, value in tag._asdict().items() if value is not None})

    def write(self, key: str, data: bytes | Path) -> Tag:
        """Write an object, whether it exists or not; a file in parts, if it is large."""
        return self._put(key, data, "overwrite")

    def download(self, key: str, path: Path, facts: FileFacts | None = None) -> None:
        """Write an object into a new file. Raises FileNotFoundError, and `StoreError` unless it is whole, and the one
        that `facts` describe."""
        digest, size = hashlib.sha256(), 0
        with self.asked("read", key), path.open("xb") as file:
            found = obstore.get(self._store, key)
            if facts is None or found.meta["size"] == facts.size:
                for piece in found.stream(min_chunk_size=_PIECE):
                    self._beat()
                    digest.update(piece)
                    size += file.write(piece)
        if size != found.meta["size"] or (facts and (size, digest.hexdigest()) != (facts.size, facts.sha256)):
            raise StoreError(f"{key} of {self.url} is damaged: it is not the file that was published")

    def size(self, key: str) -> int:
        """Return the bytes of an object. Raises FileNotFoundError, too."""
        with self.asked("read", key):
            return int(obstore.head(self._store, key)["size"])

    def part(self, key: str, start: int, length: int) -> bytes:
        """Return bytes of an object, from `start` on. Raises FileNotFoundError, too."""
        with self.asked("read", key):
            return bytes(obstore.get_range(self._store, key, start=start, length=length))

    def writer(self, key: str) -> WritableFile:
        """Begin an object whose parts are sent as they come; it exists once it is closed. Its methods raise
        `obstore`'s errors: call them within `asked`."""
        return obstore.open_writer(self._store, key, buffer_size=_PART, max_concurrency=2)

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Yield the objects whose keys begin with `prefix`, which ends with a slash or is empty: a thousand a
        request."""
        last: str | None = None
        try:
            for entry in self._listed(prefix, last):
                yield entry
                last = entry.key
        except StoreError:  # the library repeats all but a list that breaks off
            yield from self._listed(prefix, last)

    def _listed(self, prefix: str, after: str | None) -> Iterator[Entry]:
        with self.asked("list", prefix):
            for page in obstore.list(self._store, prefix=prefix or None, offset=after, chunk_size=1000):
                for meta in page:
                    yield Entry(meta["path"], Tag(meta["e_tag"], meta["version"]), meta["size"], meta["last_modified"])

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects, those that exist."""
        for start in range(0, len(keys), 1000):
            with self.asked("delete", keys[start]):
                obstore.delete(self._store, keys[start : start + 1000])

    def _put(self, key: str, data: bytes | Path, mode: Any) -> Tag:
        with self.asked("write", key):
            try:
                written = obstore.put(self._store, key, data, mode=mode)
            except (AlreadyExistsError, PreconditionError) as error:
                raise Conflict(key) from error
            return Tag(written["e_tag"], written["version"])

    @contextmanager
    def asked(self, verb: str, key: str) -> Iterator[None]:
        """Turn errors of the library in the block into `StoreError`, which says what was asked of the store."""
        try:
            yield
        except BaseError as error:
            raise StoreError(f"cannot {verb} {key} of {self.url}: {_reason(error)}") from error


def _without_tls(options: Mapping[str, Any]) -> bool:
    """Return whether the options or the environment, from which the library takes the rest, name an http endpoint."""
    variables = {name: value for name, value in os.environ.items() if name.startswith(("AWS_", "AZURE_"))}
    named = {**variables, **options}.items()
    return any("endpoint" in name.lower() and str(value).startswith("http://") for name, value in named)


def _options(file: Path | None) -> dict[str, Any]:
    """Raises `SettingsError`."""
    if file is None:
        return {}
    try:
        options = json.loads(read_regular(file))
    except (OSError, ValueError, RecursionError) as error:
        raise SettingsError(f"STORE_OPTIONS_FILE={file} cannot be read: {error}") from None
    if not isinstance(options, dict):
        raise SettingsError(f'STORE_OPTIONS_FILE={file} must hold a JSON object, such as {{"aws_region": "eu-west-1"}}')
    return options


def _reason(error: Exception) -> str:
    """Return the sentence of an error of the library, without what it has for its own developers."""
    return str(error).partition("\n\nDebug source")[0].strip()
