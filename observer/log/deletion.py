"""Deletes what the log has of a person, now and in what still comes."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass

from contract.files import read_regular
from contract.retention import DAY, Retention
from observer.log.columns import literal
from observer.log.store import LogStore, parquet, written

_KEPT = Retention.unended_jobs + DAY
"""Seconds after which no job can still wait that was accepted before a deletion."""


@dataclass(frozen=True)
class Deletion:
    """All rows of `model` that were accepted before `at` (seconds since 1970), and whose id has this SHA-256: the id
    itself must not stay here."""

    model: str
    sha256: str
    at: float


class Deletions:
    """The deletions for which jobs may still wait, in a file beside the log."""

    def __init__(self, store: LogStore) -> None:
        self._store = store
        self._path = store.folder / "deletions.json"

    def delete(self, model: str, identity: str) -> int:
        """Delete the rows of `model` with this id, and return how many there were. Rows that were accepted before, and
        reach the log later, are not kept. Raises OSError."""
        digest = hashlib.sha256(identity.encode()).hexdigest()
        with self._store.lock:
            self._remember(Deletion(model, digest, time.time()))
            return self._rewrite(model, identity)

    def condition(self, model: str) -> str:
        """Return the SQL of the rows of `model` that must not be kept."""
        found = [one for one in self._read() if one.model == model]
        if not found:
            return "false"
        ids = (f"(sha256(id) = {literal(one.sha256)} AND epoch(time) <= {one.at!r})" for one in found)
        return " OR ".join(ids)

    def _remember(self, deletion: Deletion) -> None:
        kept = [one for one in self._read() if time.time() - one.at < _KEPT]
        self._store.write(self._path, json.dumps([asdict(one) for one in [*kept, deletion]]).encode())

    def _read(self) -> list[Deletion]:
        try:
            return [Deletion(**one) for one in json.loads(read_regular(self._path))]
        except FileNotFoundError:
            return []

    def _rewrite(self, model: str, identity: str) -> int:
        """Write the files anew that have such rows, without them."""
        store, deleted = self._store, 0
        moves: dict[str, str] = {}
        removes: list[str] = []
        with store.database() as database:
            for number, file in enumerate(f for one in store.partitions(model) for f in store.files(one)):
                counted = f"SELECT count(*) FILTER (id = ?), count(*) FROM {parquet([file])}"
                mine, rows = database.execute(counted, [identity]).fetchall()[0]
                if mine == rows:
                    removes.append(store.relative(file))
                elif mine:
                    name = f"{number}.parquet"
                    others = f"SELECT * FROM {parquet([file])} WHERE id IS DISTINCT FROM {literal(identity)}"
                    database.execute(written(others, store.draft / name))
                    moves[name] = store.relative(file)
                deleted += mine
        if moves or removes:
            store.replace(moves, removes)
        return deleted
