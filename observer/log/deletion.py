"""Deletes what the log has of a person, now and in what still comes."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass
from typing import Self

from contract.files import read_regular
from contract.retention import DAY, Retention
from observer.log.columns import literal
from observer.log.store import LogStore, parquet, written

_KEPT = Retention.unended_jobs + DAY
"""Seconds after which no job can still wait that was accepted before a deletion."""


@dataclass(frozen=True)
class Deletion:
    """All rows of `model` and `owner` (None: of all owners) that were accepted before `at` (seconds since 1970), and
    whose id has this SHA-256: the id itself must not stay here."""

    model: str
    sha256: str
    at: float
    owner: str | None = None

    @classmethod
    def of(cls, model: str, identity: str, owner: str | None) -> Self:
        """Return the deletion, now, of what there is of an id."""
        return cls(model, hashlib.sha256(identity.encode()).hexdigest(), time.time(), owner)

    def condition(self, seconds: str = "epoch(time)") -> str:
        """Return the SQL of these rows. `seconds`: that of when a row came."""
        of_owner = "" if self.owner is None else f" AND owner = {literal(self.owner)}"
        return f"(sha256(id) = {literal(self.sha256)} AND {seconds} <= {self.at!r}{of_owner})"


class Deletions:
    """The deletions for which jobs may still wait, in a file beside the log."""

    def __init__(self, store: LogStore) -> None:
        self._store = store
        self._path = store.folder / "deletions.json"

    def delete(self, model: str, identity: str, owner: str | None) -> int:
        """Delete the rows of `model` and `owner` (None: of all owners) with this id, and return how many there were.
        Rows that were accepted before, and reach the log later, are not kept. Raises OSError."""
        deletion = Deletion.of(model, identity, owner)
        with self._store.lock:
            self._remember(deletion)
            return self.repeat(deletion)

    def condition(self, model: str) -> str:
        """Return the SQL of the rows of `model` that must not be kept."""
        return " OR ".join([one.condition() for one in self.remembered() if one.model == model]) or "false"

    def _remember(self, deletion: Deletion) -> None:
        kept = [one for one in self.remembered() if time.time() - one.at < _KEPT]
        self._store.write(self._path, json.dumps([asdict(one) for one in [*kept, deletion]]).encode())

    def remembered(self) -> list[Deletion]:
        """Return the deletions for which jobs may still wait."""
        try:
            return [Deletion(**one) for one in json.loads(read_regular(self._path))]
        except FileNotFoundError:
            return []

    def repeat(self, deletion: Deletion) -> int:
        """Write the files anew that have such rows, without them, and return how many there were."""
        store, deleted, condition = self._store, 0, f"coalesce({deletion.condition()}, false)"
        moves: dict[str, str] = {}
        removes: list[str] = []
        with store.database() as database:
            for file in [file for one in store.partitions(deletion.model) for file in store.files(one)]:
                counted = f"SELECT count(*) FILTER ({condition}), count(*) FROM {parquet([file])}"
                mine, rows = database.execute(counted).fetchall()[0]
                if mine:
                    removes.append(store.relative(file))
                if 0 < mine < rows:
                    name = f"{len(moves)}.parquet"
                    # Warnings are about a whole request, and may quote any of its rows.
                    silent = f"job_id IN (SELECT job_id FROM {parquet([file])} WHERE {condition})"
                    columns = f"* REPLACE (if({silent}, [], warnings) AS warnings)"
                    others = f"SELECT {columns} FROM {parquet([file])} WHERE NOT {condition}"
                    database.execute(written(others, store.draft / name))
                    moves[name] = store.renewed(file)
                deleted += mine
        if removes:
            store.replace(moves, removes)
        return deleted
