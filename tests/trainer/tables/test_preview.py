"""A preview says of each column what a training would make of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract.settings import Settings
from contract.work.training import ColumnPreview, ColumnUse, Task, TrainingPreview, TrainingRequest
from tests.support import PROJECT
from trainer.recipe import DataError
from trainer.tables import preview as module
from trainer.tables.preview import preview

Preview = Callable[..., TrainingPreview]


@pytest.fixture
def of(tmp_path: Path) -> Preview:
    """Preview a CSV file with this text."""

    def made(text: str | bytes, **options: Any) -> TrainingPreview:
        (tmp_path / "table.csv").write_bytes(text.encode() if isinstance(text, str) else text)
        request = TrainingRequest("m", "tabular", path="table.csv", **options)
        shown = preview(request, Settings(data_dir=tmp_path))
        assert TrainingPreview.from_json(shown.to_json()) == shown
        return shown

    return made


def column(shown: TrainingPreview, name: str) -> ColumnPreview:
    (wanted,) = [column for column in shown.columns if column.name == name]
    return wanted


def table(rows: int = 40) -> str:
    lines = [f"{row},{row % 3},{'yes' if row % 2 else 'no'},2026-01-{row % 28 + 1:02},const" for row in range(rows)]
    return "\n".join(["id,grade,stays,day,same", *lines])


def test_the_churn_file_of_the_tutorial_is_understood_as_its_training_does() -> None:
    settings = Settings(data_dir=PROJECT / "docs" / "tutorial")
    shown = preview(TrainingRequest("churn", "tabular", path="churn.csv", target="stays"), settings)
    assert (shown.rows, shown.complete, shown.task, shown.problems) == (2000, True, Task.CLASSIFICATION, [])
    assert column(shown, "stays").use is ColumnUse.TARGET
    plan = column(shown, "plan")
    assert plan.kind == "string" and plan.categories and set(plan.samples) == set(plan.categories)
    assert column(shown, "customer").use is ColumnUse.IGNORED


def test_each_column_has_kind_use_and_samples(of: Preview) -> None:
    shown = of(table(), target="stays")
    assert {column_shown.name: (column_shown.use, column_shown.kind) for column_shown in shown.columns} == {
        "id": (ColumnUse.IGNORED, None),
        "grade": (ColumnUse.FEATURE, "integer"),
        "stays": (ColumnUse.TARGET, "string"),
        "day": (ColumnUse.FEATURE, "datetime"),
        "same": (ColumnUse.IGNORED, None),
    }
    assert column(shown, "grade").samples == ["0", "1", "2"]
    assert (column(shown, "day").different, column(shown, "day").nulls) == (28, 0)
    assert "it is const in every row" in column(shown, "same").remarks[0].replace("'", "")


def test_numbers_are_counted_in_ten_intervals_and_words_by_the_most_frequent(of: Preview) -> None:
    rows = "".join(f"{row};{row},5;{'ab' if row % 4 else 'c'};7;{'yes' if row % 2 else 'no'}\n" for row in range(101))
    shown = of("n;price;word;same;y\n" + 2 * rows, target="y")
    assert column(shown, "n").bounds == [0, 100]
    assert column(shown, "n").histogram == [20] * 9 + [22]
    assert column(shown, "price").bounds == [0.5, 100.5]
    assert column(shown, "word").bounds is None and column(shown, "word").samples == ["ab", "c"]
    assert column(shown, "word").histogram == [150, 52]
    assert (column(shown, "same").bounds, column(shown, "same").histogram) == (None, [202])
    assert column(shown, "y").histogram == [102, 100]


@pytest.mark.parametrize(
    ("least", "greatest"), [("-1.7e308", "1.7e308"), ("-5e-324", "5e-324"), ("0", "18446744073709551615")]
)
def test_the_widest_and_the_narrowest_range_of_numbers_are_counted(of: Preview, least: str, greatest: str) -> None:
    shown = of("n,y\n" + f"{least},a\n{greatest},b\n" * 20, target="y")
    histogram = column(shown, "n").histogram
    assert histogram and (histogram[0], histogram[-1], sum(histogram)) == (20, 20, 40)


@pytest.mark.parametrize(("header", "suggested"), [("a,target,b", "target"), ("Y,a,b", "Y"), ("a,b,c", "c")])
def test_a_target_is_suggested(of: Preview, header: str, suggested: str) -> None:
    assert of(header + "\n" + "1,2,3\n4,5,6\n" * 20).target == suggested


def test_a_column_that_cannot_be_a_target_is_not_suggested(of: Preview) -> None:
    rows = "".join(f"{row % 2},2026-01-{row % 28 + 1:02}\n" for row in range(40))
    shown = of("a,day\n" + rows)
    assert (shown.target, shown.task, shown.problems) == ("a", Task.CLASSIFICATION, [])


def test_neither_the_id_nor_a_date_is_suggested_as_target(of: Preview) -> None:
    assert of(table(), id_field="stays").target == "grade"
    rows = "".join(f"{row % 2},{row % 3},2026010{row % 9 + 1}\n" for row in range(40))
    assert of("a,b,day\n" + rows).target == "day"
    assert of("a,b,day\n" + rows, kinds={"day": "datetime"}).target == "b"


def test_a_number_with_many_values_is_regression(of: Preview) -> None:
    rows = "".join(f"{row % 2},{row / 7}\n" for row in range(40))
    assert of("a,price\n" + rows).task is Task.REGRESSION


def test_a_kind_that_does_not_fit_is_a_problem_of_its_column(of: Preview) -> None:
    shown = of(table(), target="grade", kinds={"stays": "number", "day": "string"})
    assert shown.problems == column(shown, "stays").remarks
    assert "'stays' cannot be read as number: it holds" in shown.problems[0]
    assert column(shown, "day").kind == "string"


def test_a_column_that_is_left_out_may_have_a_kind_that_does_not_fit(of: Preview) -> None:
    shown = of(table(), target="stays", features=["grade"], kinds={"day": "number"})
    assert shown.problems == [] and column(shown, "day").use is ColumnUse.IGNORED


def test_too_few_rows_are_a_problem_and_the_columns_are_shown_all_the_same(of: Preview) -> None:
    shown = of(table(5), target="stays")
    assert "learning needs at least 20" in shown.problems[0]
    assert column(shown, "grade").kind == "integer"


def test_features_and_id_are_as_asked(of: Preview) -> None:
    shown = of(table(), target="stays", features=["grade"], id_field="id")
    uses = {column_shown.name: column_shown.use for column_shown in shown.columns}
    assert (uses["grade"], uses["day"], uses["id"]) == (ColumnUse.FEATURE, ColumnUse.IGNORED, ColumnUse.ID)


def test_of_a_long_file_the_first_rows_are_read(of: Preview, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 100)
    shown = of(table(1000), target="stays")
    assert (shown.rows, shown.complete, shown.problems) == (100, False, [])


def test_a_file_that_is_cut_within_a_quoted_cell_is_read_up_to_there(
    of: Preview, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 10_000)
    text = "a,y\n" + "".join(f'"text {row}\nof two lines",{row % 2}\n' for row in range(2000))
    shown = of(text)
    assert not shown.complete and 100 <= shown.rows < 2000


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (b"\0\1", {}, "is not a CSV file"),
        ("a,b\n", {}, "has no rows"),
        ("a,b\n1,2\n1\n", {}, "has 1 values instead of 2"),
        ("a,b\n1,2\n", {"target": "c"}, "is not a column of the data"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_a_sentence(
    of: Preview, text: str | bytes, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        of(text, **options)


def test_a_file_of_very_many_columns_is_refused(of: Preview) -> None:
    wide = ",".join(f"c{number}" for number in range(module.MOST_COLUMNS + 1))
    with pytest.raises(DataError, match="has 10,001 columns; a preview is for up to 10,000"):
        of(f"{wide}\n{wide}\n")


def test_a_preview_needs_a_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="needs a CSV file"):
        preview(TrainingRequest("m", "tabular"), Settings(data_dir=tmp_path))
