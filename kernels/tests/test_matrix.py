"""Rows become a matrix like the one that the estimator was fitted on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from modelgate_kernels.comparison import RowsByColumn
from modelgate_kernels.layout import Column, InputFormat, Kind, Null, Row
from modelgate_kernels.matrix import by_column, to_array, to_matrix


def columns(*kinds: Kind, nullable: bool = False) -> tuple[Column, ...]:
    return tuple(Column(f"f{i}", kind, nullable) for i, kind in enumerate(kinds))


def column(kind: Kind, *values: object, nullable: bool = False) -> pd.Series:
    rows: list[Row] = [(value,) for value in values]  # type: ignore[misc]
    frame = to_matrix(rows, columns(kind, nullable=nullable), InputFormat.DATAFRAME)
    assert list(frame.columns) == ["f0"]
    return frame["f0"]


def test_numbers_are_a_float64_array_and_nulls_nan() -> None:
    matrix = to_matrix([(1, 2.5, True), (3, None, False)], columns(*[Kind.NUMBER] * 3), InputFormat.ARRAY)
    assert matrix.dtype == np.float64
    np.testing.assert_array_equal(matrix, [[1, 2.5, 1], [3, np.nan, 0]])


@pytest.mark.parametrize(("dtype", "large"), [("int64", 2**53 + 1), ("float32", 0.1)])
def test_an_array_has_the_type_that_the_estimator_was_fitted_on(dtype: str, large: float) -> None:
    matrix = to_matrix([(1, large)], columns(*[Kind.INTEGER] * 2), InputFormat.ARRAY, dtype)
    np.testing.assert_array_equal(matrix, np.array([[1, large]], dtype=dtype))
    assert matrix.dtype == dtype


def test_only_numbers_of_a_dataframe_have_32_bits() -> None:
    kinds = [Kind.NUMBER, Kind.INTEGER, Kind.BOOLEAN, Kind.STRING]
    frame = to_matrix([(0.1, 2, True, "a")], columns(*kinds), InputFormat.DATAFRAME, "float32")
    assert frame.dtypes.tolist()[:3] == [np.float32, np.int64, np.bool_]
    some = [Column("a", Kind.NUMBER, float32=True), Column("b", Kind.NUMBER), Column("c", Kind.INTEGER)]
    frame = to_matrix([(0.1, 2.0**24 + 1, 2)], some, InputFormat.DATAFRAME)
    assert frame.dtypes.tolist() == [np.float32, np.float64, np.int64]
    assert frame.to_numpy().tolist() == [[float(np.float32(0.1)), 2.0**24 + 1, 2]]


def test_one_string_makes_an_array_of_objects() -> None:
    matrix = to_matrix([(1.0, "a"), (None, None)], columns(Kind.NUMBER, Kind.STRING), InputFormat.ARRAY)
    assert matrix.dtype == object
    assert matrix[0].tolist() == [1.0, "a"]
    assert all(value is np.nan for value in matrix[1])


@pytest.mark.parametrize("input_format", [InputFormat.ARRAY, InputFormat.DATAFRAME])
def test_no_rows_keep_the_columns(input_format: InputFormat) -> None:
    assert to_matrix([], columns(Kind.NUMBER, Kind.INTEGER), input_format).shape == (0, 2)


def test_one_row_stays_a_row() -> None:
    assert to_matrix([(1, 2)], columns(Kind.NUMBER, Kind.NUMBER), InputFormat.ARRAY).shape == (1, 2)


@pytest.mark.parametrize(
    ("kind", "value", "dtype"),
    [(Kind.NUMBER, 1, np.float64), (Kind.INTEGER, 2**53 + 1, np.int64), (Kind.BOOLEAN, True, np.bool_)],
)
def test_a_column_of_a_dataframe_has_the_type_of_its_kind(kind: Kind, value: object, dtype: type) -> None:
    cells = column(kind, value)
    assert cells.dtype == dtype
    assert cells[0] == value


@pytest.mark.parametrize("kind", [Kind.NUMBER, Kind.INTEGER, Kind.BOOLEAN])
@pytest.mark.parametrize("neighbour", [None, 0])
def test_a_nullable_column_is_float_whatever_other_rows_hold(kind: Kind, neighbour: object) -> None:
    cells = column(kind, 1, neighbour, nullable=True)
    assert cells.dtype == np.float64
    assert cells[0] == 1
    assert np.isnan(cells[1]) == (neighbour is None)


def test_strings_stay_strings_and_nulls_are_missing() -> None:
    cells = column(Kind.STRING, "0", None, "3+")
    assert cells[0] == "0"
    assert cells.isna().tolist() == [False, True, False]


def test_other_rows_do_not_change_the_type_of_a_column_of_strings() -> None:
    alone, beside = (column(Kind.STRING, *values, nullable=True) for values in ([None], [None, "x"]))
    assert alone.dtype == beside.dtype
    assert (~alone.str.contains("x")).tolist() == [True]


def test_a_column_of_nulls_is_all_missing() -> None:
    for kind in Kind:
        assert column(kind, None, None, nullable=True).isna().all(), kind


def test_datetimes_are_in_utc_and_null_is_nat() -> None:
    days = column(Kind.DATETIME, "2026-01-02T03:04:05+01:00", None, "2026-01-02T03:04:05.25+00:00")
    assert str(days.dtype).endswith(", UTC]")
    assert days[0] == pd.Timestamp("2026-01-02T02:04:05Z")
    assert days[1] is pd.NaT
    assert days[2].microsecond == 250_000


def test_naive_datetimes_have_no_zone_and_null_is_nat() -> None:
    naive = [Column("day", Kind.DATETIME, naive=True)]
    for rows in ([("2026-01-02T02:04:05+00:00",), (None,)], [(None,)]):
        days = to_matrix(rows, naive, InputFormat.DATAFRAME)["day"]
        assert days.dtype.kind == "M"
        assert getattr(days.dtype, "tz", None) is None
        assert days.iloc[-1] is pd.NaT
    assert to_matrix([("2026-01-02T02:04:05+00:00",)], naive, InputFormat.DATAFRAME)["day"][0] == pd.Timestamp(
        "2026-01-02T02:04:05"
    )


def test_datetimes_are_in_the_zone_of_their_column() -> None:
    rows = [("2026-07-02T18:00:00+00:00",), ("2026-01-02T18:00:00Z",), (None,)]
    for zone, hours in (("Europe/Berlin", [20, 19]), ("+02:00", [20, 20]), (None, [18, 18])):
        columns = [Column("day", Kind.DATETIME, nullable=True, zone=zone)]
        days = to_matrix(rows, columns, InputFormat.DATAFRAME)["day"]
        assert days.dt.hour.tolist()[:2] == hours
        assert days[2] is pd.NaT


def test_a_numbered_data_frame_has_integers_as_names() -> None:
    frame = to_matrix([(1.0, "a"), (2.0, None)], columns(Kind.NUMBER, Kind.STRING), InputFormat.NUMBERED)
    assert frame.columns.tolist() == [0, 1]
    assert [type(name) for name in frame.columns.tolist()] == [int, int]
    assert frame[1].isna().tolist() == [False, True]


def test_texts_and_records_are_the_only_cell_of_a_row() -> None:
    words, record = columns(Kind.STRING), {"a": 1.0}
    assert to_matrix([("a",), ("b",)], words, InputFormat.TEXTS) == ["a", "b"]
    assert to_matrix([(record,)], words, InputFormat.RECORDS) == [record]
    series = to_matrix([("a",), ("b",)], words, InputFormat.SERIES)
    assert (type(series), series.tolist(), series.str.upper().tolist()) == (pd.Series, ["a", "b"], ["A", "B"])


def test_a_row_of_another_length_is_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        to_matrix([(1, 2), (3,)], columns(Kind.NUMBER, Kind.NUMBER), InputFormat.DATAFRAME)


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
@pytest.mark.parametrize("input_format", [name for name in InputFormat if name != InputFormat.RECORDS])
@pytest.mark.parametrize("kinds", [[Kind.NUMBER, Kind.INTEGER], [Kind.NUMBER, Kind.BOOLEAN, Kind.STRING]])
def test_rows_by_column_make_the_same_matrix(kinds: list[Kind], input_format: InputFormat, dtype: str) -> None:
    rows: list[Row] = [(0.1, 2**53 + 1, "a"), (None, 0, None), (-1e30, 1, "ü")]
    rows = [row[: len(kinds)] for row in rows]
    by = columns(*kinds, nullable=True)
    if dtype == "int64":
        rows = [(1, 2**53 + 1, *row[2:]) for row in rows]
    wanted = to_matrix(rows, by, input_format, dtype)
    matrix = to_matrix(RowsByColumn(rows), by, input_format, dtype)
    if isinstance(wanted, pd.DataFrame):
        pd.testing.assert_frame_equal(matrix, wanted)
    elif isinstance(wanted, np.ndarray):
        assert (matrix.dtype, matrix.flags.c_contiguous) == (wanted.dtype, True)
        assert repr(matrix.tolist()) == repr(wanted.tolist())
    else:
        assert list(matrix) == list(wanted)


def test_an_array_of_numbers_has_the_order_in_memory_that_is_asked_for() -> None:
    for rows in ([(1.0, 2.0), (3.0, None)], RowsByColumn([(1.0, 2.0), (3.0, None)])):
        by_row, by_column = to_array(rows, np.float64), to_array(rows, np.float64, "F")
        assert (by_row.flags.c_contiguous, by_column.flags.f_contiguous) == (True, True)
        np.testing.assert_array_equal(by_row, by_column)


@pytest.mark.parametrize("count", [1, 999, 1000, 1001, 2500])
def test_rows_become_columns_however_many_they_are(count: int) -> None:
    rows: list[Row] = [(number, str(number), None) for number in range(count)]
    assert [*map(tuple, by_column(rows))] == [tuple(range(count)), tuple(map(str, range(count))), (None,) * count]
    with pytest.raises(ValueError, match=r"zip|shorter|longer"):
        by_column([*rows, (1, "1")])


@pytest.mark.parametrize(
    ("kind", "null", "values", "expected"),
    [
        (Kind.STRING, Null.NONE, ["a", None], pd.Series(["a", None], dtype=object)),
        (Kind.STRING, Null.NONE, [None], pd.Series([None], dtype=object)),
        (Kind.STRING, Null.NA, ["a", None], pd.Series(["a", pd.NA], dtype="string")),
        (Kind.STRING, Null.NA_OBJECT, ["a", None], pd.Series(["a", pd.NA], dtype=object)),
        (Kind.NUMBER, Null.NONE, [1.5, None], pd.Series([1.5, None], dtype=object)),
        (Kind.NUMBER, Null.NA, [1.5, None], pd.Series([1.5, pd.NA], dtype="Float64")),
        (Kind.INTEGER, Null.NONE, [2, None], pd.Series([2, None], dtype=object)),
        (Kind.INTEGER, Null.NA, [2, None], pd.Series([2, pd.NA], dtype="Int64")),
        (Kind.BOOLEAN, Null.NAN, [True, None], pd.Series([1.0, np.nan])),
        (Kind.BOOLEAN, Null.NAN_OBJECT, [True, None], pd.Series([True, np.nan], dtype=object)),
        (Kind.BOOLEAN, Null.NONE, [True, None], pd.Series([True, None], dtype=object)),
        (Kind.BOOLEAN, Null.NA, [True, None], pd.Series([True, pd.NA], dtype="boolean")),
    ],
)
def test_a_null_is_what_the_field_says(kind: Kind, null: Null, values: list[object], expected: pd.Series) -> None:
    signed = [Column("f", kind, nullable=True, null=null)]
    rows: list[Row] = [(value,) for value in values]  # type: ignore[misc]
    column = to_matrix(rows, signed, InputFormat.DATAFRAME)["f"]
    assert column.dtype == expected.dtype
    assert list(map(type, column.tolist())) == list(map(type, expected.tolist()))
    if null is not Null.NAN:
        (cell,) = to_matrix(rows[-1:], signed, InputFormat.ARRAY)[0]
        assert type(cell) is type(expected.tolist()[-1])


def test_dates_may_have_none_among_objects() -> None:
    signed = [Column("f", Kind.DATETIME, nullable=True, naive=True, null=Null.NONE)]
    column = to_matrix([("2026-01-02T00:00:00+00:00",), (None,)], signed, InputFormat.DATAFRAME)["f"]
    assert column.tolist() == [pd.Timestamp("2026-01-02"), None]
