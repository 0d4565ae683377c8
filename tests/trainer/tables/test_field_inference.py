"""Fields are inferred from a table's values, and useless columns are named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from contract.model.signature import Field, Format, Kind
from trainer import recipes
from trainer.recipe import DataError, Recipe, Table
from trainer.tables.field_inference import infer_fields

ROWS = 40


def inferred(columns: dict[str, Sequence[object]], target: str | None = "y", **options: Any) -> Any:
    """The recipe with its fields, the rows that are left, and the remarks; columns are repeated to `ROWS` rows."""
    columns = {"y": ["1.5", "2.5", "3.5"], **columns}
    full = [[values[row % len(values)] for values in columns.values()] for row in range(ROWS)]
    table = Table("file.csv", list(columns), full)
    recipe = recipes.get("tabular")
    return infer_fields(recipe, table, target, options.get("features"), options.get("id_field"), options.get("kinds"))


def field(values: Sequence[object], name: str = "x") -> Field:
    recipe: Recipe = inferred({name: values, "spare": ["1", "2"]})[0]
    (wanted,) = [f for f in recipe.fields[0] if f.name == name]
    return wanted


def remark(values: Sequence[object], name: str = "x") -> str:
    (only_remark,) = inferred({name: values, "spare": ["1", "2"]})[2]
    return str(only_remark)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "2", "3"], Kind.INTEGER),
        (["0", "1"], Kind.INTEGER),
        (["1.0", "2.0"], Kind.NUMBER),
        (["1", "2.5"], Kind.NUMBER),
        (["-1e3", "2"], Kind.NUMBER),
        ([str(1000 + 7 * n) for n in range(30)], Kind.NUMBER),
        (["true", "FALSE"], Kind.BOOLEAN),
        (["True", None], Kind.BOOLEAN),
        (["2024-01-05", "2023-12-31"], Kind.DATETIME),
        (["2024-01-05T10:00:00Z", "2023-12-31 11:30"], Kind.DATETIME),
        (["05/01/2024", "31/12/2023"], Kind.DATETIME),
        (["05/13/2024", "31/12/2023"], Kind.STRING),
        (["05/13/24", "05/12/23"], Kind.STRING),
        (["yes", "no"], Kind.STRING),
        (["01234", "99999"], Kind.STRING),
        (["1", "two"], Kind.STRING),
        (["1_000", "2"], Kind.STRING),
        ([1, 2, None], Kind.INTEGER),
        ([1.5, 2], Kind.NUMBER),
    ],
)
def test_a_column_has_the_narrowest_kind_that_all_its_values_fit(values: Sequence[object], kind: Kind) -> None:
    assert field(values).kind is kind


def test_a_column_is_nullable_if_it_was_null() -> None:
    assert field(["1", None]).nullable
    assert not field(["1", "2"]).nullable


def test_few_words_that_are_all_frequent_are_closed_and_others_are_open() -> None:
    assert field(["b", "a", None]).categories == ("a", "b")
    assert field([f"w{n % 9}" for n in range(ROWS)]).categories is None  # each in four rows


@pytest.mark.parametrize("stands_for_null", ["?", "-", "unknown", "N/A ", "inf", "#DIV/0!", "#NV", "\u2014"])
def test_a_cell_that_stands_for_nothing_among_numbers_is_null(stands_for_null: str) -> None:
    recipe, table, remarks = inferred({"x": ["1.5", "2.5", stands_for_null]})
    assert recipe.fields[0] == (Field("x", Kind.NUMBER, nullable=True),)
    assert [row[0] for row in table.rows[:3]] == ["1.5", "2.5", None]
    assert remarks == [f"x holds {stands_for_null!r} in 13 rows, taken for null: otherwise it is a number"]


def test_a_single_word_among_measures_is_null_and_among_whole_numbers_makes_them_text() -> None:
    assert remark([*(f"{n}.5" for n in range(ROWS - 1)), "abc"]) == (
        "x is read as numbers: 1 of 40 rows do not fit ('abc') and are null"
    )
    assert remark([*map(str, [*range(1, ROWS - 1), 1]), "5A"]) == (
        "x is taken for text: 39 of 40 rows are numbers, but not '5A'"
    )


def test_codes_with_a_leading_zero_are_not_numbers() -> None:
    assert remark([f"{n % 9:02}" for n in range(ROWS)]) == ("x is taken for text: it has codes, such as '00'")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["7"], "x is left out: it is '7' in every row"),
        ([None], "x is left out: it is null in every row"),
        ([f"LP{n:04}" for n in range(ROWS)], "x is left out: each row has a different value"),
        ([str(n) for n in range(ROWS)], "x is left out: each row has a different value"),
    ],
)
def test_a_useless_column_is_left_out_and_named(values: Sequence[object], said: str) -> None:
    assert remark(values).startswith(said)


def test_numbers_and_prose_that_differ_in_every_row_are_measures_and_prose() -> None:
    assert field([f"{n * n / 7:.3f}" for n in range(ROWS)]).kind is Kind.NUMBER
    assert field([str(n * n) for n in range(ROWS)]).kind is Kind.NUMBER
    assert field([f"a story of {n}" for n in range(ROWS)]).kind is Kind.STRING
    assert "left out" in remark([str(n * n) for n in range(ROWS)], name="customer_id")
    assert "left out" in remark([str(n * n) for n in range(ROWS)], name="customerId")
    assert field([str(n * n) for n in range(ROWS)], name="paid").kind is Kind.NUMBER


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["Y", "N"], Kind.STRING),
        (["true", "false"], Kind.BOOLEAN),
        (["0", "1", "2"], Kind.INTEGER),
        (["0.0", "1.0"], Kind.INTEGER),
        (["1.5", "2"], Kind.NUMBER),
        ([str(n) for n in range(30)], Kind.NUMBER),
    ],
)
def test_a_target_is_a_class_or_a_number(values: Sequence[object], kind: Kind) -> None:
    assert inferred({"x": ["1", "2"], "z": values}, "z")[0].fields[1] == Field("z", kind)


def test_names_are_found_in_any_case_and_features_narrow_the_inputs() -> None:
    recipe, table, _ = inferred(
        {"A": ["1", "2"], "b": ["3", "4"], "Key": ["k"], "": ["x", "y"]}, "Y", features=["a"], id_field="key"
    )
    assert [f.name for f in recipe.fields[0]] == ["A"]
    assert (recipe.fields[1].name, recipe.id_field, table.columns) == ("y", "Key", ["A", "y", "Key"])
    assert table.rows[0] == ["1", "1.5", "k"]


def test_rows_without_target_are_left_out_and_counted() -> None:
    _, table, remarks = inferred({"x": ["1", "2"], "z": ["a", "b", "a", None]}, "z")
    assert len(table.rows) == 30
    assert remarks == ["10 rows without z are left out"]


@pytest.mark.parametrize(
    ("columns", "options", "said"),
    [
        ({}, {"target": None}, "the recipe tabular needs a target: name one of 'y'"),
        (
            {"price": ["1", "2"]},
            {"target": "prize"},
            "target names 'prize', which is not a column of the data; did you me",
        ),
        (
            {"x": ["1", "2"]},
            {"features": ["q"]},
            "features names 'q', which is not a column of the data; there are 'y', 'x'",
        ),
        ({"x": ["1", "2"]}, {"id_field": "q"}, "id_field names 'q'"),
        ({"x": ["1"]}, {}, "file.csv has no column to predict 'y' from; x is left out"),
        (
            {"x": ["1", "2"], "z": ["a"]},
            {"target": "z"},
            "the target 'z' is 'a' in every row: there is nothing to predict",
        ),
        (
            {"x": ["1", "2"], "z": ["a", None, None]},
            {"target": "z"},
            "file.csv has 14 rows with a z; learning needs at",
        ),
        ({"x": ["1"], "z": [f"w{n}" for n in range(ROWS)]}, {"target": "z"}, "the target 'z' has 40 different words"),
        ({"x": ["1"], "z": ["2024-01-05", "2024-01-06"]}, {"target": "z"}, "the target 'z' is a date"),
        (
            {"x": ["1", "two"]},
            {"kinds": {"x": "number"}},
            "'x' cannot be read as number: it holds 'two'; choose",
        ),
        (
            {"x": ["1", "1.5"]},
            {"kinds": {"x": "integer"}},
            "'x' cannot be read as whole number (integer): it holds",
        ),
        ({"x": ["25.8.22"]}, {"kinds": {"x": "datetime"}}, "file.csv has no column to predict"),
        ({"x": ["1", "2"]}, {"kinds": {"q": "string"}}, "kinds names 'q', which is not a column of the data"),
        ({"x": ["1", "2"]}, {"kinds": {"x": "text"}}, "kinds says 'text' of 'x'; a kind is one of number, integer"),
        ({"x": ["1", "2"], "y": ["1", "?"]}, {"kinds": {"y": "number"}}, "the target 'y' holds '?'; correct the file"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(
    columns: dict[str, list[object]], options: dict[str, Any], said: str
) -> None:
    with pytest.raises(DataError) as refused:
        inferred(columns, options.pop("target", "y"), **options)
    assert str(refused.value).startswith(said)


def test_a_column_that_stands_twice_is_refused() -> None:
    with pytest.raises(DataError, match="the data have the column 'x' twice; rename one of them"):
        infer_fields(recipes.get("tabular"), Table("file.csv", ["x", "y", "x"], [["1", "2", "3"]]), "y", None, None)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["05/12/24", "05/13/2024"], "x is taken for text: its dates have years of two digits; write four"),
        (
            ["13/1/2024", "1/13/2024"],
            "x is taken for text: some of its dates begin with the day and some with the month",
        ),
        (
            ["1-2-2024", "3-4-2024"],
            "x holds dates that could begin with the day or with the month: the day",
        ),
        (["1/2/2024", "3/4/2024"], "x holds dates that could begin with the day or with the month: the month"),
    ],
)
def test_dates_that_are_in_doubt_have_a_remark(values: list[str], said: str) -> None:
    assert remark(values).startswith(said)


@pytest.mark.parametrize(
    ("values", "kind", "wanted"),
    [
        (["1", "2"], "string", Field("x", Kind.STRING, categories=("1", "2"))),
        (["1", "2"], "number", Field("x", Kind.NUMBER)),
        (["1", "?"], "integer", Field("x", Kind.INTEGER, nullable=True)),
        (["?", "red", ""], "string", Field("x", Kind.STRING, nullable=False, categories=("", "?", "red"))),
        (["0", "1"], "boolean", Field("x", Kind.BOOLEAN)),
        (["1/2/2011"], "datetime_day_first", None),
        (["1/2/2011", "NA"], "datetime", Field("x", Kind.DATETIME, nullable=True, format=Format.MONTH_FIRST)),
        ([f"{n:04}" for n in range(ROWS)], "string", Field("x", Kind.STRING)),
        ([str(n) for n in range(ROWS)], "number", Field("x", Kind.NUMBER)),
    ],
)
def test_a_column_has_the_kind_that_the_request_names(
    values: Sequence[object], kind: str, wanted: Field | None
) -> None:
    recipe = inferred({"x": values, "spare": ["1", "2"]}, kinds={"x": kind})[0]
    assert next((field for field in recipe.fields[0] if field.name == "x"), None) == wanted


def test_a_target_of_numbers_is_a_class_if_the_request_says_so() -> None:
    options = {"target": "z", "kinds": {"z": "string"}}
    assert inferred({"x": ["1", "2"], "z": ["10", "20", "30"]}, **options)[0].fields[1] == Field("z", Kind.STRING)
    options = {"target": "z", "kinds": {"z": "number"}}
    assert inferred({"x": ["1", "2"], "z": ["10", "20", "30"]}, **options)[0].fields[1] == Field("z", Kind.NUMBER)


def inferred_of_csv(columns: dict[str, Sequence[object]], separator: str | None = ",") -> Any:
    rows = [[values[row % len(values)] for values in columns.values()] for row in range(ROWS)]
    return infer_fields(
        recipes.get("tabular"), Table("file.csv", list(columns), rows, separator=separator), "y", None, None
    )


def test_na_among_codes_of_two_letters_is_a_word_and_another_null_word_is_said() -> None:
    columns = {"region": ["EU", "NA", "AS"], "plan": ["gold", "NA", "basic"], "y": ["1.5", "2.5"]}
    recipe, table, remarks = inferred_of_csv(columns)
    region, plan = recipe.inputs
    assert (region.categories, region.nullable, region.words) == (("AS", "EU", "NA"), False, ("NA",))
    assert (plan.categories, plan.nullable, plan.words) == (("basic", "gold"), True, ())
    assert remarks == ["plan holds 'NA' in 13 rows, taken for null"]
    assert table.rows[1][:2] == ["NA", None]


def test_a_file_with_nulls_of_its_own_has_no_words_for_them() -> None:
    (plan,) = inferred_of_csv({"plan": ["gold", "NA", None], "y": ["1.5", "2.5"]}, None)[0].inputs
    assert (plan.categories, plan.nullable, plan.words) == (("NA", "gold"), True, ("NA",))


def test_blanks_around_classes_are_left_out_and_classes_that_differ_by_case_are_said() -> None:
    recipe, table, remarks = inferred_of_csv({"a": ["1.5", "2.5", "3"], "y": ["yes", "yes ", "YES", "no"]})
    assert recipe.target.kind is Kind.STRING
    assert {row[1] for row in table.rows} == {"yes", "YES", "no"}
    assert remarks == [
        "blanks around the y of 10 rows are left out",
        "y has 'yes' (20 rows), 'YES' (10 rows), which differ by case alone and are classes of their own: correct the"
        " file",
    ]
