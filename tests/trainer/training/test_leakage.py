"""Columns that predict nearly all of the target are named, alone or in pairs; merely strong ones are not."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from sklearn import datasets

from contract.model.signature import Field, Kind
from tests.support import numbers
from trainer.report.evidence import Leak
from trainer.training.leakage import MOST_LEAKS, leaks, question

ROWS = 400
DRAW = np.random.default_rng(0)
A, B, NOISE = DRAW.uniform(1, 9, ROWS), DRAW.uniform(1, 9, ROWS), DRAW.normal(0, 1, ROWS)
CLASS = (A + NOISE > 5).astype(int)


def found(columns: Mapping[str, Any], target: Any, kinds: Mapping[str, Kind] | None = None) -> list[Leak]:
    """Whole numbers and words as target are classes."""
    fields = [Field(name, (kinds or {}).get(name, Kind.NUMBER)) for name in columns]
    rows = list(zip(*(np.asarray(c).tolist() for c in columns.values()), strict=True))
    return leaks(rows, np.asarray(target), fields, "z", np.asarray(target).dtype.kind != "f")


def names(leaks: Sequence[Leak]) -> list[tuple[str, ...]]:
    return [tuple(leak.columns) for leak in leaks]


@pytest.mark.parametrize(
    ("kind", "column"),
    [
        (Kind.STRING, np.where(CLASS, "yes", "no")),
        (Kind.STRING, [f"{'left' if c else 'stays'} {n % 3}" for n, c in enumerate(CLASS)]),
        (Kind.BOOLEAN, CLASS == 0),
        (Kind.NUMBER, np.where(CLASS, 7.5, -1e200)),
        (Kind.NUMBER, [float(n) if c else None for n, c in enumerate(CLASS)]),
        (Kind.DATETIME, ["2024-01-01T00:00:00Z" if c else None for c in CLASS]),
    ],
)
def test_the_class_itself_is_recognised_in_any_encoding(kind: Kind, column: Any) -> None:
    (leak,) = found({"a": A, "copy": column}, CLASS, {"copy": kind})
    assert leak.columns == ["copy"]
    assert leak.sentence == (
        "'copy' alone predicts 'z' in 100.0 % of 400 rows: if it is only known afterwards, leave it out of `features`"
    )


@pytest.mark.parametrize("column", [3 * A - 2, -A, np.log(A), np.exp(A)])
def test_a_number_is_recognised_in_another_unit_or_scale(column: Any) -> None:
    assert names(found({"b": B, "copy": column}, A))[0] == ("copy",)


@pytest.mark.parametrize(
    ("how", "target"), [("sum", A + B), ("sum", A - B), ("sum", 2 * A + B / 3), ("product", A * B), ("quotient", A / B)]
)
def test_two_columns_that_make_the_target_together_are_named(how: str, target: Any) -> None:
    (leak,) = found({"a": A, "noise": NOISE, "b": B}, target)
    assert tuple(leak.columns) == ("a", "b")
    assert re.match(rf"the {how}( or difference)? of 'a' and 'b' predicts 'z' with an R² of 1.000 of", leak.sentence)


def test_two_columns_whose_difference_decides_are_named() -> None:
    paid, due = np.random.default_rng(1).integers(1, 20, (2, 1000)) * 1.0
    (leak,) = found({"paid": paid, "due": due}, np.where(paid >= due, "settled", "open"))
    assert tuple(leak.columns) == ("paid", "due")


def test_rare_classes_are_examined_too() -> None:
    rare = np.zeros(20_000, dtype=int)
    rare[::500] = 1
    (leak,) = found({"a": np.arange(20_000.0) % 7, "refund": rare * 12.5}, rare)
    assert leak.columns == ["refund"]


def test_only_a_few_are_named() -> None:
    assert len(found({f"copy{n}": CLASS * (n + 1.0) for n in range(9)}, CLASS)) == MOST_LEAKS


@pytest.mark.parametrize("name", ["iris", "breast_cancer", "diabetes"])
def test_strong_columns_of_real_tables_raise_no_alarm(name: str) -> None:
    data = getattr(datasets, f"load_{name}")()
    inputs = numbers(*map(str, data.feature_names))
    assert leaks(data.data.tolist(), data.target, inputs, "target", name != "diabetes") == []


def test_few_rows_or_one_class_give_no_leaks() -> None:
    assert found({"copy": CLASS[:40]}, CLASS[:40]) == []
    assert found({"copy": CLASS}, np.zeros(ROWS, dtype=int)) == []
    assert found({"copy": A[:45]}, A[:45]) == []


@pytest.mark.parametrize(
    ("metrics", "rows", "doubted"),
    [
        ({"accuracy": 1.0, "baseline_accuracy": 0.6}, 223, True),
        ({"accuracy": 1.0, "baseline_accuracy": 0.4}, 45, False),
        ({"accuracy": 0.98, "baseline_accuracy": 0.1}, 450, False),
        ({"accuracy": 0.9999, "baseline_accuracy": 0.997}, 5000, False),
        ({"r2": 0.9999}, 100, True),
        ({"r2": 0.98}, 10_000, False),
        ({"r2": 1.0}, 12, False),
        ({"training_accuracy": 1.0}, 1000, False),
    ],
)
def test_nearly_perfect_metrics_are_questioned_unless_they_may_be_luck(
    metrics: dict[str, float], rows: int, doubted: bool
) -> None:
    remark = question(metrics, rows)
    assert (remark is not None) == doubted
    assert not doubted or "which is nearly perfect: is every column known before the prediction" in str(remark)
