"""Training rows come from the right source, and an unusable file is refused in one sentence."""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import Any

import pytest

from contract.model.signature import Field, Kind
from tests.trainer.fitting import rows_of
from trainer import recipes
from trainer.recipe import DataError, Recipe, Table
from trainer.tables.field_inference import infer_fields
from trainer.tables.training_rows import TrainingRows, to_rows
from trainer.tables.training_rows import read as read_csv

RECIPE = Recipe(
    name="wine",
    inputs=(Field("alcohol", Kind.NUMBER, aliases=("Vol %",)), Field("grape", Kind.STRING, nullable=True)),
    target=Field("verdict", Kind.STRING, categories=("bad", "good")),
    fit=lambda X, y: None,
    data=lambda: Table("cellar", ("alcohol", "grape", "verdict"), [[12, "x", "good"]]),
    id_field="Bottle",
)
HEADER = "Bottle,alcohol,grape,verdict"


def read(tmp_path: Path, text: str | bytes, recipe: Recipe = RECIPE) -> TrainingRows:
    (tmp_path / "wine.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return rows_of(recipe, tmp_path)


def refusal(tmp_path: Path, text: str | bytes) -> str:
    with pytest.raises(DataError) as refused:
        read(tmp_path, text)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_file_gives_rows_targets_and_ids(tmp_path: Path) -> None:
    data = read(tmp_path, f"{HEADER}\nb1,12.5,riesling,good\nb2,11,,bad\n")
    assert [tuple(row) for row in data.rows] == [(12.5, "riesling"), (11.0, None)]
    assert data.targets == [1, 0]
    assert data.ids == ["b1", "b2"]


def test_a_header_may_have_any_case_and_order_and_more_columns(tmp_path: Path) -> None:
    data = read(tmp_path, "VERDICT, Grape ,year,vol %,BOTTLE\nbad,x,1999,12,7\n")
    assert [tuple(row) for row in data.rows] == [(12.0, "x")]
    assert data.ids == ["7"]


def test_ids_need_not_be_there(tmp_path: Path) -> None:
    assert read(tmp_path, "alcohol,grape,verdict\n12,x,good\n").ids is None


def test_a_byte_order_mark_windows_line_ends_and_blank_lines_do_no_harm(tmp_path: Path) -> None:
    data = read(tmp_path, codecs.BOM_UTF8 + b"alcohol,grape,verdict\r\n12,x,good\r\n\r\n")
    assert [tuple(row) for row in data.rows] == [(12.0, "x")]


@pytest.mark.parametrize("cell", ["", "NA", "NaN", "null"])
def test_cells_that_stand_for_nothing_are_null(tmp_path: Path, cell: str) -> None:
    assert read(tmp_path, f"{HEADER}\nb1,12,{cell},good\n").rows[0][1] is None


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    said = refusal(tmp_path, "Bottle,alcohol,verdict\nb1,12,good\nb2,12,good\n")
    assert said.startswith("DATA_DIR/wine.csv: 'grape' is missing")


def test_a_column_given_twice_is_refused(tmp_path: Path) -> None:
    assert "'alcohol' is given more than once" in refusal(tmp_path, "alcohol,Alcohol,grape,verdict\n1,2,x,good\n")


def test_a_wrong_cell_is_named_with_its_row(tmp_path: Path) -> None:
    said = refusal(tmp_path, f"{HEADER}\nb1,12,x,good\nb2,strong,x,good\nb3,weak,x,good\n")
    assert "row 2 below the header: 'alcohol' must be a finite number; it is 'strong' (and 1 more" in said


def test_a_null_in_a_column_that_is_not_nullable_is_refused(tmp_path: Path) -> None:
    assert "'alcohol' must be a finite number; it is null" in refusal(tmp_path, f"{HEADER}\nb1,,x,good\n")


def test_a_row_without_target_is_refused(tmp_path: Path) -> None:
    assert "'verdict' must be one of 'bad', 'good'; it is null" in refusal(tmp_path, f"{HEADER}\nb1,1,x,\n")


def test_a_short_row_is_refused(tmp_path: Path) -> None:
    assert "row 1" in refusal(tmp_path, f"{HEADER}\nb1,12\n")


@pytest.mark.parametrize("text", ["", "\n", HEADER, f"{HEADER}\n"])
def test_a_file_without_rows_is_refused_with_the_columns_it_needs(tmp_path: Path, text: str) -> None:
    said = refusal(tmp_path, text)
    assert said == "DATA_DIR/wine.csv has no rows; it needs a header and rows with alcohol, grape, verdict"


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    assert "is not a CSV file (it is binary)" in refusal(tmp_path, b"PK\x03\x04\xff\xfe\x00")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "wine.csv").mkdir()
    with pytest.raises(DataError, match=r"DATA_DIR/wine\.csv cannot be read \(Is a directory\)"):
        rows_of(RECIPE, tmp_path)


