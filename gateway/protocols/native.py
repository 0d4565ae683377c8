"""The gateway's own protocol: rows in any of the JSON shapes that clients send, answered with the job as JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import suppress
from itertools import islice
from typing import Any, NoReturn

import orjson

from contract.errors import FieldError, InvalidInstances
from contract.json_objects import RepeatedKeys
from contract.model.signature import RowFormat, Signature
from contract.rows.instances import Grid, Instances, Records, check_width
from contract.rows.row_plan import plan_of
from contract.wording import Suggestions, counted, listed, shown
from contract.work.jobs import Job
from gateway.problems import MalformedBody
from gateway.protocols.offload import offload_large
from runtime.exact_json import JsonText, fragment, is_exact, with_repeats_marked

# Looked up once: finding a member of an Enum is slow, and every request compares with them.
_TEXTS, _RECORDS = RowFormat.TEXTS, RowFormat.RECORDS
EMPTY = 'the body is empty; send the rows, such as [{"name": value}, …] or CSV with a header'


def _refuse_constant(constant: str) -> NoReturn:
    raise MalformedBody(f"{constant} is not JSON; write null for a missing value")


_DECODER = json.JSONDecoder(object_pairs_hook=with_repeats_marked, parse_constant=_refuse_constant)
PYTHON = json.JSONDecoder(
    object_pairs_hook=with_repeats_marked,
    parse_constant=lambda constant: None if constant == "NaN" else float(constant),
)
"""Reads what Python's own writer makes of NumPy's arrays, too: NaN is null."""


@offload_large
def read(body: bytes, signature: Signature) -> Instances:
    """Return the rows in `body`. Its shape tells what they are; an object with a key of the signature is a row.

    Raises `MalformedBody`, or `InvalidInstances` where it is JSON in no shape that holds instances.
    """
    return rows_of(_parsed(body, "the body"), signature)


def rows_of(
    value: object, signature: Signature, decoder: json.JSONDecoder = _DECODER, names: Set[str] = frozenset()
) -> Instances:
    """Return the rows in a JSON value, or in JSON inside of a JSON text, which `decoder` reads. `names`: those that
    clients use for inputs besides the ones in the signature. Raises as `read`."""
    texts = signature.format is _TEXTS
    for _ in range(2):
        if isinstance(value, str):
            value = _json_in(value) if texts else _parsed(value, "the JSON string in the body", decoder)
    if not isinstance(value, dict):
        return _instances(value, "the body", signature)
    if not (plan_of(signature).positions.keys().isdisjoint(value) and names.isdisjoint(value)):
        return _object(value, signature)
    wrappers = [key for key in _WRAPPERS if key in value]
    if not wrappers:
        return _inside(value, signature)
    if len(wrappers) > 1 or wrappers[0] in _repeated(value):
        doubled = f"{listed(wrappers)} in one body" if len(wrappers) > 1 else f"{wrappers[0]!r} twice"
        _refuse("ambiguous_body", f"the body has {doubled}; send the rows once")
    if wrappers == ["columns"] and "data" in value:  # pandas' to_json(orient="split")
        return _split(value, "the body", signature)
    return unwrapped(value, wrappers[0], signature)


def read_fields(fields: Iterable[tuple[str, str]]) -> Instances:
    """Return the row in the fields of an HTML form or the query of a URL; a blank one is null, as text has no null."""
    return Records([with_repeats_marked([(name, value if value.strip() else None) for name, value in fields])])


@offload_large
def read_lines(body: bytes, signature: Signature, most_rows: int) -> Instances:
    """Return the texts in a body of plain text, at most the first `most_rows`: one a line, unless the body is JSON. A
    blank line is a blank text, but for those at the end. Raises as `read`."""
    text = _text(body)
    if isinstance(value := _json_in(text), list | dict):
        return rows_of(value, signature)
    lines = io.StringIO(text.rstrip("\r\n"), newline=None)
    return _rows([line.removesuffix("\n") for line in islice(lines, most_rows)], texts=True)


def unwrapped(value: dict[str, Any], key: str, signature: Signature) -> Instances:
    """Return the rows under `key`, such as "instances". Raises `InvalidInstances`."""
    return _WRAPPERS[key](value[key], repr(key), signature)


def write(job: Job) -> bytes:
    """Return the job as a line of JSON in ASCII."""
    return line(job.to_json())


def size_of(job: Job) -> int:
    """Return the bytes of the output of a job from Redis."""
    return len(job.output.text) if isinstance(job.output, JsonText) else 0


def predictions(job: Job) -> dict[str, Any]:
    """Return the answer of protocols without jobs: predictions, with probabilities where the model has them."""
    output = job.output or {}
    beside = {name: output[name] for name in ("probabilities",) if output.get(name) is not None}
    return {"predictions": output["predictions"], **beside}


def line(value: object) -> bytes:
    """Return a line of JSON in ASCII. Raises `ValueError` for a number that is not finite and orjson cannot write."""
    try:
        encoded = orjson.dumps(value, fragment, option=orjson.OPT_APPEND_NEWLINE)  # saves a request 2 % of its time
    except TypeError:  # half of a surrogate pair in an id, or a whole number beyond 64 bits
        return to_json(value).encode()
    return encoded if encoded.isascii() else to_json(value).encode()


def to_json(value: object) -> str:
    """Return a line of JSON. Raises `ValueError` for a number that is not finite."""
    return _encode(value) + "\n"


@offload_large
def json_value(body: bytes, what: str = "the body") -> object:
    """Return the value in a body without rows, or in a part of one, `what`. Objects that repeat a key are
    `RepeatedKeys`. Raises `MalformedBody`."""
    if not body.strip():
        raise MalformedBody(f"{what} is empty; send JSON")
    return _parsed(body, what)


def python_json(body: bytes) -> object:
    """Return the value in a body that `PYTHON` reads. Raises `MalformedBody`."""
    return _parsed(body, "the body", PYTHON)


def spellings(signature: Signature) -> set[str | None]:
    """Return the names and aliases of the inputs."""
    return {word for field in signature.inputs for word in (field.name, *field.aliases)}


def _text(body: bytes) -> str:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedBody(f"the body is not UTF-8: byte {error.start} cannot be read") from None
    if not text.strip():
        raise MalformedBody(EMPTY)
    return text


_encode = json.JSONEncoder(allow_nan=False, default=dict, separators=(",", ":")).encode


def _parsed(text: bytes | str, what: str, decoder: json.JSONDecoder = _DECODER) -> object:
    """Return what `_decoded` returns, in half of the time."""
    data = text if isinstance(text, bytes) else text.encode(errors="surrogatepass")
    try:
        value: object = orjson.loads(data)
    except orjson.JSONDecodeError:
        value = None
    return value if is_exact(value, data) else _decoded(text if isinstance(text, str) else _text(text), what, decoder)


def _decoded(text: str, what: str, decoder: json.JSONDecoder) -> object:
    try:
        return decoder.decode(text)
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


def _rows(value: list[Any], texts: bool = False) -> Instances:
    """Return the rows of a list. Its first element decides how; plain values are one row, or with `texts` one each."""
    if not value or isinstance(value[0], dict):
        return Records(value)  # coerce() refuses rows that are not objects
    if isinstance(value[0], list):
        return Grid(None, value)
    return Grid(None, [[text] for text in value] if texts else [value])


def _object(value: dict[str, Any], signature: Signature) -> Instances:
    """Return one row, or the rows of columns: lists, or by pandas' default objects of values by row label."""
    check_width(len(value), signature)
    kind = type(next(iter(value.values()), None))
    if kind is list and signature.format is not _RECORDS and all(isinstance(column, list) for column in value.values()):
        return _columns(value, "the body", signature, labelled=True)
    if not issubclass(kind, dict) or not all(isinstance(column, dict) for column in value.values()):
        return Records([value])
    first, labels = next(iter(value.items()))
    for name, column in value.items():
        if column.keys() != labels.keys():
            _refuse("wrong_index", f"the columns {listed([first, name])} have different row labels")
        if twice := _repeated(column):
            _refuse("wrong_index", f"the column {shown(name)} has the row label {shown(twice[0])} more than once")
    columns = {name: [column[label] for label in labels] for name, column in value.items()}
    return _grid(columns, _repeated(value), labelled=True)


