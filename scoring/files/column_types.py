"""The types in SQL of the columns of a Parquet output. They follow from the signature, so all parts have the same."""

from __future__ import annotations

from collections.abc import Sequence

from contract.model.signature import PREDICT, AnswerForm, Kind, Output, OutputKind, Signature
from contract.rows.row_plan import plan_of

_DOUBLE, _TEXT = "DOUBLE", "VARCHAR"
_KINDS = {
    Kind.NUMBER: _DOUBLE,
    Kind.INTEGER: "BIGINT",
    Kind.BOOLEAN: "BOOLEAN",
    Kind.STRING: _TEXT,
    Kind.DATETIME: "TIMESTAMP WITH TIME ZONE",
}
_LABELS = {bool: "BOOLEAN", int: "BIGINT", float: _DOUBLE, str: _TEXT}


def kept_types(signature: Signature, columns: Sequence[str]) -> list[str]:
    """Return the types of the columns of a file that is no Parquet: inputs by their kind, others as text."""
    plan = plan_of(signature)
    if not plan.is_table:
        return [_TEXT] * len(columns)
    places = plan.lay_out(plan.match_case(columns), range(len(columns))).places
    kinds = {
        column: _KINDS[signature.inputs[position].kind] for position, column in places.items() if position < plan.width
    }
    return [kinds.get(column, _TEXT) for column in range(len(columns))]


def answer_types(signature: Signature, method: str) -> list[str]:
    """Return the types of the columns that a method adds, in the order of `answer_names`."""
    if method == PREDICT.name:
        first = signature.outputs[0]
        labels = sum(len(output.shown_labels) for output in signature.outputs) if first.probabilities else 0
        return [*map(_type_of, signature.outputs), *[_DOUBLE] * (labels + first.scores)]
    described = signature.method(method)
    form = described.answer if described else None
    if form is AnswerForm.LABELS:
        return [_DOUBLE] * sum(len(output.shown_labels) for output in signature.outputs)
    if form is AnswerForm.NAMED and described:
        # What a transformer gives may be words.
        return [_TEXT if method == "transform" else _DOUBLE] * len(described.names or signature.outputs)
    return [_DOUBLE if form is AnswerForm.NUMBER else _TEXT]


def _type_of(output: Output) -> str:
    if output.kind is OutputKind.NUMBER:
        return _DOUBLE
    types = set(map(type, output.shown_labels))
    return _LABELS[types.pop()] if len(types) == 1 else _TEXT
