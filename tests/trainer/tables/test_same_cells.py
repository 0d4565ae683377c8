"""Training and serving read the cells of a file alike: a training file can be scored."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from contract.errors import InvalidInstances
from contract.model.manifest import ModelManifest
from contract.model.signature import Field, Format, Kind, Output, OutputKind, Signature
from contract.row import Row
from contract.rows.coercion import coerce
from contract.rows.instances import Coerced, Records
from contract.work.training_columns import MAX_ERRORS, resolve_columns
from gateway.protocols import csv_rows
from tests.support import write_version
from trainer import recipes
from trainer.tables.field_inference import infer_fields
from trainer.tables.training_rows import read, to_rows

ROWS = 40


def learnt(folder: Path, data: bytes, **kinds: str) -> tuple[Sequence[Row], Signature, list[str]]:
    """Return the training rows of the file, the signature, and the remarks. `y` is the target."""
    (folder / "t.csv").write_bytes(data)
    file_table = read(folder / "t.csv", "t.csv", lambda _: None)
    recipe, table, remarks = infer_fields(recipes.get("tabular"), file_table, "y", None, None, kinds)
    signature = Signature(recipe.fields[0], (Output(OutputKind.NUMBER),))
    return to_rows(recipe, table).rows, signature, [*file_table.remarks, *remarks]


def scored(data: bytes, signature: Signature) -> Coerced:
    return coerce(csv_rows.read(data), signature, "y")


def file(cells: Sequence[str], separator: str = ",", head: str = "") -> str:
    """Return a file with these cells, repeated, as column `x`, a spare column and the target."""
    lines = [separator.join((cells[n % len(cells)], str(n % 3), "ab"[n % 2])) for n in range(ROWS)]
    return head + separator.join(("x", "spare", "y")) + "\n" + "\n".join(lines) + "\n"


TELCO = ["29.85", '" "', "1889.5", " ", "108.15", ""]

CELLS = {
    "blanks": file(TELCO),
    "null words among numbers": file(["1.5", "?", "NA", "-", "n/a", "inf", "Unknown", "2"]),
    "null words among texts": file(["red", "None", "NULL", "blue"]),
    "a word that is null among numbers only": file(["red", "?", "blue"]),
    "numbers in quotes": file(['"1.5"', '"2"', '"-3e2"']),
    "thousands": file(['"1,212.5"', "12", '"1,234,567"']),
    "decimal commas": file(["1.212,5", "12", "0,25", "-"], ";"),
    "decimal commas in a table of tabs": file(["1,5", "12", "NA"], "\t"),
    "bars": file(["1.5", "12", ""], "|"),
    "a named separator": file(["1,5", "12"], ";", "sep=;\n"),
    "booleans": file(["true", "FALSE", "?"]),
    "lists": file(['"1,2"', '"1,23"', '"3,4"']),
    "codes": file(["01", "02", "10"]),
    "codes with commas": file(["01", "2,5", "3,5"], ";"),
    "dates": file(["25.08.2022", "1.9.2022", "NA"]),
    "dates of both kinds": file(["25/08/2022", "2022-09-01", "01/02/2022 13:45"]),
    "dates that begin with the month": file(["1/1/2011 0:00", "12/31/2012 11:30 PM"]),
    "dates that begin with the year": file(["2022/08/25", "2022/9/1 7:05:00.25"]),
    "dates in doubt": file(["1/2/2011", "3/4/2012"]),
    "dates with the month's name": file(["25-Aug-2022", '"Sep 1, 2022"', "3. Mai 2022 13:45", "2022-09-01"]),
    "money": file(['"$1,234.56"', "($7)", "-$0.5", "12", " $ -   "]),
    "money with decimal commas between commas": file(['"€ 1.234,56"', '"-0,5 €"', "€ 7"]),
    "percent": file(["12.5%", "-3 %", "(4%)", "#DIV/0!"]),
    "a unit": file(["5 kg", "1'234.5 kg", "7kg", "12- kg"]),
    "signs": file(["(3.2)", "12-", "\u22125", "+1"]),
    "spaces between thousands": file(["1 234", "12 345 678", "1\u202f234,5", "7"], ";"),
    "booleans of a spreadsheet": file(["WAHR", "FALSCH", ""]),
    "several lines in quotes": file(['"a\nb"', '"c"']),
}
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "cp1252"]


@pytest.mark.parametrize("text", CELLS.values(), ids=CELLS)
def test_the_same_cells_mean_the_same(tmp_path: Path, text: str) -> None:
    rows, signature, _ = learnt(tmp_path, text.encode())
    assert scored(text.encode(), signature).rows == [tuple(row) for row in rows]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_same_bytes_are_the_same_letters(tmp_path: Path, encoding: str) -> None:
    data = file(["Köln", "München", "Zürich"]).encode(encoding)
    rows, signature, _ = learnt(tmp_path, data)
    coerced = scored(data, signature)
    assert coerced.rows == [tuple(row) for row in rows] and rows[0][0] == "Köln"
    assert any("Windows-1252" in warning for warning in coerced.warnings) == (encoding == "cp1252")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (CELLS["decimal commas"], Format.DECIMAL_COMMA),
        (CELLS["thousands"], Format.THOUSANDS_COMMA),
        (CELLS["dates"], Format.DAY_FIRST),
        (CELLS["dates that begin with the month"], Format.MONTH_FIRST),
        (CELLS["dates that begin with the year"], Format.YEAR_FIRST),
        (CELLS["dates with the month's name"], Format.MONTH_NAMED),
        (CELLS["money with decimal commas between commas"], Format.DECIMAL_COMMA),
        (CELLS["blanks"], None),
    ],
)
def test_a_signature_remembers_how_the_file_was_written(tmp_path: Path, text: str, written: Format | None) -> None:
    _, signature, _ = learnt(tmp_path, text.encode())
    assert signature.inputs[0].format is written
    manifest = write_version(tmp_path, "m", None, signature.inputs)
    assert ModelManifest.loads(manifest.dumps()).signature == signature


def test_a_row_alone_has_the_same_meaning_as_among_others(tmp_path: Path) -> None:
    rows, signature, _ = learnt(tmp_path, file(["1.212,5", "1.212"], ";").encode())
    assert (rows[1][0], scored(b"x;spare\n1.212;0\n", signature).rows[0][0]) == (1212.0, 1212.0)
    # Commas between columns: another way of writing, where 1.212 is a little more than one.
    assert scored(b"x,spare\n1.212,0\n", signature).rows[0][0] == 1.212
    # So it is beside a number that no column with decimal commas could hold.
    assert [row[0] for row in scored(b"x;spare\n1.212;0\n2.5;0\n", signature).rows] == [1.212, 2.5]


def test_a_date_of_the_file_is_understood_in_json_too(tmp_path: Path) -> None:
    _, signature, _ = learnt(tmp_path, CELLS["dates"].encode())
    for text in ("3.4.2022", "2022-04-03"):
        assert coerce(Records([{"x": text, "spare": 0}]), signature).rows == [("2022-04-03T00:00:00+00:00", 0)]
    with pytest.raises(InvalidInstances, match=r"'x' must be a date as '17.5.2024', the day first, or in ISO 8601"):
        coerce(Records([{"x": "4/31/2022", "spare": 0}]), signature)


@pytest.mark.parametrize("unit", ["$", "%", "kg"])
def test_a_number_with_its_unit_is_understood_wherever_text_is_sent_and_another_unit_is_refused(
    tmp_path: Path, unit: str
) -> None:
    _, signature, _ = learnt(tmp_path, file([f"{n}.5 {unit}" for n in range(ROWS)]).encode())
    for value in (12.5, "12.5", f"12.5{unit}", f"12.5 {unit}"):
        assert coerce(Records([{"x": value, "spare": 0}]), signature).rows == [(12.5, 0)]
    assert scored(f"x,spare\n-12.5 {unit},0\n".encode(), signature).rows == [(-12.5, 0)]
    for instances in (Records([{"x": "12 lb", "spare": 0}]), csv_rows.read(b"x,spare\n12 lb,0\n")):
        with pytest.raises(InvalidInstances) as refused:
            coerce(instances, signature)
        assert str(refused.value.errors[0].message) == (
            f"'x' must be a finite number, alone or with '{unit}'; it is '12 lb'"
        )


def test_a_signature_remembers_the_unit_and_is_written_as_before_without_one(tmp_path: Path) -> None:
    _, signature, _ = learnt(tmp_path, CELLS["a unit"].encode())
    manifest = write_version(tmp_path, "m", None, signature.inputs)
    assert [field.unit for field in ModelManifest.loads(manifest.dumps()).signature.inputs] == ["kg", None]
    assert manifest.dumps().count('"unit"') == 1


def test_a_text_beside_numbers_does_not_give_them_a_decimal_comma(tmp_path: Path) -> None:
    _, signature, _ = learnt(tmp_path, file(["1.212", "2.5", "3.25"], ";").encode())
    body = b"x;spare\n1.212;0\nn/a, see below;0\n"
    assert coerce(csv_rows.read(body), signature, lenient=True).rows == [(1.212, 0)]


def test_an_ambiguous_date_is_reported_and_kinds_decides(tmp_path: Path) -> None:
    data = CELLS["dates in doubt"].encode()
    rows, _, remarks = learnt(tmp_path, data)
    assert rows[0][0] == "2011-01-02T00:00:00+00:00"
    assert remarks == [
        "x holds dates that could begin with the day or with the month: the month was assumed;"
        " kinds says otherwise (datetime_day_first)"
    ]
    rows, signature, remarks = learnt(tmp_path, data, x="datetime_day_first")
    assert (rows[0][0], remarks) == ("2011-02-01T00:00:00+00:00", [])
    assert scored(data, signature).rows == [tuple(row) for row in rows]


def test_the_target_in_a_request_is_ignored_with_a_warning_that_says_so(tmp_path: Path) -> None:
    _, signature, _ = learnt(tmp_path, CELLS["blanks"].encode())
    assert scored(CELLS["blanks"].encode(), signature).warnings == [
        "ignored columns that are not inputs of the model: 'y'; 'y' is the target"
    ]


def test_a_header_in_another_case_is_understood(tmp_path: Path) -> None:
    _, signature, _ = learnt(tmp_path, CELLS["blanks"].encode())
    assert scored(b"X,SPARE\n1.5,0\n", signature).rows == [(1.5, 0)]


def test_a_null_word_that_is_a_category_is_not_null() -> None:
    signature = Signature((Field("x", Kind.STRING, True, ("None", "red")),), (Output(OutputKind.NUMBER),))
    assert coerce(csv_rows.read(b"x\nNone\nNA\nred\n"), signature).rows == [("None",), (None,), ("red",)]


def test_files_of_many_shapes_are_read_alike_in_training_and_serving(tmp_path: Path) -> None:
    draw = random.Random(1)
    for number in range(150):
        separator = draw.choice(",;\t|")
        kinds = {name: [cell for cell in cells if separator not in cell] for name, cells in MESSY.items()}
        names = draw.sample(sorted(kinds), 3)
        lines = [separator.join([*names, "y"])]
        lines += [separator.join([*(draw.choice(kinds[name]) for name in names), "ab"[n % 2]]) for n in range(ROWS)]
        data = "\r\n".join(lines).encode(draw.choice(["utf-8-sig", "utf-16", "cp1252"]))
        rows, signature, _ = learnt(tmp_path, data)
        assert scored(data, signature).rows == [tuple(row) for row in rows], (number, lines[:5])


def test_long_cells_and_many_names_take_no_time(tmp_path: Path) -> None:
    """Quadratic time would not end."""
    long = "1" * 300_000
    _, signature, _ = learnt(tmp_path, CELLS["decimal commas"].encode())
    with pytest.raises(InvalidInstances, match="must be a finite number"):
        scored(f"x;spare\n{long}x;0\n1,5;{long}\n".encode(), signature)
    header = [f"a{n}" for n in range(20_000)]
    kinds = dict.fromkeys((f"b{n}" for n in range(10_000)), "string")
    assert len(resolve_columns(header, "y", [f"c{n}" for n in range(10_000)], None, kinds)[1]) == MAX_ERRORS


def test_similar_names_are_compared_for_a_bounded_time() -> None:
    header = ["y", *(f"{'ab' * 30}{n:03}" for n in range(200))]
    _, errors = resolve_columns(header, "y", [f"{'ba' * 30}{n:03}" for n in range(MAX_ERRORS)], None, {})
    hints = ["did you mean" in error.message for error in errors]
    assert hints[0]
    assert not hints[-1]


MESSY = {
    "price": ["1,5", "1.212", "12", "", "1.000,25", "-"],
    "rate": ["0.5", "1", "NA", "1e-3", " 7", "?"],
    "city": ["Köln", "NA", " ", "Paris", "None", "x y"],
    "when": ["25.08.2022", "1.2.2023", "", "31.12.2021 23:59"],
    "us": ["8/25/2022", "1/2/2023", "NA", "2022-01-01"],
    "flag": ["true", "False", "unknown", ""],
    "code": ["007", "12", "1.5", ""],
    "big": ["1,234", "1,234,567.5", "12", "n/a"],
    "paid": ["$1,234.50", "($3)", "$ -", ""],
    "share": ["12%", "-3.5 %", "#DIV/0!"],
    "mass": ["5 kg", "1 234 kg", "7kg"],
    "month": ["25-Aug-2022", "1 Sep 2022", "Jan 3 2021"],
}
