"""The same table in every dialect, and bodies in none of them."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.errors import FieldError, InvalidInstances
from contract.json_objects import RepeatedKeys
from contract.model.signature import Field, Kind, Output, OutputKind, Signature
from contract.rows.coercion import coerce
from contract.rows.csv_cells import NULLS
from contract.rows.instances import Coerced, Grid, Instances, Records
from gateway.problems.problem import MalformedBody
from gateway.protocols import csv_rows, native
from runtime.exact_json import with_repeats_marked

pytestmark = pytest.mark.waits

deterministic = settings(derandomize=True, deadline=None, max_examples=50)

SHOP = Signature(
    (
        Field("price", Kind.NUMBER, nullable=True, aliases=("Price",)),
        Field("count", Kind.INTEGER),
        Field("town", Kind.STRING, nullable=True),
        Field("open", Kind.BOOLEAN, nullable=True),
    ),
    (Output(OutputKind.NUMBER),),
    id_field="key",
)
NAMES = SHOP.names
GOOD = {"price": 2.5, "count": 3, "town": "Ulm", "open": True}
Table = list[dict[str, Any]]

# A blank text means null in a form and in CSV, so that no dialect but JSON can hold one. In CSV some words do, too, and
# blanks before a value do not count.
texts = (
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)
    .map(str.strip)
    .filter(lambda text: text and text not in NULLS)
)
tables = st.lists(
    st.fixed_dictionaries(
        {
            "key": texts,
            "price": st.none() | st.floats(allow_nan=False, allow_infinity=False),
            "count": st.integers(-(2**63), 2**63 - 1),
            "town": st.none() | texts,
            "open": st.none() | st.booleans(),
        }
    ),
    min_size=1,
    max_size=6,
)


def parsed(value: object) -> Instances:
    return native.read(json.dumps(value).encode(), SHOP)


def columns_of(table: Table) -> dict[str, list[Any]]:
    return {name: [row[name] for row in table] for name in table[0]}


def split_of(table: Table) -> dict[str, Any]:
    return {"columns": [*table[0]], "index": [*range(len(table))], "data": [[r[n] for n in table[0]] for r in table]}


def indexed(table: Table) -> dict[str, Any]:
    labels = [f"{9 - number}" for number in range(len(table))]
    return {name: dict(zip(labels, column, strict=True)) for name, column in columns_of(table).items()}


WITH_NAMES: dict[str, Callable[[Table], object]] = {
    "records": lambda table: table,
    "instances": lambda table: {"instances": table},
    "inputs as rows": lambda table: {"inputs": table},
    "inputs as columns": lambda table: {"inputs": columns_of(table)},
    "columns": lambda table: {"columns": columns_of(table)},
    "dataframe_split": lambda table: {"dataframe_split": split_of(table)},
    "dataframe_records": lambda table: {"dataframe_records": table},
    "pandas default": indexed,
    "instances in pandas default": lambda table: {"instances": indexed(table)},
    "records encoded twice": lambda table: json.dumps(table),
    "split encoded three times": lambda table: json.dumps(json.dumps({"dataframe_split": split_of(table)})),
    "pandas default encoded twice": lambda table: json.dumps(indexed(table)),
}
WITHOUT_NAMES: dict[str, Callable[[list[list[Any]]], object]] = {
    "lists": lambda rows: rows,
    "instances": lambda rows: {"instances": rows},
    "inputs": lambda rows: {"inputs": rows},
    "lists encoded twice": lambda rows: json.dumps(rows),
}
ONE_ROW: dict[str, Callable[[dict[str, Any]], object]] = {
    "object": lambda row: row,
    "instances": lambda row: {"instances": row},
    "inputs": lambda row: {"inputs": row},
    "object encoded twice": lambda row: json.dumps(row),
}


@pytest.mark.parametrize("dialect", WITH_NAMES)
@deterministic
@given(table=tables)
def test_a_table_with_names_is_the_same_in_every_json_dialect(dialect: str, table: Table) -> None:
    assert coerce(parsed(WITH_NAMES[dialect](table)), SHOP) == coerce(Records(table), SHOP)


@pytest.mark.parametrize("dialect", WITHOUT_NAMES)
@deterministic
@given(table=tables)
def test_a_table_without_names_is_in_signature_order(dialect: str, table: Table) -> None:
    coerced = coerce(parsed(WITHOUT_NAMES[dialect]([[row[name] for name in NAMES] for row in table])), SHOP)
    assert coerced == Coerced(coerce(Records(table), SHOP).rows, None, [])


@pytest.mark.parametrize("dialect", ONE_ROW)
@deterministic
@given(table=tables)
def test_one_row_needs_no_list(dialect: str, table: Table) -> None:
    assert coerce(parsed(ONE_ROW[dialect](table[0])), SHOP) == coerce(Records(table[:1]), SHOP)


@deterministic
@given(tables)
def test_a_list_of_plain_values_is_one_row(table: Table) -> None:
    values = [table[0][name] for name in NAMES]
    assert coerce(parsed(values), SHOP).rows == coerce(Records(table[:1]), SHOP).rows


@deterministic
@given(tables, st.permutations(["key", *NAMES]))
def test_csv_is_read_as_the_same_table(table: Table, names: list[str]) -> None:
    text = io.StringIO()
    lines = csv.writer(text)
    lines.writerow(names)
    lines.writerows([row[name] for name in names] for row in table)
    for encoding in ("utf-8", "utf-8-sig"):
        assert coerce(csv_rows.read(text.getvalue().encode(encoding)), SHOP) == coerce(Records(table), SHOP)


@deterministic
@given(tables)
def test_a_form_is_read_as_the_same_row(table: Table) -> None:
    pairs = [(name, "" if value is None else str(value)) for name, value in table[0].items()]
    assert coerce(native.read_fields(pairs), SHOP) == coerce(Records(table[:1]), SHOP)


# Rows under names that other servers use.

TWO = [GOOD, {"price": None, "count": -1, "town": "Rom", "open": False}]
LISTS = [list(row.values()) for row in TWO]
COLUMNS = columns_of(TWO)
BY_LABEL = {"a": TWO[0], "b": TWO[1]}
BACKWARDS = [row[::-1] for row in LISTS]
OTHER_WRAPPERS: dict[str, tuple[object, Table]] = {
    "data, of records": ({"data": TWO}, TWO),
    "data, of lists": ({"data": LISTS}, TWO),
    "features, of one list": ({"features": LISTS[0]}, TWO[:1]),
    "rows beside other values": ({"rows": TWO, "model": "shop", "trace": {"id": 5}}, TWO),
    "one object": ({"input": TWO[0]}, TWO[:1]),
    "columns as lists": (COLUMNS, TWO),
    "columns in instances": ({"instances": COLUMNS}, TWO),
    "columns in data": ({"data": COLUMNS}, TWO),
    "Azure's Inputs": ({"Inputs": {"data": TWO}, "GlobalParameters": {"method": "predict"}}, TWO),
    "Azure's older Inputs": ({"Inputs": {"input1": TWO}, "GlobalParameters": {}}, TWO),
    "Azure's input_data": ({"input_data": split_of(TWO), "params": {}}, TWO),
    "instances in a payload": ({"payload": {"instances": LISTS}}, TWO),
    "three levels": ({"body": {"request": {"rows": LISTS}}, "id": "r-1"}, TWO),
    "rows by label": (BY_LABEL, TWO),
    "rows by label in data": ({"data": BY_LABEL}, TWO),
    "pandas default in data": ({"data": indexed(TWO)}, TWO),
    "JSON in a text": ({"data": json.dumps(TWO)}, TWO),
    "rows beside their schema": (
        {"schema": {"fields": [{"name": "price", "type": "number"}], "primaryKey": ["index"]}, "data": TWO},
        TWO,
    ),
    "rows beside their types": ({"data": TWO, "ids": ["a", "b"]}, TWO),
    "no rows": ({"data": []}, []),
}
"""Bodies with the rows that they can only mean."""
MESSAGE = "the body has {}: no input of the model, and {}"
AMBIGUOUS: dict[str, tuple[object, str, str]] = {
    "names apart from values": (
        {"ColumnNames": [*NAMES[::-1]], "Values": BACKWARDS},
        "ambiguous_body",
        MESSAGE.format("'ColumnNames', 'Values'", "2 parts that may be the rows"),
    ),
    "names elsewhere": (
        {"meta": {"columns": [*NAMES[::-1]]}, "data": BACKWARDS},
        "ambiguous_body",
        MESSAGE.format("'meta', 'data'", "2 parts that may be the rows"),
    ),
    "types that look like a row": (
        {"schema": dict.fromkeys(NAMES, "1"), "data": BACKWARDS},
        "ambiguous_body",
        MESSAGE.format("'schema', 'data'", "2 parts that may be the rows"),
    ),
    "two lists of rows": (
        {"train": TWO, "test": TWO},
        "ambiguous_body",
        MESSAGE.format("'train', 'test'", "2 parts that may be the rows"),
    ),
    "a row and a list of rows": (
        {"defaults": GOOD, "data": TWO},
        "ambiguous_body",
        MESSAGE.format("'defaults', 'data'", "2 parts that may be the rows"),
    ),
    "values of something else": (
        {"customer": {"orders": [1, 2, "x", True]}, "note": 5},
        "not_instances",
        MESSAGE.format("'customer', 'note'", "no rows in it"),
    ),
    "a text": ({"data": "2.5,3,Ulm,true"}, "not_instances", MESSAGE.format("'data'", "no rows in it")),
    "null": ({"data": None}, "not_instances", MESSAGE.format("'data'", "no rows in it")),
    "nothing": ({"payload": {"foo": {"bar": 1}}}, "not_instances", MESSAGE.format("'payload'", "no rows in it")),
}


@pytest.mark.parametrize("name", OTHER_WRAPPERS)
def test_rows_under_other_names_are_read_if_they_can_mean_one_thing(name: str) -> None:
    body, rows = OTHER_WRAPPERS[name]
    instances = parsed(body)
    assert len(instances.rows) == len(rows)
    if rows:
        assert coerce(instances, SHOP).rows == coerce(Records(rows), SHOP).rows


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_a_body_that_may_mean_several_things_is_refused_with_one_error(name: str) -> None:
    body, code, message = AMBIGUOUS[name]
    assert shape_error(body) == (code, message)


@pytest.mark.parametrize("dialect", [name for name in WITH_NAMES if "times" not in name])
@deterministic
@given(table=tables, name=st.sampled_from(["data", "X", "Inputs", "samples", "payload", "0"]))
def test_each_dialect_is_read_under_any_name(dialect: str, table: Table, name: str) -> None:
    assert coerce(parsed({name: WITH_NAMES[dialect](table)}), SHOP) == coerce(Records(table), SHOP)


def test_no_row_by_label_is_lost() -> None:
    errors = refused(parsed({"a": GOOD, "b": {"note": "x"}}))
    assert [(error.row, error.field) for error in errors] == [(1, name) for name in NAMES]


def test_a_repeated_name_hides_no_rows() -> None:
    with pytest.raises(InvalidInstances, match="the body has 'data' twice; send the rows once"):
        native.read(b'{"data": [[1, 2, "x", true]], "data": [[3, 4, "y", true]]}', SHOP)


@pytest.mark.parametrize("body", [{"prices": [1, 2, "x", True]}, {"Prise": [1], "Count": [2], "Town": ["x"]}])
def test_columns_under_misspelt_names_are_no_rows(body: object) -> None:
    assert any("did you mean" in error.message for error in refused(parsed(body)))


def test_a_list_of_values_is_no_row_of_a_model_with_one_input() -> None:
    signature = Signature((Field("height", Kind.NUMBER),), (Output(OutputKind.NUMBER),))
    with pytest.raises(InvalidInstances, match="no rows in it"):
        native.read(b'{"mass": [75]}', signature)
    assert coerce(native.read(b'{"rows": [[75]]}', signature), signature).rows == [(75.0,)]


@pytest.mark.parametrize("name", ["data", "features", "rows", "Inputs", "schema"])
def test_an_input_named_like_a_foreign_wrapper_is_data(name: str) -> None:
    signature = Signature((Field(name, Kind.STRING), Field("a", Kind.NUMBER)), (Output(OutputKind.NUMBER),))
    for body in ({name: "x", "a": 1}, {"payload": [{name: "x", "a": 1}]}, {name: ["x"], "a": [1]}):
        assert coerce(native.read(json.dumps(body).encode(), signature), signature).rows == [("x", 1.0)]
    with pytest.raises(InvalidInstances) as caught:
        coerce(native.read(json.dumps({name: [["x", 1]]}).encode(), signature), signature)
    assert caught.value.errors[0].field == "a"


PANDAS: dict[str, Callable[[pd.DataFrame], str]] = {
    "records": lambda frame: frame.to_json(orient="records"),
    "default": lambda frame: frame.to_json(),
    "split": lambda frame: f'{{"dataframe_split": {frame.to_json(orient="split")}}}',
    "list": lambda frame: json.dumps({"columns": frame.astype(object).where(frame.notna(), None).to_dict("list")}),
    "list alone": lambda frame: json.dumps(frame.astype(object).where(frame.notna(), None).to_dict("list")),
    "split alone": lambda frame: frame.to_json(orient="split"),
    "index": lambda frame: frame.to_json(orient="index"),
    "table": lambda frame: frame.to_json(orient="table", index=False),
    "values in data": lambda frame: f'{{"data": {frame[list(NAMES)].to_json(orient="values")}}}',
    "values": lambda frame: frame[list(NAMES)].to_json(orient="values"),
    "records through requests": lambda frame: json.dumps(frame.to_json(orient="records")),
    "default through requests": lambda frame: json.dumps(frame.to_json()),
}


@pytest.mark.parametrize("way", [*PANDAS, "csv"])
def test_every_json_of_pandas_is_read(way: str) -> None:
    rows = [GOOD | {"key": "a"}, {"key": "b", "open": None, "price": None, "count": -1, "town": None}]
    frame = pd.DataFrame(rows, index=[7, 3])
    body = frame.to_csv(index=False) if way == "csv" else PANDAS[way](frame)
    coerced = coerce(csv_rows.read(body.encode()) if way == "csv" else native.read(body.encode(), SHOP), SHOP)
    ids = None if way.startswith("values") else ["a", "b"]
    assert coerced == Coerced([(2.5, 3, "Ulm", True), (None, -1, None, None)], ids, [])


# The refusals.


def refused(instances: Instances) -> tuple[FieldError, ...]:
    with pytest.raises(InvalidInstances) as caught:
        coerce(instances, SHOP)
    return caught.value.errors


def shape_error(value: object) -> tuple[str, str]:
    with pytest.raises(InvalidInstances) as caught:
        parsed(value)
    (error,) = caught.value.errors
    assert (error.row, error.field) == (None, None)
    return error.code, error.message


@pytest.mark.parametrize(
    ("value", "code", "message"),
    [
        (5, "not_instances", "the body must be a list of rows; it is 5"),
        (None, "not_instances", "the body must be a list of rows; it is null"),
        (json.dumps(json.dumps("[]")), "not_instances", "the body must be a list of rows; it is '[]'"),
        ({"instances": 5}, "not_instances", "'instances' must be a list of rows; it is 5"),
        ({"instances": "[]"}, "not_instances", "'instances' must be a list of rows; it is '[]'"),
        ({"inputs": None}, "not_instances", "'inputs' must be a list of rows; it is null"),
        ({"dataframe_records": {}}, "not_instances", "'dataframe_records' must be a list of objects; it is an object"),
        ({"columns": ["price"]}, "not_instances", "'columns' must be an object of lists, such as {\"a\": [1, 2]}"),
        ({"columns": {"price": 1}}, "not_instances", "'columns' must be an object of lists, such as {\"a\": [1, 2]}"),
        (
            {"columns": {"price": [1, 2], "count": [1], "town": ["x"]}},
            "wrong_length",
            "the columns have different lengths: 'price' has 2 values, 'count' has 1",
        ),
        (
            {"inputs": {"price": [], "count": [1]}},
            "wrong_length",
            "the columns have different lengths: 'count' has 1 value, 'price' has 0",
        ),
        (
            {"price": {"0": 1}, "count": {"0": 1, "1": 2}},
            "wrong_index",
            "the columns 'price', 'count' have different row labels",
        ),
        (
            {"instances": [], "inputs": []},
            "ambiguous_body",
            "the body has 'instances', 'inputs' in one body; send the rows once",
        ),
    ],
)
def test_json_in_no_known_shape_is_refused_with_what_is_expected(value: object, code: str, message: str) -> None:
    assert shape_error(value) == (code, message)


@pytest.mark.parametrize("value", [{}, [], None, {"columns": ["a"]}, {"data": []}, {"columns": "a", "data": []}])
def test_dataframe_split_needs_columns_and_data(value: object) -> None:
    wanted = '\'dataframe_split\' must be an object with the lists "columns" and "data", each once'
    assert shape_error({"dataframe_split": value}) == ("not_instances", wanted)


@pytest.mark.parametrize("name", [None, ["price", "x"], {}, 1.5])
def test_the_names_of_columns_are_text(name: object) -> None:
    code, message = shape_error({"dataframe_split": {"columns": ["count", name], "data": []}})
    assert code == "not_instances"
    assert message.startswith("'dataframe_split' must name its columns by text; it has ")


def test_the_column_numbers_of_pandas_are_names() -> None:
    split = parsed({"dataframe_split": {"columns": [0, 1], "data": [[5, 6]]}})
    assert split == Grid(["0", "1"], [[5, 6]])


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (
            b'{"instances": [1], "instances": [2]}',
            "ambiguous_body",
            "the body has 'instances' twice; send the rows once",
        ),
        (b'{"price": {"0": 1, "0": 2}}', "wrong_index", "the column 'price' has the row label '0' more than once"),
        (b'{"dataframe_split": {"columns": [], "data": [1], "data": []}}', "not_instances", "each once"),
    ],
)
def test_rows_that_a_repeated_key_would_hide_are_refused(body: bytes, code: str, message: str) -> None:
    with pytest.raises(InvalidInstances) as caught:
        native.read(body, SHOP)
    assert caught.value.errors[0].code == code
    assert message in caught.value.errors[0].message


@pytest.mark.parametrize(
    "body",
    [
        b'{"price": 1, "price": 2, "count": 1, "town": "x", "open": true}',
        b'{"price": 1, "Price": 2, "count": 1, "town": "x", "open": true}',
        b'{"instances": [{"price": 1, "price": 2, "count": 1, "town": "x", "open": true}]}',
        b'{"columns": {"price": [1], "price": [2], "count": [1], "town": ["x"], "open": [true]}}',
        b'{"price": {"0": 1}, "price": {"0": 2}, "count": {"0": 1}, "town": {"0": "x"}, "open": {"0": true}}',
        b'{"dataframe_split": {"columns": ["price", "Price", "count", "town", "open"], "data": [[1, 2, 1, "x", 1]]}}',
    ],
)
def test_an_input_given_twice_is_a_repeated_field_in_every_json_dialect(body: bytes) -> None:
    (error,) = refused(native.read(body, SHOP))
    assert (error.field, error.code) == ("price", "repeated_field")


def test_an_input_given_twice_is_a_repeated_field_in_a_form_and_in_csv() -> None:
    twice = [("price", "1"), ("price", ""), ("count", "1"), ("town", "x"), ("open", "1")]
    names, values = zip(*twice, strict=True)
    text = f"{','.join(names)}\n{','.join(values)}\n"
    for instances in (native.read_fields(twice), csv_rows.read(text.encode())):
        (error,) = refused(instances)
        assert (error.field, error.code) == ("price", "repeated_field")


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1, "b": ":"}',
        b'{"a" : "10:30", "b":": ", "c": "\\":"}',
        b'[{"a": "10:30"}, {"a": "11:30", "a": 1}]',
        b'[{"a": ":::", "a": "", "a" :"x"}]',
        b'[{"a":1,"a":2},{"a":"x:"}]',
        b'{"instances": [{"a": {"b": 1, "b": 2}}]}',
        b'[[{"b": 1, "b": 2}]]',
        b'{"columns": {"a": [1], "a": [2]}, "x": {"y": {"z": {"z": 1, "z": 2}}}}',
        b"[18446744073709551616, -9223372036854775809, 0.1234567890123456789012, 1e400]",
        b'{"a": "\\ud800"}',
        b'"\xef\xbb\xbf"',
        b"\xef\xbb\xbf[1]",
    ],
)
def test_json_is_read_as_pythons_own_reader_reads_it(body: bytes) -> None:
    def with_repeats(value: object) -> object:
        """Return the value with what equality leaves out: the types, and the names that repeat."""
        if isinstance(value, dict):
            inner = {name: with_repeats(part) for name, part in value.items()}
            return inner, getattr(value, "repeated", ())
        return list(map(with_repeats, value)) if isinstance(value, list) else (type(value), value)

    wanted = json.loads(body, object_pairs_hook=with_repeats_marked)
    assert with_repeats(native.json_value(body)) == with_repeats(wanted)


def test_only_objects_that_repeat_a_key_are_marked() -> None:
    instances = native.read(b'[{"a": 1, "b": 2}, {"a": 1, "b": 2, "a": 3, "b": 4, "a": 5, "c": 6}]', SHOP)
    assert isinstance(instances, Records)
    plain, repeating = instances.rows
    assert type(plain) is dict
    assert isinstance(repeating, RepeatedKeys)
    assert (dict(repeating), repeating.repeated) == ({"a": 5, "b": 4, "c": 6}, ("a", "b"))


WRAPPED = ("instances", "inputs", "columns", "dataframe_split", "dataframe_records")


@pytest.mark.parametrize("name", WRAPPED)
@pytest.mark.parametrize("spelling", ["name", "alias", "id"])
def test_an_input_named_like_a_wrapper_is_data(name: str, spelling: str) -> None:
    field = Field("x" if spelling == "alias" else name, Kind.STRING, aliases=(name,) if spelling == "alias" else ())
    inputs = (Field("a", Kind.STRING),) if spelling == "id" else (field,)
    signature = Signature(inputs, (Output(OutputKind.NUMBER),), name if spelling == "id" else None)
    row = {name: "5", "a": "1"}
    coerced = coerce(native.read(json.dumps(row).encode(), signature), signature)
    assert (coerced.rows, coerced.ids) == (([("1",)], ["5"]) if spelling == "id" else ([("5",)], None))


def test_keys_beside_a_wrapper_are_ignored() -> None:
    assert parsed({"instances": [GOOD], "signature_name": "serving_default"}) == Records([GOOD])


def test_the_first_element_decides_how_a_list_is_read() -> None:
    values = list(GOOD.values())
    assert [(e.row, e.code) for e in refused(parsed([GOOD, values, 5]))] == [(1, "not_a_row"), (2, "not_a_row")]
    assert [(e.row, e.code) for e in refused(parsed([values, GOOD, 5]))] == [(1, "not_a_row"), (2, "not_a_row")]
    assert [(e.field, e.code) for e in refused(parsed([*values[:-1], {}]))] == [("open", "not_a_boolean")]


def test_a_list_of_plain_values_of_another_length_is_refused() -> None:
    (error,) = refused(parsed([1, 2, 3]))
    assert (error.row, error.code) == (0, "wrong_length")
    assert "must be a list of 4 values ('price', 'count', 'town', 'open'); it is a list of 3" in error.message


@pytest.mark.parametrize(
    "value",
    [[], {"instances": []}, {"inputs": []}, {"columns": {}}, {"columns": {"price": []}}, {"price": {}}, "[]"]
    + [{"dataframe_split": {"columns": ["price"], "data": []}}, {"dataframe_records": []}],
)
def test_no_rows_are_refused_in_every_dialect(value: object) -> None:
    assert [error.code for error in refused(parsed(value))] == ["no_rows"]


def test_a_header_alone_has_no_rows() -> None:
    assert [error.code for error in refused(csv_rows.read(b"price,count,town,open\n"))] == ["no_rows"]


@pytest.mark.parametrize("instances", [Records([{}]), native.read_fields([]), native.read(b"{}", SHOP)])
def test_an_empty_row_lacks_every_input(instances: Instances) -> None:
    assert [(e.row, e.field, e.code) for e in refused(instances)] == [(0, name, "missing_field") for name in NAMES]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is empty; send the rows"),
        (b" \n", "the body is empty; send the rows"),
        (b"\xef\xbb\xbf", "the body is empty; send the rows"),
        (b"{", "the body is not JSON: Expecting property name enclosed in double quotes at line 1, column 2"),
        (b'[\n{"a": }]', "the body is not JSON: Expecting value at line 2, column 7"),
        (b"a=1&b=2", "the body is not JSON: Expecting value at line 1, column 1"),
        (b"[1] [2]", "the body is not JSON: Extra data at line 1, column 5"),
        (b'"a,b\\n1,2"', "the JSON string in the body is not JSON: Expecting value at line 1, column 1"),
        (b'""', "the JSON string in the body is not JSON: Expecting value at line 1, column 1"),
        (b'{"price": NaN}', "NaN is not JSON; write null for a missing value"),
        (b"[Infinity]", "Infinity is not JSON; write null for a missing value"),
        (b"[-Infinity]", "-Infinity is not JSON; write null for a missing value"),
        (b'"[NaN]"', "NaN is not JSON; write null for a missing value"),
        (b'[{"a": "\xff"}]', "the body is not UTF-8: byte 8 cannot be read"),
        ('[{"a": "ü"}]'.encode("latin-1"), "the body is not UTF-8: byte 8 cannot be read"),
        ('[{"a": 1}]'.encode("utf-16"), "the body is not UTF-8: byte 0 cannot be read"),
        (b'"\xed\xa0\x80"', "the body is not UTF-8: byte 1 cannot be read"),
        (b"[" * 200_000, "the body is nested too deeply; rows are a list of objects or of lists"),
        (b'{"a":' * 200_000, "the body is nested too deeply; rows are a list of objects or of lists"),
        (b"[" + b"1" * 5000 + b"]", "the body has a number of thousands of digits"),
    ],
    ids=range(20),
)
def test_invalid_json_is_malformed(body: bytes, message: str) -> None:
    with pytest.raises(MalformedBody, match=f"^{re.escape(message)}"):
        native.read(body, SHOP)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is empty; send the rows"),
        (b"\r\n\r\n", "the body is empty; send the rows"),
        (b"a,b\n\x00\xff,1\n", "the body is not CSV: it is binary"),
        (b'a,b\n1,"2\n', "the body is not CSV: the quotation mark before '2\\n' is not closed"),
    ],
    ids=range(4),
)
def test_invalid_csv_is_malformed(body: bytes, message: str) -> None:
    with pytest.raises(MalformedBody, match=f"^{re.escape(message)}"):
        csv_rows.read(body)


def test_an_empty_cell_is_null_and_a_blank_line_is_skipped() -> None:
    assert csv_rows.read(b'a,b\r\n\r\n1,\r\n"", x\n\n') == Grid(["a", "b"], [["1", None], [None, "x"]], ",", [])


def test_line_ends_and_commas_in_quotes_belong_to_the_value() -> None:
    assert csv_rows.read(b'a,b\n"1\r\n2","x,""y"""\n') == Grid(["a", "b"], [["1\r\n2", 'x,"y"']], ",", [])