def test_the_folder_goes_before_the_recipes_own_data(tmp_path: Path) -> None:
    assert rows_of(RECIPE, tmp_path).source == "cellar"
    assert read(tmp_path, f"{HEADER}\nb1,2,x,good\n").source == "DATA_DIR/wine.csv"
    assert rows_of(RECIPE, None).source == "cellar"


def test_a_data_dir_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        rows_of(RECIPE, tmp_path / "nowhere")


def test_a_recipe_without_data_names_the_file_it_needs() -> None:
    with pytest.raises(DataError, match=r"put wine\.csv into DATA_DIR; it needs a header and rows with alcohol"):
        rows_of(Recipe("wine", RECIPE.inputs, RECIPE.target, RECIPE.fit), None)


@pytest.mark.parametrize(
    "same", ["verdict,grape,alcohol,Bottle\ngood,x,12.0,b9\n", f"{HEADER},more\nb1,1.2e1,x,good,5\n"]
)
def test_a_fingerprint_depends_on_the_values_and_not_on_how_they_are_written(tmp_path: Path, same: str) -> None:
    first = read(tmp_path, f"{HEADER}\nb1,12,x,good\n").fingerprint
    assert re.fullmatch("[0-9a-f]{64}", first)
    assert read(tmp_path, same).fingerprint == first
    assert read(tmp_path, f"{HEADER}\nb1,13,x,good\n").fingerprint != first
    assert read(tmp_path, f"{HEADER}\nb1,12,x,bad\n").fingerprint != first


def test_numbers_of_the_target_are_not_changed(tmp_path: Path) -> None:
    recipe = Recipe("wine", RECIPE.inputs, Field("price", Kind.NUMBER), RECIPE.fit)
    data: Any = read(tmp_path, "alcohol,grape,PRICE\n12,x,9.5\n", recipe)
    assert data.targets == [9.5]


