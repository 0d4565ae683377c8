"""The files of the prediction log: Parquet by model, version and day, and how they change.

    predictions/model=loan/version=3/day=2026-11-27/<name>.parquet
    state.json       the last change
    deletions.json   whose rows are not kept (`observer.log.deletion`)
    .draft/          files that are not complete

One process writes. A change is one file, `state.json`, that is replaced as a whole and says what to rename and remove;
what it says is done again after a crash. So no draft of a later change may have a name that `state.json` still has.
A Parquet file never changes: what replaces it has another name, so a copy of the log knows it by its name.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import re
import shutil
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from contract.files import read_regular
from observer.log.columns import literal
from storage.disk import sync, write

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

PREDICTIONS, STATE, _LOCK, _DRAFT = "predictions", "state.json", ".lock", ".draft"
ONCE = "QUALIFY row_number() OVER (PARTITION BY job_id, row ORDER BY time) = 1"
"""The end of the SQL of rows of one version: one that is there twice, because its job ran again, counts once."""
_PARTITION = re.compile(r"model=([a-z0-9_-]+)/version=([0-9]+)/day=([0-9]{4}-[0-9]{2}-[0-9]{2})")
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "async_threads": 0,
    "memory_limit": "1GB",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}


class InUse(Exception):
    """Another process writes this log."""


@dataclass(frozen=True)
class Partition:
    """The rows of one version that were accepted on one day in UTC, `2026-11-27`."""

    model: str
    version: int
    day: str

    @property
    def path(self) -> str:
        return f"model={self.model}/version={self.version}/day={self.day}"

    @classmethod
    def of(cls, path: str) -> Self | None:
        """Return the partition of this path, or None if it is none."""
        match = _PARTITION.fullmatch(path)
        return cls(match[1], int(match[2]), match[3]) if match else None


@dataclass
class Change:
    """`moves`: names in `.draft/`, and where these files go. `removes`: files that go then. `position`: up to which
    entry of the stream the log has the records, and `size` and `rows`: what it has not been told to forget of these
    (`broker.sides.observer.LogStream.forget`). Paths are relative to the folder of the log. `LogStore` sets `number`,
    one more with each change, and begins the names in `.draft/` with it; and `folder`, an id of the folder, which gets
    another one if it was emptied."""

    position: str
    size: int = 0
    rows: list[tuple[str, str, int]] = field(default_factory=list)
    moves: dict[str, str] = field(default_factory=dict)
    removes: list[str] = field(default_factory=list)
    number: int = 0
    folder: str = ""

    def to_json(self) -> bytes:
        return json.dumps(dataclasses.asdict(self)).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        data: dict[str, Any] = json.loads(text)
        return cls(**{**data, "rows": [(model, fate, count) for model, fate, count in data["rows"]]})


class LogStore:
    """The log in `folder`. Threads may share it: each change, and each query, holds the lock. Methods raise OSError and
    `duckdb.Error`."""

    def __init__(self, folder: Path, beginning: str) -> None:
        """Take the folder, and complete the last change. `beginning`: the position of an empty log. Raises `InUse`."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.root = folder / PREDICTIONS
        self.draft = folder / _DRAFT
        self._lock_file = _taken(folder / _LOCK)
        self.lock = threading.RLock()
        self.last = self._read_state(beginning)
        self._settled = False
        self.settle()
        shutil.rmtree(self.draft, ignore_errors=True)
        self.draft.mkdir(exist_ok=True)
        self.root.mkdir(exist_ok=True)
        self._database = self._connect()

    def close(self) -> None:
        self._database.close()
        self._lock_file.close()

    @contextmanager
    def database(self) -> Iterator[DuckDBPyConnection]:
        """Yield a connection of its own to DuckDB, while no file of the log changes. If the context fails, its drafts
        are removed."""
        with self.lock, self._database.cursor() as cursor:
            self.settle()
            self.draft.mkdir(exist_ok=True)  # somebody may have emptied the folder
            cursor.execute("SET TimeZone = 'UTC'")
            with self._drafting():
                yield cursor

    def partitions(self, model: str | None = None) -> list[Partition]:
        """Return what there is of a model, or of all, the oldest day first."""
        paths = self.root.glob(f"model={model or '*'}/version=*/day=*")
        found = (Partition.of(str(path.relative_to(self.root))) for path in paths)
        return sorted(filter(None, found), key=lambda partition: (partition.day, partition.model, partition.version))

    def files(self, partition: Partition) -> list[Path]:
        """Return the files of a partition, the oldest first."""
        return sorted((self.root / partition.path).glob("*.parquet"))

    def change(self, change: Change) -> None:
        """Make a change, durably: after a crash it is made, or nothing is. If it fails, `last` says whether it will be
        made; `settle` does that."""
        with self.lock:
            self.settle()
            number = max(change.number, self.last.number) + 1
            folder = change.folder or (self.last.folder if (self.folder / STATE).exists() else uuid.uuid4().hex)
            moves = {f"{number}-{name}": target for name, target in change.moves.items()}
            with self._drafting():
                for name, numbered in zip(change.moves, moves, strict=True):
                    _flush(self.draft / name)
                    (self.draft / name).replace(self.draft / numbered)
                if moves:
                    sync(self.draft)
                self._write_state(dataclasses.replace(change, moves=moves, number=number, folder=folder))
            self.settle()

    def settle(self) -> None:
        """Complete the last change, unless that is done: the disk may have been full."""
        with self.lock:
            if not self._settled:
                sync(self.folder)
                self._complete()
                self._settled = True

    def replace(self, moves: Mapping[str, str], removes: Iterable[str] = ()) -> None:
        """Change files at the position where the log is."""
        self.change(dataclasses.replace(self.last, moves=dict(moves), removes=list(removes), folder=""))

    def relative(self, path: Path) -> str:
        return str(path.relative_to(self.folder))

    def renewed(self, path: Path) -> str:
        """Return the path, in the log, of what replaces a Parquet file in the next change."""
        return self.relative(path.with_name(f"{path.name.partition('.')[0]}.{self.last.number + 1}.parquet"))

    def saved(self) -> Change:
        """Return the last change as it is on disk. Raises FileNotFoundError before the first one, and if the folder was
        emptied."""
        return Change.from_json(read_regular(self.folder / STATE))

    def _complete(self) -> None:
        """Do what the last change says, as far as it is not done."""
        changed: set[Path] = set()
        for name, target in self.last.moves.items():
            path = self.folder / target
            path.parent.mkdir(parents=True, exist_ok=True)
            if (self.draft / name).exists():
                (self.draft / name).replace(path)
            changed.update(parent for parent in path.parents if self.folder in parent.parents)
        for name in self.last.removes:
            path = self.folder / name
            path.unlink(missing_ok=True)
            if path.parent.is_dir() and not any(path.parent.iterdir()):
                path.parent.rmdir()
                changed.discard(path.parent)
        for folder in changed:
            if folder.is_dir():
                sync(folder)

    def write(self, path: Path, data: bytes) -> None:
        """Write a file of the folder, whole and durably, or not at all."""
        write(self.draft / path.name, data)
        (self.draft / path.name).replace(path)
        sync(self.folder)

    def _write_state(self, change: Change) -> None:
        write(self.draft / STATE, change.to_json())
        (self.draft / STATE).replace(self.folder / STATE)
        self.last, self._settled = change, False

    @contextmanager
    def _drafting(self) -> Iterator[None]:
        """Remove all drafts if the context fails: they take room, and are about people whose rows may be deleted."""
        try:
            yield
        except Exception:
            with suppress(OSError):
                for path in self.draft.iterdir() if self._settled else ():
                    if path.is_file():
                        path.unlink()
            raise

    def _read_state(self, beginning: str) -> Change:
        try:
            return self.saved()
        except FileNotFoundError:
            return Change(beginning)

    def _connect(self) -> DuckDBPyConnection:
        import duckdb

        # What does not fit into memory goes to the folder of the log.
        return duckdb.connect(":memory:", config={**_CONFIG, "temp_directory": str(self.draft / "duckdb")})


def parquet(files: Sequence[Path]) -> str:
    """Return the SQL that reads these files, whose columns may differ."""
    paths = ", ".join(literal(str(path)) for path in files)
    return f"read_parquet([{paths}], union_by_name = true, hive_partitioning = false)"


def written(query: str, path: Path) -> str:
    """Return the SQL that writes the rows of a query into a file."""
    return f"COPY ({query}) TO {literal(str(path))} (FORMAT parquet, COMPRESSION zstd)"


def _taken(path: Path) -> IO[str]:
    """Return the lock file, which is locked until it is closed or the process ends. Raises `InUse`."""
    file = path.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise InUse(f"another process writes {path.parent}") from None
    return file


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