def test_blank_cells_at_the_end_of_a_csv_are_no_rows_and_others_are() -> None:
    rows = csv_rows.read(b'price,count,town,open\n,,,\n1,2,x,1\n,,,\n\n , ,"",\n')
    assert rows == Grid(
        [*NAMES],
        [[None] * 4, ["1", "2", "x", "1"]],
        ",",
        ["the CSV ends with 2 lines of blank cells, which are not rows"],
    )
    assert csv_rows.read(b'a\n1\n""\n').rows == [["1"], [None]]
    assert [error.code for error in refused(csv_rows.read(b"price,count,town,open\n,,,\n"))] == ["no_rows"]


@pytest.mark.parametrize(
    ("body", "found", "remedy"),
    [
        ("2.5,3,Ulm,true\n1,2,x,false\n", "'2.5', '3', 'Ulm', 'true'", "write it above the rows"),
        ("Prices of May\nprice,count,town,open\n1,2,x,1\n", "'Prices of May'", "remove any title above it"),
        ("Prices\n\nprice;count;town;open\n1;2;x;1\n", "'Prices'", "remove any title above it"),
        ("Prices,,,\nprice,count,town,open\n1,2,x,1\n", "'Prices'", "remove any title above it"),
    ],
)
def test_a_csv_whose_first_line_is_no_header_has_one_error(body: str, found: str, remedy: str) -> None:
    (error,) = refused(csv_rows.read(body.encode()))
    header = "the first line of the CSV must be the header, with 'price', 'count', 'town', 'open'"
    assert (error.code, error.message) == ("no_header", f"{header}; it has {found}: {remedy}")