def table(tmp_path: Path, text: str | bytes) -> Table:
    (tmp_path / "t.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_csv(tmp_path / "t.csv", "t.csv", lambda _: None)


@pytest.mark.parametrize(("separator", "word"), [(";", "a semicolon"), ("\t", "a tab"), ("|", "a vertical bar")])
def test_other_separators_are_understood_and_named(tmp_path: Path, separator: str, word: str) -> None:
    parsed = table(tmp_path, "a|b|c\n1,5|x, y|2\n2|z|3,25\n|z|-1\n".replace("|", separator))
    assert (parsed.columns, parsed.rows[0], parsed.rows[2]) == (
        ["a", "b", "c"],
        ["1,5", "x, y", "2"],
        [None, "z", "-1"],
    )
    assert parsed.remarks == [f"the columns of t.csv are separated by {word}"]


def test_a_first_line_that_names_the_separator_is_no_header(tmp_path: Path) -> None:
    parsed = table(tmp_path, "sep=;\r\na,b;c\r\n1;2\r\n")
    assert (parsed.columns, parsed.rows) == (["a,b", "c"], [["1", "2"]])


@pytest.mark.parametrize(("separator", "cell"), [(",", '"0,123"'), (",", '"-00,123"'), (";", "0.123,5")])
def test_a_zero_begins_no_group_of_thousands(tmp_path: Path, separator: str, cell: str) -> None:
    rows = [f"{number}{separator}{cell if number % 2 else 7}" for number in range(40)]
    parsed = table(tmp_path, "\n".join([f"y{separator}much", *rows]))
    known, *_ = infer_fields(recipes.get("tabular"), parsed, "y", None, None)
    assert [field.kind for field in known.fields[0]] == [Kind.STRING]


@pytest.mark.parametrize(
    ("separator", "cells", "numbers", "said"),
    [
        (";", ["1.234,5", "-", "0,25", "12"], [1234.5, None, 0.25, 12.0], "'1.234,5' is 1234.5"),
        (";", ["1,5E+03", "2,25", "", "7"], [1500.0, 2.25, None, 7.0], "'1,5E+03' is 1.5E+03"),
        (";", ["1,234.5", "12", "1,234,567", "0.5"], [1234.5, 12.0, 1234567.0, 0.5], "'1,234.5' is 1234.5"),
        (",", ['"1,234"', "12", '"-1,234,567.25"', "?"], [1234.0, 12.0, -1234567.25, None], "'1,234' is 1234"),
        (";", ["1,234", "12", "0,250", "3"], [1.234, 12.0, 0.25, 3.0], "'1,234' is 1.234"),
    ],
)
def test_commas_in_numbers_are_understood_and_named(
    tmp_path: Path, separator: str, cells: list[str], numbers: list[float | None], said: str
) -> None:
    rows = [f"{n}{separator}{cell}" for n, cell in enumerate(cells * 10)]
    parsed = table(tmp_path, "\n".join([f"y{separator}much", *rows]))
    known, kept, remarks = infer_fields(recipes.get("tabular"), parsed, "y", None, None)
    assert [row[0] for row in to_rows(known, kept).rows[: len(cells)]] == numbers
    assert f"much is read as numbers: {said}" in remarks


def test_commas_in_text_stay(tmp_path: Path) -> None:
    parsed = table(tmp_path, "a,b,c,y\n" + '"1,2","1,23","x,y",0\n"1,234,5","2,5","12,5",1\n' * 10)
    known, kept, _ = infer_fields(recipes.get("tabular"), parsed, "y", None, None)
    assert [tuple(row) for row in to_rows(known, kept).rows[:2]] == [("1,2", "1,23", "x,y"), ("1,234,5", "2,5", "12,5")]


@pytest.mark.parametrize("head", ['"the\nname";b\n', '\n \n"the\nname";b\n', '"the\nname";"b, c"\n'])
def test_the_separator_is_that_of_the_header_however_many_lines_it_takes(tmp_path: Path, head: str) -> None:
    (tmp_path / "t.csv").write_text(head.replace(" \n", "\n") + "1;2\n")
    parsed = read_csv(tmp_path / "t.csv", "t", lambda _: None)
    assert (parsed.columns[0], len(parsed.columns), parsed.rows) == ("the\nname", 2, [["1", "2"]])


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_quotation_mark_that_is_left_open_swallows_no_rows(tmp_path: Path, end: str) -> None:
    (tmp_path / "t.csv").write_text('a,b\n1,x\n2,"y\n3,z\n4,x' + end)
    with pytest.raises(DataError, match=r"the quotation mark before 'y.n3,z.n4,x.*' is not closed"):
        read_csv(tmp_path / "t.csv", "t", lambda _: None)


def test_a_cell_may_be_long_and_a_header_wide(tmp_path: Path) -> None:
    wide = ",".join(f"column number {n}" for n in range(10_000))
    (tmp_path / "t.csv").write_text(f"{wide}\n{'x' * 200_000}{',1' * 9_999}\n")
    parsed = read_csv(tmp_path / "t.csv", "t", lambda _: None)
    assert (len(parsed.columns), len(str(parsed.rows[0][0]))) == (10_000, 200_000)


def test_a_semicolon_within_a_cell_is_no_separator(tmp_path: Path) -> None:
    parsed = table(tmp_path, 'a,"b;c;d"\n1,"x, y"\n')
    assert (parsed.columns, parsed.rows, parsed.remarks) == (["a", "b;c;d"], [["1", "x, y"]], [])


@pytest.mark.parametrize(("more", "name"), [(b"\x80", "Windows-1252"), (b"\x81", "Latin-1")])
def test_text_that_is_not_utf_8_is_read_as_windows_1252_with_a_remark(tmp_path: Path, more: bytes, name: str) -> None:
    parsed = table(tmp_path, "stadt,n\nKöln,".encode("cp1252") + more + b"\n")
    assert parsed.rows[0][0] == "Köln"
    assert parsed.remarks == [f"t.csv is not in UTF-8 and was read as {name}; check its accented letters"]


def test_a_spreadsheets_unicode_text_is_read(tmp_path: Path) -> None:
    assert table(tmp_path, "stadt\tn\r\nKöln\t1\r\n".encode("utf-16")).rows == [["Köln", "1"]]


def test_blanks_after_a_separator_do_not_count(tmp_path: Path) -> None:
    assert table(tmp_path, "a, b\n1, x\n").rows == [["1", "x"]]


def test_reading_a_file_reports_its_progress(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n" + "1,x\n" * 12_000)
    told: list[float] = []
    parsed = read_csv(tmp_path / "t.csv", "t.csv", told.append)
    assert (len(parsed.rows), len(told), told[-1]) == (12_000, 3, 1.0)
    assert told == sorted(told)
    assert parsed.rows[0][1] is parsed.rows[-1][1]
