"""The rows of a request before and after coercion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from contract.errors import FieldError, InvalidInstances
from contract.model.signature import Signature
from contract.row import Row, Value
from contract.rows.csv_cells import Formats
from contract.wording import counted, listed

MAX_NAMES = 10_000
"""Most names of a row: far more than a model has inputs, and few enough to check each."""


# Records, Grid and Coerced are made for every request; frozen dataclasses would take three times as long to make.


@dataclass(slots=True)
class Records:
    """Instances as mappings of column name to value."""

    rows: Sequence[Mapping[str, object]]


@dataclass(slots=True)
class Grid:
    """Instances as lists of values under `columns`; None means the inputs in signature order.

    `separator` is set for a CSV, whose values are text; `remarks` say how the CSV was read. `sent` are the columns as
    the client has named them, where these differ. `formats` are those of the whole file, if this is a part of it.
    `labelled`: its rows had labels, too, so columns named by numbers may be rows.
    """

    columns: Sequence[str] | None
    rows: Sequence[Sequence[object]]
    separator: str | None = None
    remarks: Sequence[str] = ()
    sent: Sequence[str] | None = None
    formats: Formats | None = None
    labelled: bool = False


Instances = Records | Grid


@dataclass(slots=True)
class Coerced:
    """Rows in signature order. `ids` is None if the request has none; `warnings` are sentences for the caller.

    `refused` are the numbers of the invalid rows, ascending, and `errors` their errors. `rows` lacks these rows, `ids`
    does not.
    """

    rows: Sequence[Row]
    ids: Sequence[Value] | None
    warnings: list[str]
    refused: Sequence[int] = ()
    errors: Sequence[FieldError] = ()


def check_length(values: int, signature: Signature) -> None:
    """Raise `InvalidInstances` unless rows in the order of the inputs have a value for each, before they are made."""
    if values != len(signature.inputs):
        inputs = f"{counted(len(signature.inputs), 'value')} ({listed(signature.names)})"
        message = f"each row must be a list of {inputs}; it has {values}"
        raise InvalidInstances([FieldError(None, None, "wrong_length", message)])


def check_width(names: int, signature: Signature) -> None:
    """Raise `InvalidInstances` if rows have so many columns that most cannot be inputs of the model."""
    most = max(MAX_NAMES, 2 * len(signature.inputs))
    if names > most:
        inputs = counted(len(signature.inputs), "input")
        message = f"a row has {names} names, and at most {most} are read; send only the {inputs} of the model"
        raise InvalidInstances([FieldError(None, None, "too_many_names", message)])
