"""The slices in which a version is worse are named, and hardly any others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_ind

from observer.outcomes.joined_rows import JoinedRows
from observer.outcomes.slices import Column, holm, worst_slices

COUNTRIES = ["AT", "DE", "FR", "US"]


def classes(wrong: Any) -> JoinedRows:
    return JoinedRows(wrong.astype(int), np.zeros(len(wrong), dtype=int), None, ("no", "yes"))


def columns_of(random: np.random.Generator, rows: int) -> dict[str, Column]:
    income = np.where(random.random(rows) < 0.1, np.nan, random.lognormal(10, 1, rows))
    return {
        "age": Column("age", random.integers(18, 81, rows).astype(float)),
        "income": Column("income", income),
        "children": Column("children", random.integers(0, 4, rows).astype(float)),
        "country": Column("country", random.integers(-1, 4, rows), COUNTRIES),
        "vip": Column("vip", random.integers(0, 2, rows), [False, True]),
    }


@pytest.mark.parametrize(
    ("name", "column", "is_bad"),
    [
        ("age 18 to 24", "age", lambda values: values < 25),
        ("income missing", "income", np.isnan),
        ("children = 3", "children", lambda values: values == 3),
        ("country = 'DE'", "country", lambda values: values == 1),
        ("country missing", "country", lambda values: values == -1),
        ("vip = true", "vip", lambda values: values == 1),
    ],
)
def test_a_bad_slice_is_named_first(name: str, column: str, is_bad: Any) -> None:
    random = np.random.default_rng(0)
    columns = columns_of(random, 6000)
    bad = is_bad(columns[column].values)
    rows = classes(random.random(6000) < np.where(bad, 0.3, 0.1))
    worst = worst_slices(rows, list(columns.values()))[0]
    assert worst.name == name
    assert worst.rows == bad.sum() and worst.p_value < 0.001
    assert worst.loss == pytest.approx(rows.actual[bad].mean())
    assert worst.elsewhere == pytest.approx(rows.actual[~bad].mean())
    assert worst.measured.estimates["accuracy"].value == pytest.approx(1 - worst.loss)
    assert worst.measured.estimates["accuracy"].count == worst.rows


def test_the_losses_are_log_losses_or_absolute_errors() -> None:
    random = np.random.default_rng(1)
    words = random.integers(0, 4, 4000)
    column, bad = Column("country", words, COUNTRIES), words == 2
    actual = random.integers(0, 2, 4000)
    scores = np.where(bad, 0.6, 0.9)
    table = np.where(actual[:, None] == np.arange(2), scores[:, None], 1 - scores[:, None])
    worst = worst_slices(JoinedRows(actual, actual, table, ("no", "yes")), [column])
    assert [entry.name for entry in worst] == ["country = 'FR'"] and worst[0].loss == pytest.approx(-np.log(0.6))
    predicted = random.normal(size=4000)
    errors = random.normal(size=4000) * np.where(bad, 2, 1)
    worst = worst_slices(JoinedRows(predicted + errors, predicted), [column])
    assert [entry.name for entry in worst] == ["country = 'FR'"]
    assert worst[0].loss == pytest.approx(np.abs(errors[bad]).mean())


def test_small_slices_are_not_named() -> None:
    words = np.r_[np.zeros(1000, dtype=int), np.ones(49, dtype=int)]
    assert not worst_slices(classes(words == 1), [Column("country", words, COUNTRIES)])
    words = np.append(words, 1)
    assert [s.name for s in worst_slices(classes(words == 1), [Column("country", words, COUNTRIES)])] == [
        "country = 'DE'"
    ]
    assert not worst_slices(classes(words[:1049] == 0), [Column("country", words[:1049], COUNTRIES)])
    assert not worst_slices(classes(words == 1), [])
    assert not worst_slices(classes(words == 1), [Column("x", np.full(1050, np.nan)), Column("y", np.ones(1050))])


def test_a_rare_value_of_few_is_a_slice_of_its_own() -> None:
    random = np.random.default_rng(6)
    flags = (random.random(4000) > 0.03).astype(float)
    rows = classes(random.random(4000) < np.where(flags == 0, 0.5, 0.1))
    assert [entry.name for entry in worst_slices(rows, [Column("member", flags)])] == ["member = 0"]


def test_at_most_five_slices_are_named_the_worst_first() -> None:
    random = np.random.default_rng(2)
    words = random.integers(0, 20, 20_000)
    rows = classes(random.random(20_000) < np.where(words < 8, 0.3 + words / 20, 0.05))
    worst = worst_slices(rows, [Column("shop", words, [f"s{word}" for word in range(20)])])
    assert [entry.name for entry in worst] == [f"shop = 's{word}'" for word in (7, 6, 5, 4, 3)]


@pytest.mark.parametrize("kind", ["errors", "rare errors", "frequent errors", "skewed numbers"])
def test_where_no_slice_is_worse_hardly_any_is_named(kind: str) -> None:
    random = np.random.default_rng(3)
    named = 0
    for _ in range(200):
        columns = list(columns_of(random, 1000).values())
        if kind == "skewed numbers":
            rows = JoinedRows(random.lognormal(0, 1.5, 1000), np.zeros(1000))
        else:
            rows = classes(random.random(1000) < {"errors": 0.2, "rare errors": 0.01, "frequent errors": 0.95}[kind])
        named += bool(worst_slices(rows, columns))
    assert named <= 0.05 * 200 + 5  # 5 %, and 1.6 standard errors


def test_without_correction_slices_would_be_named_by_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(4)
    monkeypatch.setattr("observer.outcomes.slices.holm", lambda p_values: p_values)
    draws = ((random.random(1000) < 0.2, list(columns_of(random, 1000).values())) for _ in range(50))
    assert sum(bool(worst_slices(classes(wrong), columns)) for wrong, columns in draws) > 25


def test_the_p_value_of_one_slice_is_that_of_welch_where_it_varies_more() -> None:
    random = np.random.default_rng(5)
    words = (np.arange(1000) < 900).astype(int)
    errors = np.where(words == 0, 1.1 + 2 * random.random(1000), 1.5 + random.random(1000) / 2)
    worst = worst_slices(JoinedRows(errors, np.zeros(1000)), [Column("x", words, ["a", "b"])])
    welch = ttest_ind(errors[words == 0], errors[words == 1], equal_var=False, alternative="greater").pvalue
    assert worst[0].p_value == pytest.approx(2 * welch, rel=0.25)


def test_holm_multiplies_by_the_number_of_hypotheses_that_are_left() -> None:
    adjusted = holm(np.array([0.04, np.nan, 0.01, 0.02]))
    assert np.allclose(adjusted, [0.04, np.nan, 0.03, 0.04], equal_nan=True)
    assert holm(np.array([0.9, 0.8])).tolist() == [1, 1]
