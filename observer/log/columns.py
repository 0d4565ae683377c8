"""The columns of the log, and the SQL that makes rows of records (`worker.log_records`).

The columns are documented in docs/reference/prediction-log.md, and stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from contract.model.signature import Kind, OutputKind, RowFormat, Signature

_TEXT, _NUMBER, _TEXTS = "VARCHAR", "DOUBLE", "VARCHAR[]"
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
    the prediction. Without `inputs` a row is a record of any names, as JSON."""

    inputs: Sequence[tuple[str, str]] | None
    prediction: str
    several: bool

    @classmethod
    def of(cls, signature: Signature) -> LogColumns:
        return cls(
            None if signature.format is RowFormat.RECORDS else list(_named_types(signature)),
            _type_of_prediction(signature),
            several=len(signature.outputs) > 1,
        )

    def select(self, file: str) -> str:
        """Return the SQL of the rows in a file of records, a line each. `file`: its path as a literal."""
        if self.inputs is None:
            inputs, column = "unnest(inputs)::VARCHAR", "JSON[]"
        else:
            packed = (f"{quoted(name)} := unnest(inputs.{quoted(str(at))})" for at, (name, _) in enumerate(self.inputs))
            inputs = f"struct_pack({', '.join(packed)})"
            column = f"STRUCT({', '.join(f'{quoted(str(at))} {kind}[]' for at, (_, kind) in enumerate(self.inputs))})"
        types = {
            "accepted_at": "TIMESTAMP WITH TIME ZONE",
            "job_id": _TEXT,
            "count": "INTEGER",
            "numbers": "INTEGER[]",
            "ids": _TEXTS,
            "request_id": _TEXT,
            "alias": _TEXT,
            "owner": _TEXT,
            "inputs": column,
            "leave_out": _TEXTS,
            "predictions": "JSON[]" if self.several else f"{self.prediction}[]",
            "probabilities": f"MAP({_TEXT}, {_NUMBER})[]",
            "warnings": _TEXTS,
            "milliseconds": _NUMBER,
        }
        listed = ", ".join(f"{name}: '{kind.replace(chr(39), chr(39) * 2)}'" for name, kind in types.items())
        return (
            "SELECT accepted_at AS time, job_id, unnest(coalesce(numbers, range(count)::INTEGER[])) AS row,"
            " unnest(ids) AS id, nullif(request_id, job_id) AS request_id, alias, owner,"
            f" {inputs} AS inputs, leave_out AS left_out, unnest(predictions)::{self.prediction} AS prediction,"
            " unnest(probabilities) AS probabilities, warnings, milliseconds"
            f" FROM read_json({file}, format = 'newline_delimited', columns = {{{listed}}},"
            f" maximum_object_size = {LONGEST_RECORD})"
        )


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
    if len(signature.outputs) != 1:
        return _TEXT
    if signature.output.kind is OutputKind.NUMBER:
        return _NUMBER
    types = set(map(type, signature.output.shown_labels))
    return _LABELS[types.pop()] if len(types) == 1 else _TEXT
