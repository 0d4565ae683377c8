"""Intervals of metrics cover what they promise, and are missing where nothing shows how wide they are."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from contract.model.signature import Output, OutputKind
from trainer.report.classification import wilson
from trainer.training.fitting import measure
from trainer.training.intervals import MOST_ROWS, intervals

CLASSES, NUMBERS = Output(OutputKind.CLASS, (0, 1), True), Output(OutputKind.NUMBER)
TIMES = 100


def classes(random: np.random.Generator, rows: int) -> tuple[Any, Any, Any]:
    x = random.normal(size=rows)
    probabilities = 1 / (1 + np.exp(-1.2 * x))
    actual = (random.random(rows) < 1 / (1 + np.exp(-1.5 * x))).astype(int)
    return actual, (probabilities > 0.5).astype(int), np.column_stack([1 - probabilities, probabilities])


def values(random: np.random.Generator, rows: int) -> tuple[Any, Any, None]:
    x = random.normal(size=rows)
    return 2 * x + random.standard_t(5, size=rows), 1.8 * x, None


def of(world: tuple[Any, Any, Any], output: Output) -> dict[str, tuple[float, float]]:
    actual, predicted, table = world
    return intervals(
        len(actual), lambda kept: measure(actual[kept], predicted[kept], None if table is None else table[kept], output)
    )


@pytest.mark.slow
@pytest.mark.parametrize(("make", "output"), [(classes, CLASSES), (values, NUMBERS)])
def test_intervals_hold_the_true_value_as_often_as_they_promise(make: Any, output: Output) -> None:
    true = measure(*make(np.random.default_rng(1), 200_000), output)
    random, held = np.random.default_rng(2), Counter[str]()
    for _ in range(TIMES):
        held.update(name for name, (low, high) in of(make(random, 200), output).items() if low <= true[name] <= high)
    assert {"accuracy", "log_loss", "roc_auc"} <= held.keys() if output is CLASSES else {"r2"} <= held.keys()
    assert all(TIMES * 0.88 <= count <= TIMES * 0.995 for count in held.values()), held
    assert not [name for name in held if name.startswith("baseline")]


def test_accuracy_has_wilsons_interval_even_if_it_is_perfect() -> None:
    y = np.array([0, 1] * 15)
    found = of((y, y, np.column_stack([1.0 - y, y])), CLASSES)
    assert found["accuracy"] == pytest.approx(tuple(map(float, wilson(1.0, 30))))
    assert "log_loss" not in found and "roc_auc" not in found


def test_few_rows_and_a_class_within_one_group_have_no_interval() -> None:
    assert of(classes(np.random.default_rng(0), 9), CLASSES) == {}
    y, predicted, table = classes(np.random.default_rng(0), 100)
    y[:] = 0
    y[5] = 1
    assert "roc_auc" not in of((y, predicted, table), CLASSES)


def test_many_rows_have_narrow_intervals_though_some_of_them_are_measured() -> None:
    random = np.random.default_rng(0)
    widths = [high - low for low, high in (of(values(random, rows), NUMBERS)["r2"] for rows in (5_000, 4 * MOST_ROWS))]
    assert widths[0] / widths[1] == pytest.approx((4 * MOST_ROWS / 5_000) ** 0.5, rel=0.5)