def test_a_misspelt_header_is_told_name_by_name() -> None:
    assert (
        "'prise' is not an input: did you mean 'price'?"
        in refused(csv_rows.read(b"prise,cnt,city,shut\n1,2,x,1\n"))[0].message
    )


def test_a_ragged_csv_row_is_refused_with_its_number() -> None:
    rows = csv_rows.read(b"price,count,town,open\n1,2,x,1\n1,2,x\n1,2,x,1,5\n")
    assert [(e.row, e.field, e.code) for e in refused(rows)] == [(1, None, "wrong_length"), (2, None, "wrong_length")]


def test_a_blank_form_value_is_null() -> None:
    assert native.read_fields([("a", ""), ("b", "  "), ("c", " x ")]) == Records([{"a": None, "b": None, "c": " x "}])


def test_a_number_that_is_too_large_for_json_is_refused_as_a_value() -> None:
    (error,) = refused(native.read(b'{"price": 1e400, "count": 1, "town": "x", "open": true}', SHOP))
    assert (error.field, error.code) == ("price", "not_a_number")


# Two requests as their authors published them.


def measure(name: str) -> Field:
    dotted = name.replace("_", ".")
    misspelt = dotted.replace("length", "lenght")
    return Field(
        name, Kind.NUMBER, aliases=tuple(dict.fromkeys((dotted, misspelt, f"{dotted.replace('.', ' ')} (cm)")))
    )


