"""Rows of the log beside what came true, for a training that learns from them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from contract.errors import ModelgateError
from contract.model.experiments import SHADOW_ALIAS
from contract.model.manifest import ModelManifest
from contract.model.repository import Repository
from contract.model.signature import OutputKind, RowFormat, Signature
from contract.work.observation import OUTCOME_PAGE, Cursor, Observation
from observer.log.columns import literal
from observer.log.outcomes import Outcomes, joined, values
from observer.log.reading import shown_rows
from observer.log.store import ONCE, LogStore
from observer.outcomes.joined_rows import UNKNOWN, read_labels, read_numbers


@dataclass(frozen=True)
class Learning:
    """What a training may learn from. Methods raise OSError, `duckdb.Error` and `ModelgateError`."""

    store: LogStore
    outcomes: Outcomes
    repository: Repository

    def page(self, asked: Observation) -> dict[str, Any]:
        """Answer READ_OUTCOMES (`contract.work.observation.Observation`)."""
        manifest = self.repository.manifest(asked.model, asked.version or 0)
        signature, most = manifest.signature, min(asked.limit, OUTCOME_PAGE)
        rows = self._rows(asked, self._alike(manifest), most + 1)
        shown = rows[:most]
        truths, unread = _labels([row["outcome"] for row in shown], signature)
        left_out = {name for row in shown for name in row["left_out"] or ()}
        kept = [at for at, name in enumerate(signature.names) if name not in left_out]
        last = shown[-1] if len(rows) > most else None
        return {
            "columns": [signature.names[at] for at in kept],
            "rows": [
                [*(list(json.loads(row["inputs"]).values())[at] for at in kept), row["id"], truth]
                for row, truth in zip(shown, truths, strict=True)
                if truth is not None
            ],
            "unread": dict(Counter(unread).most_common(10)),
            "next_cursor": last and str(Cursor(last["micros"], last["job_id"], last["row"])),
        }

    def _alike(self, manifest: ModelManifest) -> list[int]:
        """Return the versions whose rows have the inputs of this one."""
        alike = []
        for version in {partition.version for partition in self.store.partitions(manifest.name)}:
            try:
                signature = self.repository.manifest(manifest.name, version).signature
            except ModelgateError:
                continue
            if signature.format is RowFormat.TABLE and signature.names == manifest.signature.names:
                alike.append(version)
        return alike

    def _rows(self, asked: Observation, versions: Sequence[int], most: int) -> list[dict[str, Any]]:
        """Return the newest rows of these versions with their outcomes."""
        with self.store.database() as database:
            parts = [
                shown_rows(database, partition.version, files)
                for partition in self.store.partitions(asked.model)
                if partition.version in versions and (files := self.store.files(partition))
            ]
            if not parts:
                return []
            rows = f"SELECT *, make_timestamptz(micros) AS time FROM ({' UNION ALL BY NAME '.join(parts)})"
            conditions, bound = [f"alias IS DISTINCT FROM {literal(SHADOW_ALIAS)}"], list[Any]()
            if asked.owner is not None:
                conditions.append("owner = ?")
                bound.append(asked.owner)
            if asked.cursor is not None:
                cursor = Cursor.read(asked.cursor)
                conditions.append("(micros, job_id, row) < (?::BIGINT, ?, ?::INTEGER)")
                bound += [cursor.accepted_at, cursor.job, cursor.row]
            mine = f"{rows} WHERE {' AND '.join(conditions)} {ONCE}"
            order = f"ORDER BY micros DESC, job_id DESC, row DESC LIMIT {most}"
            known = joined(mine, self.outcomes.newest(asked.model))
            columns = "micros, job_id, row, id, inputs, left_out, outcome"
            found = database.execute(f"SELECT {columns} FROM ({known}) {order}", bound)
            return [dict(zip(columns.split(", "), row, strict=True)) for row in found.fetchall()]


def _labels(outcomes: Sequence[str], signature: Signature) -> tuple[list[Any], Mapping[str, int]]:
    """Return the label or the number that each outcome means, None if it is neither; and these by their text. A version
    that does not know its labels takes what was sent."""
    sent, labels = values(outcomes), signature.output.shown_labels
    if signature.output.kind is OutputKind.NUMBER:
        numbers, unread = read_numbers(sent)
        return [number if isfinite(number) else None for number in numbers.tolist()], unread
    if not labels:
        return sent, {}
    codes, unread = read_labels(sent, labels)
    return [None if code == UNKNOWN else labels[code] for code in codes.tolist()], unread
