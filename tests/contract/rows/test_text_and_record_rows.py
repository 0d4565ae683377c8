"""Coercion of rows that are texts or records: the values, and every error."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import FieldError, InvalidInstances
from contract.model.signature import Field, Kind, Output, OutputKind, RowFormat, Signature
from contract.rows.coercion import coerce
from contract.rows.instances import MAX_NAMES, Coerced, Grid, Records
from contract.rows.record_rows import MAX_LIST
from tests.contract.rows.test_coercion import MANY, deterministic, marks, one_error, refused, repeating

OUTPUTS = (Output(OutputKind.CLASS),)
MAILS = Signature((Field("text", Kind.STRING, aliases=("message",)),), OUTPUTS, format=RowFormat.TEXTS)
VISITS = Signature(
    (
        Field("city", Kind.STRING),
        Field("visits", Kind.NUMBER),
        Field("age", Kind.NUMBER, nullable=True),
        Field("plan", Kind.NUMBER, guessed=True),
    ),
    OUTPUTS,
    id_field="key",
    format=RowFormat.RECORDS,
)
HASHED = Signature((), OUTPUTS, format=RowFormat.RECORDS)


def error_of(row: Any, by: Signature = VISITS) -> FieldError:
    return one_error(Records([row]), by)


def record(row: Any, by: Signature = VISITS) -> Any:
    ((value,),) = coerce(Records([row]), by).rows
    return value


# Texts.


@pytest.mark.parametrize("text", ["buy now", "5", "ünï", "[a]", "x" * 10_000])
def test_a_text_is_taken_as_it_is(text: str) -> None:
    for rows in (Records([{"text": text}]), Records([{"message": text}]), Grid(None, [[text]])):
        assert coerce(rows, MAILS) == Coerced([(text,)], None, [])
    assert coerce(Grid(None, [[text]] * MANY), MAILS).rows == [(text,)] * MANY


@pytest.mark.parametrize("wrong", [5, 5.0, True, ["buy", "now"], {"a": 1}, "\ud800", None])
@pytest.mark.parametrize("before", [0, 1, MANY])
def test_what_is_no_text_is_refused_with_its_row(wrong: Any, before: int) -> None:
    invalid = refused(Grid(None, [*[["buy now"]] * before, [wrong]]), MAILS)
    code = "null_not_allowed" if wrong is None else "not_a_string"
    assert marks(invalid) == [(before, "text", code)]
    assert invalid.errors[0].message.startswith("'text' must be text; it is ")


def test_texts_that_are_blank_are_taken_and_counted_in_a_warning() -> None:
    coerced = coerce(Grid(None, [["buy"], [""], [" \n"]]), MAILS)
    assert coerced.rows == [("buy",), ("",), (" \n",)]
    assert coerced.warnings == ["the text of 2 of 3 rows is blank"]
    assert coerce(Records([{"text": ""}]), MAILS).warnings == ["the text of 1 of 1 row is blank"]


def test_the_only_column_of_a_csv_is_the_text_whatever_its_name_is() -> None:
    for name in ("text", "TEXT", "message"):
        assert coerce(Grid([name], [["buy"]], ","), MAILS) == Coerced([("buy",)], None, [])
    remark = "the only column, 'mail', was taken as 'text'"
    assert coerce(Grid(["mail"], [["buy"], ["5"]], ","), MAILS) == Coerced([("buy",), ("5",)], None, [remark])
    assert marks(refused(Grid(["mail", "id"], [["buy", "1"]], ","), MAILS)) == [(None, None, "no_header")]
    # In JSON a wrong name may be a mistake, as in a table.
    assert refused(Records([{"mail": "buy"}]), MAILS).errors[0].message == "'text' is missing"


def test_lists_of_another_width_than_one_text_are_refused() -> None:
    invalid = refused(Grid(None, [["buy"], ["buy", "now"], []]), MAILS)
    assert marks(invalid) == [(1, None, "wrong_length"), (2, None, "wrong_length")]


def test_a_lenient_request_keeps_the_texts() -> None:
    coerced = coerce(Grid(None, [["buy"], [5], ["now"]]), MAILS, lenient=True)
    assert (coerced.rows, coerced.refused) == ([("buy",), ("now",)], [1])
    assert coerced.warnings[0].startswith("1 of 3 rows cannot be used")


# Records.


def test_a_record_has_the_names_that_it_has() -> None:
    assert record({}) == {}
    row = {"city": "Rome", "visits": 3, "age": 2.5, "plan": "free", "else": True}
    assert record(row) == {"city": "Rome", "visits": 3.0, "age": 2.5, "plan": "free", "else": True}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("visits", "3", 3.0),
        ("visits", True, True),
        ("city", 5, "5"),
        ("city", ["Rome", "Oslo"], ["Rome", "Oslo"]),
        ("city", [], []),
        ("plan", "5", "5"),
        ("plan", 5, 5),
        ("plan", ["a", "b"], ["a", "b"]),
        ("else", ["a"], ["a"]),
        ("age", None, None),
    ],
)
def test_a_value_is_read_as_the_model_knows_its_name(name: str, value: Any, expected: Any) -> None:
    read = record({name: value})[name]
    assert read == expected
    assert type(read) is type(expected)


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("visits", "many", "not_a_number"),
        ("visits", float("nan"), "not_a_number"),
        ("visits", float("inf"), "not_a_number"),
        ("visits", 10**400, "not_a_number"),
        ("visits", ["1"], "not_a_number"),
        ("visits", None, "null_not_allowed"),
        ("plan", None, "null_not_allowed"),
        ("plan", float("nan"), "not_a_value"),
        ("city", True, "not_a_string"),
        ("city", [5], "not_a_string"),
        ("city", ["a"] * (MAX_LIST + 1), "not_a_string"),
        ("city", ["\ud800"], "not_a_string"),
        ("city", {"name": "Rome"}, "not_a_string"),
        ("else", {"deep": {"er": 1}}, "not_a_value"),
        ("else", [["a"]], "not_a_value"),
        ("else", [None], "not_a_value"),
        ("else", 10**400, "not_a_value"),
        ("else", float("-inf"), "not_a_value"),
        ("else", "\ud800", "not_a_value"),
        ("\ud800", 1, "not_a_string"),
    ],
)
def test_a_value_that_the_model_cannot_take_is_refused_with_its_name(name: str, value: Any, code: str) -> None:
    error = error_of({"city": "Rome", name: value})
    assert (error.row, error.field, error.code) == (0, name, code)
    assert len(error.message.encode(errors="backslashreplace")) < 300


def test_nulls_are_left_out_where_that_gives_the_same_answer() -> None:
    assert record({"city": None, "else": None, "age": None}) == {"age": None}
    assert record({"a": None, "b": 1}, HASHED) == {"b": 1}


def test_hashed_records_take_any_names_and_no_lists() -> None:
    row = {"a": 1, "b": "x", "c": False, "d": 2.5}
    coerced = coerce(Records([row]), HASHED)
    assert (coerced.rows, coerced.ids, coerced.warnings) == ([(row,)], None, [])
    assert error_of({"a": ["x"]}, HASHED).message == (
        "'a' must be a number, a text, true or false; it is a list of 1 value"
    )


def test_names_that_the_model_does_not_know_are_named_in_a_warning() -> None:
    coerced = coerce(Records([{"city": "Rome", "colour": "red"}, {"Visits": 1}]), VISITS)
    assert coerced.warnings == ["ignored names that the model does not know: 'colour', 'Visits'"]


def test_ids_are_checked_and_kept_out_of_the_record() -> None:
    coerced = coerce(Records([{"key": "k1", "visits": 1}, {"key": None}, {"visits": 2}]), VISITS)
    assert coerced.rows == [({"visits": 1.0},), ({},), ({"visits": 2.0},)]
    assert coerced.ids == ["k1", None, None]
    assert error_of({"key": ["k1"]}).code == "not_an_id"


def test_a_row_that_is_no_record_is_refused() -> None:
    for row in ([1, 2], "Rome", 5, None):
        assert error_of(row).message.startswith("row 0 must be an object of names and values; it is ")
    assert refused(Grid(None, [["Rome", 3]]), VISITS).errors[0].code == "not_a_row"
    wide = error_of({str(number): 1 for number in range(MAX_NAMES + 1)})
    assert (wide.code, wide.message) == ("too_many_names", "row 0 has 10001 names, and at most 10000 are read")


def test_a_repeated_name_is_refused() -> None:
    assert error_of(repeating({"city": "Rome"}, "city")).code == "repeated_field"
    grid = Grid(["city", "city"], [["Rome", "Oslo"]])
    assert marks(refused(grid, VISITS)) == [(0, "city", "repeated_field")]


def test_every_error_of_every_row_is_found() -> None:
    rows = [{"visits": "x", "city": True}, {"visits": 1}, {"age": "old"}]
    invalid = refused(Records(rows), VISITS)
    assert [(e.row, e.field) for e in invalid.errors] == [(0, "visits"), (0, "city"), (2, "age")]
    invalid = refused(Records([{"visits": "x"}] * 5000), VISITS)
    assert (len(invalid.errors), invalid.total) == (InvalidInstances.SHOWN, 5000)


def test_a_lenient_request_keeps_the_records_that_are_valid() -> None:
    coerced = coerce(Records([{"key": 1, "visits": "x"}, {"key": 2, "visits": 2}]), VISITS, lenient=True)
    assert (coerced.rows, coerced.ids, coerced.refused) == ([({"visits": 2.0},)], [1, 2], [0])
    assert coerced.errors[0].field == "visits"
    assert coerced.warnings == ["1 of 2 rows cannot be used: their predictions are null, and output.errors says why"]
    with pytest.raises(InvalidInstances):
        coerce(Records([{"visits": "x"}]), VISITS, lenient=True)


def test_a_csv_of_records_has_numbers_texts_and_blank_cells() -> None:
    names = ["key", "city", "visits", "plan", "else"]
    grid = Grid(names, [["7", "05", "3", "2", "1.5"], [None, None, None, "free", "x"]], ",", ["a remark"])
    coerced = coerce(grid, VISITS)
    assert coerced.rows == [
        ({"city": "05", "visits": 3.0, "plan": 2.0, "else": 1.5},),
        ({"plan": "free", "else": "x"},),
    ]
    assert coerced.ids == ["7", None]
    assert coerced.warnings == ["a remark", "ignored names that the model does not know: 'else'"]


def test_a_ragged_row_is_refused() -> None:
    for separator in (None, ","):
        grid = Grid(["city", "visits"], [["Rome", "1"], ["Rome"]], separator)
        assert marks(refused(grid, VISITS)) == [(1, None, "not_a_row")]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["\ud800", 10**400]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)
names = st.sampled_from(["city", "visits", "age", "plan", "key"]) | st.text(max_size=3)


@deterministic
@given(st.lists(st.dictionaries(names, values, max_size=5) | values, max_size=4), st.sampled_from([VISITS, HASHED]))
def test_whatever_is_taken_can_be_written_as_json_and_hashed(rows: list[Any], by: Signature) -> None:
    try:
        coerced = coerce(Records(rows), by)
    except InvalidInstances:
        return
    for (row,) in coerced.rows:
        json.dumps(row, allow_nan=False).encode()
        for name, value in row.items():
            assert isinstance(value, str | int | float) or value is None or all(isinstance(v, str) for v in value)
            assert value is not None or name == "age"
            assert not isinstance(value, int) or abs(value) < 1.8e308