def _grid(columns: dict[str, list[object]], repeated: Sequence[str] = (), *, labelled: bool = False) -> Grid:
    """Return the columns as rows. A repeated name appears twice; coerce() decides whether it matters."""
    names = [*columns, *repeated]
    return Grid(names, list(zip(*(columns[name] for name in names), strict=True)), labelled=labelled)


_MOST_BESIDE = 16  # names in an object that wraps rows


def _inside(value: dict[str, Any], signature: Signature) -> Instances:
    """Return the rows in an object without names of inputs, if only one part of it can be the rows."""
    known = plan_of(signature).positions.keys()
    candidates = list(_candidates(value, signature))
    named = [part for part in candidates if _has_names(part, known)]
    chosen = named if len(named) == 1 and isinstance(named[0], list) else candidates
    rows = chosen[0] if len(chosen) == 1 else None
    if isinstance(rows, dict):
        return _object(rows, signature) if named else _split(rows, "the body", signature)
    alone = [*value.values()] == [rows]  # with names beside it, a list of plain values may belong to something else
    if rows is not None and (not rows or not _is_plain(rows) or (alone and signature.format is _TEXTS)):
        return _rows(rows, signature.format is _TEXTS)
    several, suggestions = len(signature.inputs) > 1, Suggestions()
    is_row = signature.format is _RECORDS or (_is_plain([*value.values()]) and not (several and len(value) == 1))
    if is_row or any(suggestions.closest(name, known, 0.7) for name in [*value][:_MOST_BESIDE]):
        return _object(value, signature)  # coerce() says which names are missing or misspelt
    if rows and alone and several:
        return _rows(rows)
    names = f"the body has {listed([*value], 3)}: no input of the model"
    if len(candidates) > 1:
        _refuse("ambiguous_body", f"{names}, and {len(candidates)} parts that may be the rows")
    return _refuse("not_instances", f"{names}, and no rows in it")


