"""The columns of the log, and the SQL that makes rows of records (`worker.log_records`).

The columns are documented in docs/reference/prediction-log.md, and stay as they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from contract.model.signature import Kind, OutputKind, RowFormat, Signature

_TEXT, _NUMBER, _TEXTS, _JSON = "VARCHAR", "DOUBLE", "VARCHAR[]", "JSON"
_KINDS = {
    Kind.NUMBER: _NUMBER,
    Kind.INTEGER: "BIGINT",
    Kind.BOOLEAN: "BOOLEAN",
    Kind.STRING: _TEXT,
    Kind.DATETIME: "TIMESTAMP WITH TIME ZONE",
}
_LABELS = {bool: "BOOLEAN", int: "BIGINT", float: _NUMBER, str: _TEXT}
LONGEST_RECORD = 2**27
"""Bytes of a record. More than the scripts let wait (`broker/lua/finish.lua`)."""


@dataclass(frozen=True)
class LogColumns:
    """The columns of one version whose types follow from its signature: of each input, by its name in the log, and of
    the prediction. Without `inputs` a row is a record of any names."""

    inputs: Sequence[tuple[str, str]] | None
    prediction: str

    @classmethod
    def of(cls, signature: Signature) -> LogColumns:
        inputs = None if signature.format is RowFormat.RECORDS else list(_named_types(signature))
        return cls(inputs, _type_of_prediction(signature))

    def read_prediction(self, logged: Any) -> Any:
        """Return the answer that is logged so; other JSON than a label stays as it is."""
        answer = json.loads(logged) if self.prediction == _JSON and logged is not None else None
        return logged if answer is None or isinstance(answer, list | dict) else answer

    def select(self, file: str) -> str:
        """Return the SQL of the rows in a file of records, a line each. `file`: its path as a literal."""
        if self.inputs is None:
            inputs, column = "unnest(inputs)", f"{_JSON}[]"
        else:
            packed = (f"{quoted(name)} := unnest(inputs.{quoted(str(at))})" for at, (name, _) in enumerate(self.inputs))
            inputs = f"struct_pack({', '.join(packed)})"
            column = f"STRUCT({', '.join(f'{quoted(str(at))} {kind}[]' for at, (_, kind) in enumerate(self.inputs))})"
        types = {
            "count": "INTEGER",
            "accepted_at": "TIMESTAMP WITH TIME ZONE[]",
            "job_id": _TEXTS,
            "number": "INTEGER[]",
            "id": _TEXTS,
            "request_id": _TEXTS,
            "alias": _TEXTS,
            "owner": _TEXTS,
            "inputs": column,
            "leave_out": _TEXTS,
            "prediction": f"{self.prediction}[]",
            "probabilities": f"MAP({_TEXT}, {_NUMBER})[]",
            "warnings": f"{_TEXTS}[]",
            "milliseconds": f"{_NUMBER}[]",
            "without": _TEXTS,
        }
        listed = ", ".join(f"{name}: '{kind.replace(chr(39), chr(39) * 2)}'" for name, kind in types.items())
        return (
            "SELECT * EXCLUDE (without) FROM ("
            f"SELECT {_each('accepted_at')} AS time, {_each('job_id')} AS job_id,"
            # Without numbers, a record has the rows of one job from 0 on, or the only row of each of several jobs.
            " unnest(coalesce(number, if(len(job_id) = 1, range(count), list_resize([0], count, 0))))::INTEGER AS row,"
            f" unnest(id) AS id, {_each('request_id')} AS request_id, {_each('alias')} AS alias,"
            f" {_each('owner')} AS owner, {inputs} AS inputs, leave_out AS left_out,"
            f" unnest(prediction) AS prediction, unnest(probabilities) AS probabilities,"
            f" {_each('warnings')} AS warnings, {_each('milliseconds')} AS milliseconds, without"
            f" FROM read_json({file}, format = 'newline_delimited', columns = {{{listed}}},"
            f" maximum_object_size = {LONGEST_RECORD})) WHERE NOT list_contains(without, job_id)"
        )


def summaries_in(file: str) -> str:
    """Return the SQL of what the shadow scorer says of the records in a file, without those that cannot be read."""
    options = f"format = 'newline_delimited', maximum_object_size = {LONGEST_RECORD}, ignore_errors = true"
    return f"SELECT shadow FROM read_json({file}, columns = {{shadow: 'JSON'}}, {options}) WHERE shadow IS NOT NULL"


def _each(name: str) -> str:
    """Return the SQL of a list with a value for each row, or with one for all rows."""
    return f"unnest(list_resize({name}, count, {name}[1]))"


def quoted(name: str) -> str:
    """Return a name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text in SQL."""
    return "'" + text.replace("'", "''") + "'"


def _named_types(signature: Signature) -> Iterator[tuple[str, str]]:
    """Yield name and type of each input. Names that differ in case alone get a number: DuckDB and Spark do not tell
    them apart."""
    seen: set[str] = set()
    for field in signature.inputs:
        name, number = field.name, 1
        while name.lower() in seen:
            number += 1
            name = f"{field.name}_{number}"
        seen.add(name.lower())
        yield name, _KINDS[field.kind]


def _type_of_prediction(signature: Signature) -> str:
    """Return the type of what `predict` answers; JSON for several outputs, and for labels of several types."""
    if len(signature.outputs) != 1:
        return _JSON
    if signature.output.kind is OutputKind.NUMBER:
        return _NUMBER
    types = set(map(type, signature.output.shown_labels))
    return _LABELS[types.pop()] if len(types) == 1 else _JSON
