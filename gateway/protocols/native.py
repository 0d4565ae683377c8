"""The gateway's own protocol: rows in any of the JSON shapes that clients send, answered with the job as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from contract.coercion import Grid, Instances, Records, RepeatedKeys, check_width
from contract.errors import FieldError, InvalidInstances
from contract.jobs import Job
from contract.manifest import Signature
from contract.wording import counted, listed, shown
from gateway.refusals import MalformedBody

EMPTY = 'the body is empty; send the rows, such as [{"name": value}, …] or CSV with a header'


def read(body: bytes, signature: Signature) -> Instances:
    """Return the rows in `body`. Its shape tells what they are; an object with a key of the signature is a row.

    Raises `MalformedBody`, or `InvalidInstances` where it is JSON in no shape that holds instances.
    """
    value = _parsed(_text(body), "the body")
    for _ in range(2):
        if isinstance(value, str):
            value = _parsed(value, "the JSON string in the body")
    if isinstance(value, list):
        return _rows(value)
    if not isinstance(value, dict):
        _refuse("not_instances", f"the body must be a JSON object or list; it is {shown(value)}")
    wrappers = [key for key in _WRAPPERS if key in value]
    for names in (value, *(value[key] for key in wrappers)):
        if isinstance(names, dict):
            check_width(len(names), signature)
    if not wrappers or not _known(signature).isdisjoint(value):
        return _object(value)
    if len(wrappers) > 1 or wrappers[0] in _repeated(value):
        given = f"{listed(wrappers)} in one body" if len(wrappers) > 1 else f"{wrappers[0]!r} twice"
        _refuse("ambiguous_body", f"the body has {given}; send the rows once")
    return _WRAPPERS[wrappers[0]](value[wrappers[0]], repr(wrappers[0]))


def write(job: Job) -> str:
    return to_json(job.to_json())


def to_json(value: object) -> str:
    """Return a line of JSON. Raises `ValueError` for a number that is not finite."""
    return _encode(value) + "\n"


def json_value(body: bytes) -> object:
    """Return the value in a body without rows. Objects that repeat a key are `RepeatedKeys`. Raises `MalformedBody`."""
    return _parsed(_text(body), "the body")


def _known(signature: Signature) -> set[str | None]:
    return {signature.id_field, *(word for f in signature.inputs for word in (f.name, *f.aliases))}


def _text(body: bytes) -> str:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedBody(f"the body is not UTF-8: byte {error.start} cannot be read") from None
    if not text.strip():
        raise MalformedBody(EMPTY)
    return text


def with_repeats_marked(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return the pairs as a dict, as `RepeatedKeys` if a name repeats."""
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    kept = RepeatedKeys(found)
    kept.repeated = tuple(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
    return kept


def _refuse_constant(constant: str) -> NoReturn:
    raise MalformedBody(f"{constant} is not JSON; write null for a missing value")


_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode
_DECODER = json.JSONDecoder(object_pairs_hook=with_repeats_marked, parse_constant=_refuse_constant)


def _parsed(text: str, what: str) -> object:
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise MalformedBody(f"{what} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise MalformedBody(f"{what} is nested too deeply; rows are a list of objects or of lists") from None
    except ValueError:  # the only other cause: an integer with more digits than Python reads
        raise MalformedBody(f"{what} has a number of thousands of digits") from None


def _refuse(code: str, message: str) -> NoReturn:
    raise InvalidInstances([FieldError(None, None, code, message)])


def _repeated(value: object) -> tuple[str, ...]:
    return value.repeated if isinstance(value, RepeatedKeys) else ()


def _rows(value: list[Any]) -> Instances:
    """Return the rows of a list. Its first element decides how; plain values are one row."""
    if not value or isinstance(value[0], dict):
        return Records(value)  # coerce() refuses rows that are not objects
    return Grid(None, value if isinstance(value[0], list) else [value])


def _object(value: dict[str, Any]) -> Instances:
    """Return one row, or the rows of pandas' default, where a column is an object of values by row label."""
    if not value or not all(isinstance(column, dict) for column in value.values()):
        return Records([value])
    first, labels = next(iter(value.items()))
    for name, column in value.items():
        if column.keys() != labels.keys():
            _refuse("wrong_index", f"the columns {listed([first, name])} have different row labels")
        if twice := _repeated(column):
            _refuse("wrong_index", f"the column {shown(name)} has the row label {shown(twice[0])} more than once")
    return _grid({name: [column[label] for label in labels] for name, column in value.items()}, _repeated(value))


def _grid(columns: dict[str, list[object]], repeated: Sequence[str] = ()) -> Grid:
    """Return the columns as rows. A repeated name appears twice; coerce() decides whether it matters."""
    names = [*columns, *repeated]
    return Grid(names, list(zip(*(columns[name] for name in names), strict=True)))


def _instances(value: object, name: str) -> Instances:
    if isinstance(value, list):
        return _rows(value)
    if isinstance(value, dict):
        return _object(value)
    return _refuse("not_instances", f"{name} must be a list of rows; it is {shown(value)}")


def _inputs(value: object, name: str) -> Instances:
    is_columns = isinstance(value, dict) and value and all(isinstance(column, list) for column in value.values())
    return _columns(value, name) if is_columns else _instances(value, name)


def _columns(value: object, name: str) -> Instances:
    if not isinstance(value, dict) or not all(isinstance(column, list) for column in value.values()):
        _refuse("not_instances", f'{name} must be an object of lists, such as {{"a": [1, 2]}}')
    lengths = {key: len(column) for key, column in value.items()}
    if len(set(lengths.values())) > 1:
        long, short = (choose(lengths, key=lengths.__getitem__) for choose in (max, min))
        ends = f"{shown(long)} has {counted(lengths[long], 'value')}, {shown(short)} has {lengths[short]}"
        _refuse("wrong_length", f"the columns have different lengths: {ends}")
    return _grid(value, _repeated(value))


def _records(value: object, name: str) -> Instances:
    if not isinstance(value, list):
        _refuse("not_instances", f"{name} must be a list of objects; it is {shown(value)}")
    return Records(value)


def _split(value: object, name: str) -> Instances:
    parts = value if isinstance(value, dict) else {}
    names, rows = parts.get("columns"), parts.get("data")
    if not isinstance(names, list) or not isinstance(rows, list) or _repeated(parts):
        _refuse("not_instances", f'{name} must be an object with the lists "columns" and "data", each once')
    for column in names:
        if not isinstance(column, str | int):
            _refuse("not_instances", f"{name} must name its columns by text; it has {shown(column)}")
    return Grid([str(column) for column in names], rows)


_WRAPPERS: dict[str, Callable[[object, str], Instances]] = {
    "instances": _instances,
    "inputs": _inputs,
    "columns": _columns,
    "dataframe_split": _split,
    "dataframe_records": _records,
}