def _candidates(value: dict[str, Any], signature: Signature, levels: int = 3) -> Iterator[list[Any] | dict[str, Any]]:
    """Yield what may be rows in an object without names of inputs and in the objects in it: lists, which may also be
    the names of columns, objects with names of inputs, and objects that hold names and values apart."""
    known, few, records = plan_of(signature).positions.keys(), len(value) <= _MOST_BESIDE, signature.format is _RECORDS
    parts = [_json_in(part) if few and isinstance(part, str) and not records else part for part in value.values()]
    # A list of texts is a value of a record.
    lists = [part for part in parts if isinstance(part, list) and not (records and _is_plain(part))]
    objects = [part for part in parts if isinstance(part, dict)]
    if (lists or objects) and (twice := _repeated(value)):
        _refuse("ambiguous_body", f"the body has {shown(twice[0])} twice; send the rows once")
    yield from lists
    if any(_has_names(part, known) for part in objects):  # several are rows by label, of which none may be lost
        yield objects if len(objects) > 1 else objects[0]
    elif levels and few and not any(_has_names(part, known) for part in lists):
        for part in objects:
            yield from [part] if {"columns", "data"} <= part.keys() else _candidates(part, signature, levels - 1)


def _has_names(rows: list[Any] | dict[str, Any], known: Set[str]) -> bool:
    """Return whether a row, or the first one of several, has a name of an input."""
    row = next(iter(rows), None) if isinstance(rows, list) else rows
    return isinstance(row, dict) and not known.isdisjoint(row)


def _is_plain(values: list[Any]) -> bool:
    return not any(isinstance(value, dict | list) for value in values)


def _json_in(text: str) -> object:
    """Return the list, the object or the text that a text holds as JSON, or the text itself."""
    with suppress(MalformedBody):
        return _parsed(text, "") if text.lstrip().startswith(("[", "{", '"')) else text
    return text


def _instances(value: object, name: str, signature: Signature) -> Instances:
    texts = signature.format is _TEXTS
    if isinstance(value, list) or (texts and isinstance(value, str)):
        return _rows(value if isinstance(value, list) else [value], texts)
    if isinstance(value, dict):
        return (_object if _has_names(value, plan_of(signature).positions.keys()) else _inside)(value, signature)
    return _refuse("not_instances", f"{name} must be a list of rows; it is {shown(value)}")


def _inputs(value: object, name: str, signature: Signature) -> Instances:
    is_columns = isinstance(value, dict) and value and all(isinstance(column, list) for column in value.values())
    return (_columns if is_columns else _instances)(value, name, signature)


def _columns(value: object, name: str, signature: Signature, *, labelled: bool = False) -> Instances:
    if not isinstance(value, dict) or not all(isinstance(column, list) for column in value.values()):
        _refuse("not_instances", f'{name} must be an object of lists, such as {{"a": [1, 2]}}')
    check_width(len(value), signature)
    lengths = {key: len(column) for key, column in value.items()}
    if len(set(lengths.values())) > 1:
        long, short = (choose(lengths, key=lengths.__getitem__) for choose in (max, min))
        ends = f"{shown(long)} has {counted(lengths[long], 'value')}, {shown(short)} has {lengths[short]}"
        _refuse("wrong_length", f"the columns have different lengths: {ends}")
    return _grid(value, _repeated(value), labelled=labelled)


def _records(value: object, name: str, _signature: Signature) -> Instances:
    if not isinstance(value, list):
        _refuse("not_instances", f"{name} must be a list of objects; it is {shown(value)}")
    return Records(value)


def _split(value: object, name: str, signature: Signature) -> Instances:
    parts = value if isinstance(value, dict) else {}
    names, rows = parts.get("columns"), parts.get("data")
    if not isinstance(names, list) or not isinstance(rows, list) or _repeated(parts):
        _refuse("not_instances", f'{name} must be an object with the lists "columns" and "data", each once')
    check_width(len(names), signature)
    for column in names:
        if not isinstance(column, str | int):
            _refuse("not_instances", f"{name} must name its columns by text; it has {shown(column)}")
    return Grid([str(column) for column in names], rows)


_WRAPPERS: dict[str, Callable[[object, str, Signature], Instances]] = {
    "instances": _instances,
    "inputs": _inputs,
    "columns": _columns,
    "dataframe_split": _split,
    "dataframe_records": _records,
}
