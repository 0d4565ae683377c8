"""Tables as spreadsheets and people write them: each is read right, or refused or left as text with the reason."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from contract.model.signature import Kind
from trainer import recipes
from trainer.recipe import DataError
from trainer.tables.field_inference import infer_fields
from trainer.tables.training_rows import read, to_rows

ROWS = 100
DAY = date(2023, 1, 1)


def days(number: int) -> date:
    return DAY + timedelta(days=7 * number)


def moment(number: int) -> str:
    return f"{days(number)}T00:00:00+00:00"


def amount(number: int) -> float:
    return round(1000.25 + 91.37 * number, 2)


def euros(number: int) -> str:
    return f"{amount(number):,.2f}".translate(str.maketrans(",.", ".,"))


def cells(cell: Callable[[int], str], others: Sequence[str] = (), many: int = 0) -> list[str]:
    """Return a cell for each row; the first `many` of them are `others`."""
    return [others[n % len(others)] if n < many else cell(n) for n in range(ROWS)]


def learnt(folder: Path, column: Sequence[str], separator: str = ",") -> tuple[Kind | None, list[Any], str]:
    """Return the kind of the column x (None: left out), its values as they are learnt, and all remarks."""
    text = io.StringIO()
    table = csv.writer(text, delimiter=separator)
    table.writerow(["x", "spare", "y"])
    table.writerows([cell, n % 3, "ab"[n % 2]] for n, cell in enumerate(column))
    (folder / "t.csv").write_text(text.getvalue(), encoding="utf-8-sig")
    parsed = read(folder / "t.csv", "t.csv", lambda _: None)
    recipe, kept, remarks = infer_fields(recipes.get("tabular"), parsed, "y", None, None)
    first = recipe.fields[0][0]
    values = [row[0] for row in to_rows(recipe, kept).rows]
    return (first.kind, values, "; ".join(remarks)) if first.name == "x" else (None, [], "; ".join(remarks))


NUMBERS: dict[str, tuple[list[str], Callable[[int], float]]] = {
    "dollars": (cells(lambda n: f"${amount(n):,.2f}"), amount),
    "dollars, some without the sign": (cells(lambda n: f"${amount(n):,.2f}" if n > 5 else f"{amount(n)}"), amount),
    "losses in parentheses": (
        cells(lambda n: f"(${amount(n):,.2f})" if n % 2 else f" ${amount(n):,.2f} "),
        lambda n: -amount(n) if n % 2 else amount(n),
    ),
    "an account, with a dash for 0": (
        cells(lambda n: f" $   {amount(n):,.2f} " if n % 4 else " $ -   "),
        lambda n: amount(n) if n % 4 else 0.0,
    ),
    "euros before": (cells(lambda n: f"€ {euros(n)}"), amount),
    "euros behind": (cells(lambda n: f"{euros(n)} €"), amount),
    "crowns": (cells(lambda n: f"{euros(n)} kr".replace(".", "\u00a0")), amount),
    "francs": (cells(lambda n: f"CHF {amount(n):,.2f}".replace(",", "\u2019")), amount),
    "percent": (cells(lambda n: f"{n / 4}%"), lambda n: n / 4),
    "percent in German": (cells(lambda n: f"{n / 4} %".replace(".", ",")), lambda n: n / 4),
    "numbers in parentheses": (cells(lambda n: f"({n / 4})"), lambda n: -n / 4),
    "minus behind": (cells(lambda n: f"{n / 4}-" if n % 2 else f"{n / 4}"), lambda n: -n / 4 if n % 2 else n / 4),
    "minus of a typesetter": (cells(lambda n: f"\u2212{n / 4}"), lambda n: -n / 4),
    "kilograms": (cells(lambda n: f"{n} kg"), float),
    "kilograms, attached": (cells(lambda n: f"{n / 4}kg"), lambda n: n / 4),
    "days": (cells(lambda n: f"{n} day" if n == 1 else f"{n} days"), float),
    "square metres": (cells(lambda n: f"{n / 4} m²"), lambda n: n / 4),
    "speeds": (cells(lambda n: f"{n} km/h"), float),
    "apostrophes": (cells(lambda n: f"{7777 * (n + 1):,}".replace(",", "'")), lambda n: 7777.0 * (n + 1)),
    "spaces": (cells(lambda n: f"{7777 * (n + 1):,}".replace(",", " ")), lambda n: 7777.0 * (n + 1)),
    "thin spaces": (cells(lambda n: f"{7777 * (n + 1):,}".replace(",", "\u202f")), lambda n: 7777.0 * (n + 1)),
    "exponents": (cells(lambda n: f"{amount(n):.2E}"), lambda n: float(f"{amount(n):.2E}")),
}


@pytest.mark.parametrize("separator", [",", ";"])
@pytest.mark.parametrize("table", NUMBERS)
def test_numbers_are_read_as_they_are_meant_and_a_remark_says_how(tmp_path: Path, table: str, separator: str) -> None:
    column, number = NUMBERS[table]
    kind, values, remarks = learnt(tmp_path, column, separator)
    assert (kind, values) == (Kind.NUMBER, [number(n) for n in range(ROWS)])
    assert "x is read as numbers: " in remarks or table == "exponents"


DATES = {
    "with the month's name": cells(lambda n: f"{days(n):%d-%b-%Y}"),
    "with the month's name first": cells(lambda n: f"{days(n):%B %d, %Y}"),
    "of a statistics program": cells(lambda n: f"{days(n):%d%b%Y}".upper()),
    "in German": cells(lambda n: f"{days(n):%d.%m.%Y}"),
    "in American": cells(lambda n: f"{days(n):%m/%d/%Y}"),
}


@pytest.mark.parametrize("table", DATES)
def test_dates_are_read_if_their_order_is_certain(tmp_path: Path, table: str) -> None:
    assert learnt(tmp_path, DATES[table]) == (Kind.DATETIME, [moment(n) for n in range(ROWS)], "")


NEARLY: list[tuple[Callable[[int], str], list[str], int, Kind, Callable[[int], Any], str]] = [
    (lambda n: f"{n / 4}", ["#DIV/0!", "#N/A"], 8, Kind.NUMBER, lambda n: n / 4, "holds '#DIV/0!', '#N/A' in 8 rows"),
    (lambda n: f"${amount(n):,.2f}", ["tbd"], 10, Kind.NUMBER, amount, "10 of 100 rows do not fit ('tbd')"),
    (lambda n: f"{n} kg", ["5 lb", "7"], 6, Kind.NUMBER, float, "6 of 100 rows do not fit ('5 lb', '7')"),
    (lambda n: f"{n / 4} %", ["0.12"], 5, Kind.NUMBER, lambda n: n / 4, "5 of 100 rows do not fit ('0.12')"),
    (lambda n: f"{amount(n):,}", ["1,234*", "~5"], 6, Kind.NUMBER, amount, "6 of 100 rows do not fit ('1,234*', '~5')"),
    (lambda n: f"{days(n):%d.%m.%Y}", ["soon"], 7, Kind.DATETIME, moment, "7 of 100 rows do not fit ('soon')"),
    (lambda n: f"{days(n)}", ["31.02.2023"], 7, Kind.DATETIME, moment, "7 of 100 rows do not fit ('31.02.2023')"),
]


@pytest.mark.parametrize(("cell", "others", "many", "kind", "value", "said"), NEARLY)
def test_what_does_not_fit_a_column_of_nearly_one_kind_is_null_and_counted(
    tmp_path: Path, cell: Any, others: list[str], many: int, kind: Kind, value: Any, said: str
) -> None:
    inferred, values, remarks = learnt(tmp_path, cells(cell, others, many))
    assert (inferred, values) == (kind, [None] * many + [value(n) for n in range(many, ROWS)])
    assert said in remarks


NUMBERS_BUT = "{} of 100 rows are numbers{}, but not {}"
WORDS = {
    "codes that begin with 0": (cells(lambda n: f"{n % 50 * 17:05}"), "it has codes, such as '00000'"),
    "house numbers": (cells(lambda n: f"{n + 1}", ["5a", "7b"], 8), NUMBERS_BUT.format(92, "", "'5a', '7b'")),
    "codes with a letter": (cells(lambda n: f"{n % 50}A"), ""),
    "ranges": (cells(lambda n: f"{n % 50}-{n % 50 + 3}"), ""),
    "versions": (cells(lambda n: f"1.{n % 5}.{n % 50}"), ""),
    "addresses of machines": (cells(lambda n: f"10.0.{n % 5}.{n % 50}"), ""),
    "places": (cells(lambda n: f"48.{n:02}, 11.{n:02}"), ""),
    "telephones": (cells(lambda n: f"612 {345 + n} {678 - n}"), "it has codes, such as '612 345 678'"),
    "telephones abroad": (cells(lambda n: f"+49 {300 + n} 678 123"), ""),
    "days without a year": (cells(lambda n: f"{n % 28 + 1}-Jan"), ""),
    "hours": (cells(lambda n: f"{n % 12 + 1} PM"), ""),
    "thousands as k": (cells(lambda n: f"{n % 50}.5k"), ""),
    "two units": (
        cells(lambda n: f"{n // 2} {'lb' if n < 2 else 'kg' if n % 4 else 'g'}"),
        NUMBERS_BUT.format(74, " in kg", "'0 lb', '10 g', '12 g' and 22 more"),
    ),
    "shares and percent": (cells(lambda n: f"{n} %", ["0.12"], 30), NUMBERS_BUT.format(70, " in %", "'0.12'")),
    "percent in a few": (cells(lambda n: f"{n / 4}", ["3 %"], 30), NUMBERS_BUT.format(70, "", "'3 %'")),
    "years of two digits": (
        cells(lambda n: f"{days(n % 60):%d-%b-%y}"),
        "its dates have years of two digits; write four",
    ),
    "days and months first": (
        cells(lambda n: f"{days(n % 60):{'%d/%m/%Y' if n % 2 else '%m/%d/%Y'}}"),
        "some of its dates begin with the day and some with the month; write all alike",
    ),
}


@pytest.mark.parametrize("table", WORDS)
def test_what_may_be_no_number_or_date_stays_text_and_a_remark_says_why(tmp_path: Path, table: str) -> None:
    column, said = WORDS[table]
    assert learnt(tmp_path, column) == (Kind.STRING, column, f"x is taken for text: {said}" if said else "")


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (cells(lambda n: f"{n // 60:02}:{n % 60:02}"), "such as '00:00', which is neither a number nor a date"),
        (cells(lambda n: f"{days(n):%d.%m.%y}"), "its dates have years of two digits; write four"),
    ],
)
def test_a_column_that_is_left_out_is_not_said_to_be_useless_if_it_could_not_be_read(
    tmp_path: Path, column: list[str], said: str
) -> None:
    kind, _, remarks = learnt(tmp_path, column)
    assert kind is None and said in remarks and "cannot help" not in remarks


def test_a_title_above_the_header_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("Sales of 2024\n\nx,spare,y\n" + "1,2,3\n" * 30)
    with pytest.raises(DataError, match="row 1 below the header has 3 values instead of 1"):
        read(tmp_path / "t.csv", "t.csv", lambda _: None)


def target(folder: Path, column: Sequence[str]) -> tuple[Kind, list[Any], str]:
    lines = "".join(f'"{cell}",{n % 7}\n' for n, cell in enumerate(column))
    (folder / "t.csv").write_text(f"y,x\n{lines}", encoding="utf-8")
    parsed = read(folder / "t.csv", "t.csv", lambda _: None)
    recipe, kept, remarks = infer_fields(recipes.get("tabular"), parsed, "y", None, None)
    return recipe.fields[1].kind, list(to_rows(recipe, kept).targets), "; ".join(remarks)


def test_a_target_of_money_is_estimated_and_rows_with_an_error_in_it_are_left_out(tmp_path: Path) -> None:
    kind, values, remarks = target(tmp_path, cells(lambda n: f"${amount(n):,.2f}", ["#REF!"], 5))
    assert (kind, values) == (Kind.NUMBER, [amount(n) for n in range(5, ROWS)])
    assert "5 rows without y are left out; y is read as numbers: '$1,457.10' is 1457.10" in remarks


def test_a_target_of_few_words_with_a_number_keeps_them_as_classes(tmp_path: Path) -> None:
    for words in (["WAHR", "FALSCH"], ["1 day", "7 days", "30 days"]):
        assert target(tmp_path, cells(lambda n, words=words: words[n % len(words)]))[0] is Kind.STRING


def test_a_target_that_is_nearly_a_number_is_refused_with_what_is_not(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'y' is nearly always a number, but holds 'tbd'; correct the file"):
        target(tmp_path, cells(lambda n: f"${amount(n):,.2f}", ["tbd"], 5))