def test_a_repeated_key_and_a_missing_one_are_both_reported() -> None:
    names = ("sepal_length", "sepal_width", "petal_length", "petal_width")
    iris = Signature(tuple(map(measure, names)), (Output(OutputKind.CLASS),))
    body = b'{"sepal.width": 5.9, "sepal.width": 3.0, "petal.lenght": 5.1, "petal.width": 1.8}'
    with pytest.raises(InvalidInstances) as caught:
        coerce(native.read(body, iris), iris)
    assert [(e.row, e.field, e.code, e.message) for e in caught.value.errors] == [
        (0, "sepal_length", "missing_field", "'sepal_length' is missing"),
        (0, "sepal_width", "repeated_field", "'sepal_width' is given more than once, as 'sepal.width'"),
    ]


def test_records_in_a_json_string_keep_their_nulls_and_ids() -> None:
    loan = Signature(
        (Field("Dependents", Kind.STRING, nullable=True), Field("LoanAmount", Kind.NUMBER, nullable=True)),
        (Output(OutputKind.CLASS),),
        id_field="Loan_ID",
    )
    rows = [
        {"Loan_ID": "LP001015", "Dependents": 0, "LoanAmount": 110.0},
        {"Loan_ID": "LP1", "Dependents": None, "LoanAmount": None},
    ]
    body = json.dumps(json.dumps(rows)).encode()
    assert coerce(native.read(body, loan), loan) == Coerced([("0", 110.0), (None, None)], ["LP001015", "LP1"], [])


