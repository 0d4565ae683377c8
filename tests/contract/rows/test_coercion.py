"""Coercion of rows by a signature: the values, and every error."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from difflib import SequenceMatcher
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from contract.errors import FieldError, InvalidInstances
from contract.json_objects import RepeatedKeys
from contract.model.signature import Field, Kind, Output, OutputKind, Signature
from contract.rows.coercion import coerce
from contract.rows.instances import Coerced, Grid, Instances, Records
from contract.rows.values import Conversion

deterministic = settings(derandomize=True, deadline=None, max_examples=100)

MANY = 50
"""Enough rows for columns to be converted in bulk."""
SEXES = Field("sex", Kind.STRING, categories=("Male", "Female"))


def signature(*fields: Field, id_field: str | None = None) -> Signature:
    return Signature(fields, (Output(OutputKind.NUMBER),), id_field)


HOUSE = signature(
    Field("nox", Kind.NUMBER, aliases=("NOX", "nitric oxides")),
    Field("rooms", Kind.INTEGER, nullable=True),
    Field("street", Kind.STRING),
    Field("river", Kind.BOOLEAN, nullable=True),
    Field("kind", Kind.STRING, nullable=True, categories=("flat", "house")),
    Field("sold", Kind.DATETIME),
    id_field="key",
)
GOOD: dict[str, Any] = {
    "nox": 0.5,
    "rooms": 3,
    "street": "Elm",
    "river": True,
    "kind": "flat",
    "sold": "2024-05-17T10:30:00+00:00",
}


def refused(instances: Instances, by: Signature) -> InvalidInstances:
    with pytest.raises(InvalidInstances) as caught:
        coerce(instances, by)
    return caught.value


def marks(invalid: InvalidInstances) -> list[tuple[int | None, str | None, str]]:
    return [(error.row, error.field, error.code) for error in invalid.errors]


def one_error(instances: Instances, by: Signature) -> FieldError:
    invalid = refused(instances, by)
    assert invalid.total == 1
    return invalid.errors[0]


def outcome(instances: Instances, by: Signature) -> Coerced | list[tuple[int | None, str | None, str]]:
    try:
        return coerce(instances, by)
    except InvalidInstances as invalid:
        return marks(invalid)


TAKEN = [
    (Kind.NUMBER, 5.1, 5.1),
    (Kind.NUMBER, 5, 5.0),
    (Kind.NUMBER, -(2**70), -float(2**70)),
    *((Kind.NUMBER, text, float(text)) for text in ("5.1", " 5.1 ", "1e3", "1E+3", "-0.5", "+2", ".5", "5.", "007")),
    (Kind.INTEGER, 7, 7),
    (Kind.INTEGER, 7.0, 7),
    (Kind.INTEGER, -0.0, 0),
    (Kind.INTEGER, 2**63 - 1, 2**63 - 1),
    (Kind.INTEGER, -(2**63), -(2**63)),
    (Kind.INTEGER, "9007199254740993", 9007199254740993),
    (Kind.INTEGER, " 7 ", 7),
    (Kind.INTEGER, "7.0", 7),
    (Kind.INTEGER, "1e3", 1000),
    (Kind.STRING, "", ""),
    (Kind.STRING, " Ñandú 😀 ", " Ñandú 😀 "),
    (Kind.STRING, 1, "1"),
    (Kind.STRING, 1.0, "1"),
    (Kind.STRING, 2.5, "2.5"),
    (Kind.STRING, 1e300, "1e+300"),
    *((Kind.BOOLEAN, value, True) for value in (True, 1, 1.0, "true", "TRUE", "True", "1", " true ")),
    *((Kind.BOOLEAN, value, False) for value in (False, 0, 0.0, "false", "False", "0")),
    (Kind.DATETIME, "2024-05-17T10:30:00Z", "2024-05-17T10:30:00+00:00"),
    (Kind.DATETIME, "2024-05-17t10:30:00z", "2024-05-17T10:30:00+00:00"),
    (Kind.DATETIME, "2024-05-17T10:30:00+02:00", "2024-05-17T08:30:00+00:00"),
    (Kind.DATETIME, "2024-05-17 10:30:00.25", "2024-05-17T10:30:00.250000+00:00"),
    (Kind.DATETIME, "2024-05-17T10:30", "2024-05-17T10:30:00+00:00"),
    (Kind.DATETIME, " 2024-05-17 ", "2024-05-17T00:00:00+00:00"),
    (Kind.DATETIME, "20240517", "2024-05-17T00:00:00+00:00"),
]
DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]
NEVER: list[object] = [[], {}, [1], {"a": 1}, b"1", DEEP]
"""Values that no kind accepts."""
REFUSED = [
    *((Kind.NUMBER, value, "not_a_number") for value in (True, False, *NEVER)),
    *((Kind.NUMBER, text, "not_a_number") for text in ("", " ", "a", "nan", "NaN", "inf", "-Infinity", "1_000")),
    *(
        (Kind.NUMBER, text, "not_a_number")
        for text in ("0x10", "1,5", "1 2", "1e400", "٣", "５", "--1", "\ud800", "1" * 9999)
    ),
    *((Kind.NUMBER, value, "not_a_number") for value in (math.nan, math.inf, -math.inf, 10**400, 10**9999)),
    *((Kind.INTEGER, value, "not_an_integer") for value in (True, 1.5, math.nan, *NEVER)),
    *((Kind.INTEGER, text, "not_an_integer") for text in ("", "1.5", "1_000", "0x10", "nan", "inf", "٣", "one")),
    *((Kind.INTEGER, value, "out_of_range") for value in (2**63, -(2**63) - 1, 1e19, math.inf, 10**9999)),
    *((Kind.INTEGER, text, "out_of_range") for text in ("9223372036854775808", "1e19", "1e400", "9" * 9999)),
    *((Kind.STRING, value, "not_a_string") for value in (True, math.nan, math.inf, 10**9999, "\ud800", *NEVER)),
    *((Kind.BOOLEAN, value, "not_a_boolean") for value in (2, 0.5, math.nan, "", "yes", "t", "1.0", 10**400, *NEVER)),
    *((Kind.DATETIME, value, "not_a_datetime") for value in (True, 20240517, 1.7e9, "", "today", "17.05.2024", *NEVER)),
    *(
        (Kind.DATETIME, text, "not_a_datetime")
        for text in ("2024", "10:30", "2024-02-30", "2024-05-17T25:00", "٢٠٢٤-05-17")
    ),
    *((Kind.DATETIME, text, "not_a_datetime") for text in ("2024-05-17+02:00", "2024-05-17-10:30", "2024-05-17x10:30")),
    *((Kind.DATETIME, text, "not_a_datetime") for text in ("0001-01-01T00:00:00+05:00", "9999-12-31T23:00:00-05:00")),
    *((kind, None, "null_not_allowed") for kind in Kind),
]


def named(cases: Sequence[tuple[Kind, Any, Any]]) -> list[Any]:
    return [pytest.param(*case, id=f"{case[0]}-{number}") for number, case in enumerate(cases)]


@pytest.mark.parametrize("rows", [1, MANY])
@pytest.mark.parametrize(("kind", "value", "wanted"), named(TAKEN))
def test_a_kind_accepts_other_spellings_of_its_values(kind: Kind, value: Any, wanted: Any, rows: int) -> None:
    coerced = coerce(Records([{"x": value}] * rows), signature(Field("x", kind)))
    assert coerced.rows == [(wanted,)] * rows
    assert {type(row[0]) for row in coerced.rows} == {type(wanted)}


@pytest.mark.parametrize("rows", [1, MANY])
@pytest.mark.parametrize(("kind", "value", "code"), named(REFUSED))
def test_a_kind_refuses_anything_else_with_its_code(kind: Kind, value: Any, code: str, rows: int) -> None:
    invalid = refused(Records([{"x": value}] * rows), signature(Field("x", kind)))
    assert marks(invalid) == [(row, "x", code) for row in range(rows)]
    assert all(len(error.message) < 200 and error.message.isprintable() for error in invalid.errors)


@pytest.mark.parametrize("kind", Kind)
def test_null_stays_null_where_it_is_allowed(kind: Kind) -> None:
    assert coerce(Records([{"x": None}] * MANY), signature(Field("x", kind, nullable=True))).rows == [(None,)] * MANY


@pytest.mark.parametrize(
    ("instances", "message"),
    [
        (Records([{"x": "abc"}]), "'x' must be a finite number; it is 'abc'"),
        (Records([{"x": None}]), "'x' must be a finite number; it is null"),
        (Records([{"x": True}]), "'x' must be a finite number; it is true"),
        (Records([{"x": math.inf}]), "'x' must be a finite number; it is inf"),
        (Records([{"x": [1]}]), "'x' must be a finite number; it is a list of 1 value"),
        (Records([{"x": {}}]), "'x' must be a finite number; it is an object"),
        (Records([{"x": "a" * 99}]), f"'x' must be a finite number; it is '{'a' * 40}'… (99 characters)"),
        (Records([{"x": 10**4999}]), "'x' must be a finite number; it is a number of about 4998 digits"),
        (Records([{"X": 1}]), "'x' is missing; 'X' is not an input: did you mean 'x'?"),
        (Records([{"unlike": 1}]), "'x' is missing"),
        (Records([]), "the request has no rows; send at least one"),
        (Grid(None, [[1, 2]]), "row 0 must be a list of 1 value ('x'); it is a list of 2 values"),
        (Grid(["x", "y"], [[1]]), "row 0 must be a list of 2 values, one for each column; it is a list of 1 value"),
        (Grid(["x", "x"], [[1, 2]]), "'x' is given more than once, as 'x'"),
        (Records([3]), "row 0 must be an object of names and values; it is 3"),  # type: ignore[list-item]
    ],
)
def test_a_message_says_what_was_found_and_what_is_expected(instances: Instances, message: str) -> None:
    assert one_error(instances, signature(Field("x", Kind.NUMBER))).message == message


def test_a_category_must_match_exactly_and_a_number_counts_as_its_text() -> None:
    levels = signature(SEXES, Field("level", Kind.STRING, categories=("0", "1")))
    assert coerce(Grid(None, [["Male", 1.0]] * MANY), levels).rows == [("Male", "1")] * MANY


@pytest.mark.parametrize("rows", [1, MANY])
def test_an_unknown_category_lists_the_known_ones_and_suggests_the_closest(rows: int) -> None:
    invalid = refused(Grid(None, [["male"]] * rows), signature(SEXES))
    assert {e.code for e in invalid.errors} == {"unknown_category"}
    assert {e.message for e in invalid.errors} == {
        "'sex' must be one of 'Male', 'Female'; it is 'male': did you mean 'Male'?"
    }


def test_only_some_of_many_categories_are_listed() -> None:
    towns = Field("town", Kind.STRING, categories=tuple(f"town {n}" for n in range(500)))
    message = one_error(Grid(None, [["?"]]), signature(towns)).message
    assert message.endswith("'town 9' and 490 more; it is '?'")


@pytest.mark.parametrize("value", [True, [], "\ud800"])
def test_a_value_that_is_not_text_is_not_a_category(value: object) -> None:
    assert one_error(Grid(None, [[value]]), signature(SEXES)).code in ("not_a_string", "unknown_category")


def test_an_alias_is_another_name() -> None:
    assert coerce(Records([GOOD | {"nox": 1.0}]), HOUSE) == coerce(
        Records([{"NOX" if name == "nox" else name: value for name, value in (GOOD | {"nox": 1.0}).items()}]), HOUSE
    )


@pytest.mark.parametrize("spelling", ["Nox", "nox ", "noxx", "nitric oxide", "NITRIC OXIDES"])
def test_a_near_miss_is_refused_with_a_suggestion(spelling: str) -> None:
    row = {name: value for name, value in GOOD.items() if name != "nox"} | {spelling: 0.5}
    error = one_error(Records([row]), HOUSE)
    assert (error.field, error.code) == ("nox", "missing_field")
    assert error.message == f"'nox' is missing; {spelling!r} is not an input: did you mean 'nox'?"


def test_a_missing_column_is_an_error_even_where_null_is_allowed() -> None:
    row = {name: value for name, value in GOOD.items() if name != "rooms"}
    assert marks(refused(Records([GOOD, row]), HOUSE)) == [(1, "rooms", "missing_field")]


def test_blanks_around_the_name_of_an_input_do_not_matter_in_a_csv() -> None:
    both = signature(Field(" Income ", Kind.NUMBER), Field("age", Kind.NUMBER))
    assert coerce(Grid(["age", "income"], [["1", "2"]], ","), both).rows == [(2.0, 1.0)]
    alike = signature(Field(" age", Kind.NUMBER), Field("age", Kind.NUMBER))
    assert refused(Grid(["age"], [["1"]], ","), alike).errors[0].field == " age"


def test_a_column_that_the_header_lacks_is_one_error_for_all_rows() -> None:
    grid = Grid([*GOOD][1:], [[*GOOD.values()][1:]] * 3)
    assert marks(refused(grid, HOUSE)) == [(None, "nox", "missing_field")]


@pytest.mark.parametrize(("name", "again"), [("nox", "nox"), ("nox", "NOX"), ("key", "key")])
def test_an_input_or_an_id_given_twice_in_the_header_is_one_error_for_all_rows(name: str, again: str) -> None:
    grid = Grid(["key", *GOOD, again], [[1, *GOOD.values(), 2]] * 3)
    assert marks(refused(grid, HOUSE)) == [(None, name, "repeated_field")]


@pytest.mark.parametrize("count", [1, MANY])
def test_an_error_knows_the_name_by_which_the_value_was_sent(count: int) -> None:
    model = signature(Field("nox", Kind.NUMBER, aliases=("NOX",)), Field("rooms", Kind.NUMBER))
    sent: tuple[Instances, ...] = (
        Records([{"unknown": 0, "rooms": 1, "NOX": "high"}] * count),
        Records([{"rooms": 1, "NOX": "high"}, *[{"nox": 1, "rooms": 1}] * count]),
        Grid(["rooms", "NOX"], [[1, "high"]] * count),
    )
    for instances in sent:
        with pytest.raises(InvalidInstances) as refused:
            coerce(instances, model)
        first = refused.value.errors[0]
        assert (first.row, first.field, first.code, first.sent) == (0, "nox", "not_a_number", "NOX")


def test_an_input_given_by_name_and_alias_is_an_error_that_names_both() -> None:
    error = one_error(Records([GOOD, GOOD | {"NOX": 0.5}]), HOUSE)
    assert (error.row, error.field, error.code) == (1, "nox", "repeated_field")
    assert error.message == "'nox' is given more than once, as 'nox', 'NOX'"


def repeating(row: Mapping[str, object], *names: str) -> RepeatedKeys:
    keys = RepeatedKeys(row)
    keys.repeated = names
    return keys


@pytest.mark.parametrize("name", ["nox", "NOX", "key"])
def test_a_repeated_key_is_an_error_where_it_matters(name: str) -> None:
    row = {"key": 1} | {name if n == "nox" and name == "NOX" else n: value for n, value in GOOD.items()}
    error = one_error(Records([row, repeating(row, name)]), HOUSE)
    assert (error.row, error.field, error.code) == (1, "key" if name == "key" else "nox", "repeated_field")
    assert error.message.endswith(f"is given more than once, as {name!r}")


def test_a_repeated_key_that_is_not_an_input_is_only_a_warning() -> None:
    coerced = coerce(Records([repeating(GOOD | {"colour": 1}, "colour")]), HOUSE)
    assert coerced.warnings == ["ignored columns that are not inputs of the model: 'colour'"]


def test_a_row_that_lacks_one_input_and_repeats_another_gets_both_errors() -> None:
    names = ("sepal_length", "sepal_width", "petal_length", "petal_width")
    spellings = {name: (name.replace("_", "."), name.replace("_", ".").replace("length", "lenght")) for name in names}
    iris = signature(*(Field(n, Kind.NUMBER, aliases=tuple(dict.fromkeys(spellings[n]))) for n in names))
    row = repeating({"sepal.width": 3.0, "petal.lenght": 5.1, "petal.width": 1.8}, "sepal.width")
    invalid = refused(Records([row]), iris)
    assert marks(invalid) == [(0, "sepal_length", "missing_field"), (0, "sepal_width", "repeated_field")]
    assert "'sepal.width'" in invalid.errors[1].message


def test_unknown_columns_are_dropped_and_named_once() -> None:
    coerced = coerce(Records([GOOD | {"b": 1}, GOOD, {"a": 1} | GOOD | {"b": 2}]), HOUSE)
    assert coerced.rows == coerce(Records([GOOD] * 3), HOUSE).rows
    assert coerced.warnings == ["ignored columns that are not inputs of the model: 'b', 'a'"]


def test_ten_of_many_unknown_columns_are_named() -> None:
    (warning,) = coerce(Records([GOOD | {f"c{n}" * 50: n for n in range(1000)}]), HOUSE).warnings
    assert warning.endswith(" and 990 more")
    assert "more" not in coerce(Records([GOOD | {f"c{n}": n for n in range(10)}]), HOUSE).warnings[0]
    assert len(warning) < 1000


def test_no_warning_without_a_reason() -> None:
    assert coerce(Records([GOOD | {"key": 1}]), HOUSE).warnings == []


@pytest.mark.parametrize("key", ["LP001", 7, 7.5, True, None, 2**80])
@pytest.mark.parametrize("rows", [1, MANY])
def test_ids_are_echoed_unchanged(key: Any, rows: int) -> None:
    coerced = coerce(Records([GOOD | {"key": key}] * rows), HOUSE)
    assert coerced.ids == [key] * rows
    assert coerced.warnings == []
    assert len(coerced.rows[0]) == len(GOOD)


def test_the_id_of_a_row_without_one_is_null() -> None:
    assert coerce(Records([GOOD, GOOD | {"key": "a"}, GOOD]), HOUSE).ids == [None, "a", None]
    assert coerce(Records([GOOD | {"key": "a"}, GOOD]), HOUSE).ids == ["a", None]


def test_there_are_no_ids_if_no_row_has_one() -> None:
    assert coerce(Records([GOOD]), HOUSE).ids is None
    assert coerce(Grid(None, [list(GOOD.values())]), HOUSE).ids is None


def test_an_id_field_that_is_also_an_input_is_an_input() -> None:
    by = signature(Field("x", Kind.NUMBER), id_field="x")
    assert coerce(Records([{"x": 1}]), by) == Coerced([(1.0,)], None, [])


def test_an_id_that_cannot_be_written_back_is_refused() -> None:
    for key in ([], {}, DEEP, math.nan, math.inf, "\ud800", 10**9999):
        error = one_error(Records([GOOD | {"key": "a"}, GOOD | {"key": key}]), HOUSE)
        assert (error.row, error.field, error.code) == (1, "key", "not_an_id")


@pytest.mark.parametrize("instances", [Records([]), Grid(None, []), Grid(["nox"], [])])
def test_no_rows_is_an_error(instances: Instances) -> None:
    assert marks(refused(instances, HOUSE)) == [(None, None, "no_rows")]


@pytest.mark.parametrize("columns", [None, [*GOOD]])
def test_lists_of_the_wrong_length_are_refused_and_the_other_rows_are_still_checked(columns: list[str] | None) -> None:
    good = list(GOOD.values())
    invalid = refused(Grid(columns, [good, good[:-1], ["x", *good[1:]], [*good, 1], []]), HOUSE)
    assert marks(invalid) == [
        (1, None, "wrong_length"),
        (2, "nox", "not_a_number"),
        (3, None, "wrong_length"),
        (4, None, "wrong_length"),
    ]


@pytest.mark.parametrize("row", [None, 1, "text", True, []])
def test_only_objects_are_rows_among_objects(row: Any) -> None:
    assert marks(refused(Records([GOOD, row, GOOD]), HOUSE)) == [(1, None, "not_a_row")]


@pytest.mark.parametrize("row", [None, 1, "sixsix", True, GOOD])
def test_only_lists_are_rows_among_lists(row: Any) -> None:
    good = list(GOOD.values())
    assert marks(refused(Grid(None, [good, row, good]), HOUSE)) == [(1, None, "not_a_row")]


def test_a_list_of_the_inputs_is_in_signature_order() -> None:
    assert coerce(Grid(None, [list(GOOD.values())]), HOUSE) == coerce(Records([GOOD]), HOUSE)


def test_errors_beyond_the_limit_are_only_counted() -> None:
    pair = signature(Field("a", Kind.NUMBER), Field("b", Kind.NUMBER))
    invalid = refused(Records([{"a": "x", "b": "y"}] * 30_000), pair)
    assert invalid.total == 60_000
    assert marks(invalid) == [(row, name, "not_a_number") for row in range(500) for name in "ab"]
    assert refused(Records([{}] * 30_000), pair).total == 60_000
    assert refused(Grid(None, [[]] * 30_000), pair).total == 30_000


@pytest.mark.parametrize("most", [1, 2, 3, 5])
@pytest.mark.parametrize("wrong_in_first", [{0, 199}, {199}, {100}, {0}, set()])
def test_the_errors_of_the_first_rows_are_shown(most: int, wrong_in_first: set[int]) -> None:
    wide = signature(*(Field(f"x{n}", Kind.NUMBER) for n in range(200)))
    first = {f"x{n}": "?" if n in wrong_in_first else 1 for n in reversed(range(200))}
    rows = [first, dict.fromkeys(first, "?"), dict.fromkeys(first, "?")]
    everything = marks(refused(Records(rows), wide))
    with patch.object(InvalidInstances, "SHOWN", most):
        assert marks(refused(Records(rows), wide)) == everything[:most]


def test_a_changed_signature_is_not_mistaken_for_the_one_before_it() -> None:
    for number in range(2000):
        name = f"x{number % 3}"
        assert coerce(Records([{name: number}]), signature(Field(name, Kind.NUMBER))).rows == [(float(number),)]


def test_hints_for_many_long_names_take_a_bounded_number_of_comparisons(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = list[int]()

    class Counted(SequenceMatcher[str]):
        def ratio(self) -> float:
            compared.append(len(self.a) * len(self.b))
            return super().ratio()

    monkeypatch.setattr("contract.wording.SequenceMatcher", Counted)
    wide = signature(*(Field(f"{'ab' * 25}{n:04}_x", Kind.NUMBER) for n in range(50)))
    error = refused(Records([{f"{'ba' * 25}{n:04}_y": 1 for n in range(200)}]), wide).errors[0]
    assert "did you mean" in error.message
    assert 0 < sum(compared) <= 500_000


def test_a_row_with_too_many_names_is_refused() -> None:
    names = [str(n) for n in range(10_001)]
    for rows in (Records([dict.fromkeys(names, 1)]), Grid(names, [[1] * len(names)])):
        error = one_error(rows, signature(Field("1", Kind.NUMBER)))
        assert (error.code, error.row) == ("too_many_names", None)
        assert error.message == "a row has 10001 names, and at most 10000 are read; send only the 1 input of the model"
    wide = signature(*(Field(name, Kind.NUMBER) for name in names))
    assert len(coerce(Records([dict.fromkeys(names, 1)]), wide).rows[0]) == 10_001


def test_rows_with_too_many_different_sets_of_names_are_refused() -> None:
    error = one_error(Records([{"x": 1, f"more{n}": 1} for n in range(50_000)]), signature(Field("x", Kind.NUMBER)))
    assert (error.code, error.row) == ("too_many_layouts", 1000)
    assert error.message == "the first 1001 rows have 1001 different sets of names; send the same in all"
    coerce(Records([{"x": 1, f"more{n % 1000}": 1} for n in range(5000)]), signature(Field("x", Kind.NUMBER)))


@pytest.mark.parametrize("rows", [1, 20])
def test_an_id_has_a_bounded_length(rows: int) -> None:
    identified = Signature((Field("x", Kind.NUMBER),), (Output(OutputKind.NUMBER),), "id")
    fine = [{"x": 1, "id": "é" * 256}] * (rows - 1)
    assert coerce(Records([*fine, {"x": 1, "id": "a" * 256}]), identified).ids[-1] == "a" * 256  # type: ignore[index]
    error = one_error(Records([*fine, {"x": 1, "id": "a" * 257}]), identified)
    assert (error.row, error.field, error.code) == (rows - 1, "id", "not_an_id")
    assert error.message.startswith(
        "'id' must be text of up to 256 characters, a number, true, false or null; it is 'aaa"
    )


# Properties. A cell is a pair: the value that is sent, and the value that coercion must make of it.

numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(lambda x: (x, x)),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda x: (repr(x), x)),
    st.integers(-(10**300), 10**300).map(lambda n: (n, float(n))),
    st.integers(-(10**300), 10**300).map(lambda n: (str(n), float(n))),
)
small = st.integers(-(2**63), 2**63 - 1)
integers = st.one_of(
    small.map(lambda n: (n, n)),
    small.map(lambda n: (str(n), n)),
    st.integers(-(2**53), 2**53).map(lambda n: (float(n), n)),
)
texts = st.text(st.characters(exclude_categories=["Cs"]))
strings = st.one_of(texts.map(lambda t: (t, t)), st.integers().map(lambda n: (n, str(n))))
booleans = st.sampled_from([(True, True), (1, True), ("FALSE", False), (0, False)])
zones = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
times = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=zones)
moments = times.map(lambda t: (t.isoformat(), t.astimezone(UTC).isoformat()))
nothing = st.just((None, None))
CELLS: dict[str, st.SearchStrategy[tuple[Any, Any]]] = {
    "nox": numbers,
    "rooms": integers | nothing,
    "street": strings,
    "river": booleans | nothing,
    "kind": st.sampled_from([("flat", "flat"), ("house", "house"), (None, None)]),
    "sold": moments,
}
WRONG: dict[str, Sequence[tuple[Any, str]]] = {
    "nox": [("x", "not_a_number"), (True, "not_a_number"), (None, "null_not_allowed")],
    "rooms": [(1.5, "not_an_integer"), (2**63, "out_of_range"), ("", "not_an_integer")],
    "street": [([], "not_a_string"), (None, "null_not_allowed")],
    "river": [("yes", "not_a_boolean"), (2, "not_a_boolean")],
    "kind": [("Flat", "unknown_category"), (False, "not_a_string")],
    "sold": [(0, "not_a_datetime"), (None, "null_not_allowed")],
}
tables = st.lists(st.fixed_dictionaries(CELLS), min_size=1, max_size=8)


def sent(table: Sequence[Mapping[str, tuple[Any, Any]]]) -> list[dict[str, Any]]:
    return [{name: cell[0] for name, cell in row.items()} for row in table]


@deterministic
@given(tables)
def test_every_row_becomes_its_values_in_signature_order(table: list[dict[str, tuple[Any, Any]]]) -> None:
    wanted = [tuple(row[name][1] for name in CELLS) for row in table]
    assert coerce(Records(sent(table)), HOUSE) == Coerced(wanted, None, [])


@deterministic
@given(st.lists(st.fixed_dictionaries(CELLS), min_size=9, max_size=12))
def test_many_rows_are_coerced_as_each_alone(table: list[dict[str, tuple[Any, Any]]]) -> None:
    rows = sent(table)
    assert coerce(Records(rows), HOUSE).rows == [coerce(Records([row]), HOUSE).rows[0] for row in rows]


@pytest.mark.parametrize("value", [1, "1", 1.5, True, "x", "nan", 10**400, math.nan, [], "2024-05-17"])
@pytest.mark.parametrize("nullable", [True, False])
@pytest.mark.parametrize("kind", Kind)
def test_nulls_among_many_values_change_no_other(kind: Kind, nullable: bool, value: Any) -> None:
    by, rows = signature(Field("x", kind, nullable)), [{"x": value}] * MANY
    rows[3] = rows[7] = {"x": None}
    wanted = []
    for number, row in enumerate(rows):
        alone = outcome(Records([row]), by)
        wanted.append(alone if isinstance(alone, Coerced) else [(number, *mark[1:]) for mark in alone])
    if all(isinstance(alone, Coerced) for alone in wanted):
        assert coerce(Records(rows), by).rows == [alone.rows[0] for alone in wanted if isinstance(alone, Coerced)]
    else:
        errors = [mark for alone in wanted if not isinstance(alone, Coerced) for mark in alone]
        assert marks(refused(Records(rows), by)) == errors[: InvalidInstances.SHOWN]


@deterministic
@given(tables)
def test_coercion_leaves_coerced_rows_unchanged(table: list[dict[str, tuple[Any, Any]]]) -> None:
    rows = coerce(Records(sent(table)), HOUSE).rows
    assert coerce(Grid(None, rows), HOUSE).rows == rows


@deterministic
@given(tables, st.data())
def test_column_order_spelling_and_form_never_matter(
    table: list[dict[str, tuple[Any, Any]]], data: st.DataObject
) -> None:
    rows = [row | {"key": number} for number, row in enumerate(sent(table))]
    wanted = coerce(Records(rows), HOUSE)
    names = data.draw(st.permutations([*rows[0]]))
    spelt = [data.draw(st.sampled_from(["nox", "NOX"])) if name == "nox" else name for name in names]
    assert coerce(Grid(spelt, [[row[name] for name in names] for row in rows]), HOUSE) == wanted
    shuffled = [{name: row[name] for name in data.draw(st.permutations(names))} for row in rows]
    assert coerce(Records(shuffled), HOUSE) == wanted


@deterministic
@given(tables, st.data())
def test_exactly_the_corrupted_cells_are_refused_in_row_order(
    table: list[dict[str, tuple[Any, Any]]], data: st.DataObject
) -> None:
    rows = sent(table)
    places = [(row, name) for row in range(len(rows)) for name in CELLS]
    bad = data.draw(st.sets(st.sampled_from(places), min_size=1, max_size=12))
    wanted = []
    for row, name in sorted(bad, key=places.index):
        rows[row][name], code = data.draw(st.sampled_from(WRONG[name]))
        wanted.append((row, name, code))
    columns = data.draw(st.permutations([*CELLS]))
    for instances in (Records(rows), Grid(columns, [[row[name] for name in columns] for row in rows])):
        invalid = refused(instances, HOUSE)
        assert (marks(invalid), invalid.total) == (wanted, len(wanted))


@deterministic
@given(tables, st.data())
def test_exactly_the_removed_cells_are_missing(table: list[dict[str, tuple[Any, Any]]], data: st.DataObject) -> None:
    rows = sent(table)
    places = [(row, name) for row in range(len(rows)) for name in CELLS]
    gone = data.draw(st.sets(st.sampled_from(places), min_size=1))
    for row, name in gone:
        del rows[row][name]
    wanted = [(row, name, "missing_field") for row, name in sorted(gone, key=places.index)]
    assert marks(refused(Records(rows), HOUSE)) == wanted


hostile = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["\ud800", "9" * 5000, 10**4000, "1e999", "true", "2024-05-17", " 1 ", "x" * 10_000]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@deterministic
@given(st.sampled_from(HOUSE.inputs), st.lists(hostile, min_size=MANY // 5, max_size=MANY // 2))
@example(HOUSE.inputs[0], [1e308] * MANY)
@example(HOUSE.inputs[0], ["1e308"] * MANY)
@example(HOUSE.inputs[1], [True] * MANY)
def test_a_value_is_converted_the_same_alone_and_in_a_column(field: Field, values: list[Any]) -> None:
    by = signature(field)
    rows = [{field.name: value} for value in values]
    alone = [outcome(Records([row]), by) for row in rows]
    together = outcome(Records(rows), by)
    if isinstance(together, Coerced):
        assert alone == [Coerced([row], None, []) for row in together.rows]
    else:
        wrong = [(row, refusal[0][2]) for row, refusal in enumerate(alone) if not isinstance(refusal, Coerced)]
        assert wrong == [(row, code) for row, _, code in together]


keys = st.sampled_from([*GOOD, "NOX", "key", "other"]) | st.text(max_size=5)
junk_rows = st.dictionaries(keys, hostile, max_size=8) | hostile


@deterministic
@given(
    st.lists(junk_rows, max_size=5).map(Records)
    | st.builds(
        Grid, st.none() | st.lists(keys, max_size=4), st.lists(st.lists(hostile, max_size=7) | hostile, max_size=5)
    )
)
def test_junk_ends_in_invalid_instances_with_short_messages(instances: Instances) -> None:
    coerced = outcome(instances, HOUSE)
    if not isinstance(coerced, Coerced):
        invalid = refused(instances, HOUSE)
        assert invalid.total == len(invalid.errors) > 0
        assert all(len(error.message.encode()) < 500 for error in invalid.errors)


@deterministic
@given(st.lists(junk_rows, min_size=1, max_size=30))
def test_the_errors_shown_are_the_first_of_all(rows: list[Any]) -> None:
    everything = outcome(Records(rows), HOUSE)
    if isinstance(everything, Coerced):
        return
    with patch.object(InvalidInstances, "SHOWN", 2):
        invalid = refused(Records(rows), HOUSE)
    assert (marks(invalid), invalid.total) == (everything[:2], len(everything))


@pytest.mark.parametrize("kind", [Kind.NUMBER, Kind.INTEGER])
@pytest.mark.parametrize(
    "text",
    [
        *("7", " 7\t", "-7", "+07", "7.0", ".7e1", "7_0", "\x1c7", "\u0667", "7\xa0", "", " ", "-", "--7", "7-", "0x7"),
        *("7n", "nan", "inf", "1e999", "9" * 5000, str(2**63), str(2**63 - 1)),
    ],
)
def test_a_number_in_text_is_read_the_same_alone_and_in_a_column(kind: Kind, text: str) -> None:
    conversion = Conversion.for_field(Field("a", kind))
    (alone,) = conversion.convert_each([text])
    converted = conversion.convert_bulk(["1"] * 20 + [text])
    assert converted is None or converted[-1] == alone
    assert converted is None or kind is Kind.NUMBER or set(map(type, converted)) == {int}