# Junk.

keys = st.sampled_from([*NAMES, "key", "data", "Inputs", "schema", *WRAPPED]) | st.text(max_size=3)
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["[[1]]", "\ud800"])
)
junk = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4))
wrapped = st.dictionaries(
    st.sampled_from(WRAPPED), st.fixed_dictionaries({"columns": junk, "data": junk}) | junk, max_size=2
)


def ends_well(read: Callable[[], Instances]) -> None:
    try:
        coerce(read(), SHOP)
    except (InvalidInstances, MalformedBody) as refusal:
        errors: Sequence[FieldError] = getattr(refusal, "errors", ())
        messages = [str(refusal), *(error.message for error in errors)]
        assert all(0 < len(message.encode()) < 600 for message in messages)


@settings(deterministic, max_examples=300)
@given(junk | wrapped, st.integers(0, 3))
def test_any_json_becomes_rows_or_a_refusal(value: object, times: int) -> None:
    for _ in range(times):
        value = json.dumps(value)
    ends_well(lambda: parsed(value))


@deterministic
@given(st.binary() | st.text().map(str.encode) | st.sampled_from([b'[{"price": 1}]', b"a,b\n1,2"]), st.data())
def test_any_bytes_become_rows_or_a_refusal(body: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(body)))
    for part in (body, body[:cut], body[cut:] + body[:cut]):
        ends_well(lambda part=part: native.read(part, SHOP))
        ends_well(lambda part=part: csv_rows.read(part))


@deterministic
@given(st.lists(st.tuples(keys, st.text(max_size=5))))
def test_any_form_becomes_rows_or_a_refusal(pairs: list[tuple[str, str]]) -> None:
    ends_well(lambda: native.read_fields(pairs))


CORRUPT: Mapping[str, tuple[Any, str]] = {
    "price": (True, "not_a_number"),
    "count": (1.5, "not_an_integer"),
    "town": ([], "not_a_string"),
    "open": ("maybe", "not_a_boolean"),
}


@pytest.mark.parametrize("dialect", WITH_NAMES)
@deterministic
@given(table=tables, data=st.data())
def test_the_corrupted_cells_are_the_errors_in_every_dialect(dialect: str, table: Table, data: st.DataObject) -> None:
    places = [(row, name) for row in range(len(table)) for name in NAMES]
    bad = sorted(data.draw(st.sets(st.sampled_from(places), min_size=1)), key=places.index)
    for row, name in bad:
        table[row][name] = CORRUPT[name][0]
    errors = refused(parsed(WITH_NAMES[dialect](table)))
    assert [(e.row, e.field, e.code) for e in errors] == [(row, name, CORRUPT[name][1]) for row, name in bad]
