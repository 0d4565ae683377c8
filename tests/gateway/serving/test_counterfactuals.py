"""What would change the answer to a row: found by asking a rule, as a model would answer it."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from contract.model.row_profile import profile_of
from contract.model.signature import Field, Kind, Output, OutputKind, RowFormat, Signature
from contract.row import Row
from gateway.serving.counterfactuals import Counterfactual, find_counterfactual, may_change

INCOME, HISTORY, AGE = Field("income", Kind.NUMBER), Field("history", Kind.NUMBER), Field("age", Kind.INTEGER)
AREA = Field("area", Kind.STRING, categories=("rural", "urban", "unseen"))
NAME, SINCE, OWNS = Field("name", Kind.STRING), Field("since", Kind.DATETIME), Field("owns", Kind.BOOLEAN)
INPUTS = (INCOME, HISTORY, AGE, AREA, NAME, SINCE, OWNS)
CLASSES = (Output(OutputKind.CLASS, ("no", "yes"), probabilities=True),)
SIGNATURE = Signature(INPUTS, CLASSES)

Score = Callable[[Row], float]


def trained_rows(count: int = 1_000) -> list[list[Any]]:
    """Return rows as training saw them: incomes from 500 to 10,490, a history of 0 or 1, ages from 18 to 77."""
    chance = random.Random(5)
    return [
        [
            500.0 + 10 * chance.randrange(1000),
            float(chance.random() < 0.8),
            18 + chance.randrange(60),
            chance.choice(["rural", "urban"]),
            f"n{chance.random()}",
            f"2026-01-{1 + chance.randrange(28):02}T00:00:00+00:00",
            chance.random() < 0.5,
        ]
        for _ in range(count)
    ]


ROWS = trained_rows()
ROW = (2_900.0, 1.0, 30, "rural", "Ada", "2026-01-02T00:00:00+00:00", False)


class Rule:
    """Answers yes to a row whose score is 0 or more, with a probability that grows with it, unless it is `certain`."""

    def __init__(self, score: Score, *, certain: bool = False) -> None:
        self.score, self.certain = score, certain
        self.asked: list[Row] = []
        self.requests = 0

    def answer(self, row: Row) -> str:
        return "yes" if self.score(row) >= 0 else "no"

    def __call__(self, rows: Sequence[Row]) -> Mapping[str, Any]:
        self.requests += 1
        self.asked += rows
        shares = [1 / (1 + math.exp(-max(-30.0, min(30.0, self.score(row))))) for row in rows]
        probabilities = None if self.certain else [{"no": 1 - share, "yes": share} for share in shares]
        return {"predictions": [self.answer(row) for row in rows], "probabilities": probabilities}


def found(rule: Rule, row: Row = ROW, signature: Signature = SIGNATURE, rows: Sequence[Row] = ROWS) -> Counterfactual:
    profile = profile_of(signature, rows, ["no"] * len(rows))
    assert profile
    return find_counterfactual(signature, profile, row, rule)


def changed(counterfactual: Counterfactual, row: Row = ROW) -> list[Any]:
    values = list(row)
    for change in counterfactual.changes:
        assert change.before == row[change.position] and change.field == INPUTS[change.position]
        values[change.position] = change.value
    return values


def values_of(counterfactual: Counterfactual) -> dict[str, Any]:
    return {change.field.name: change.value for change in counterfactual.changes}


@pytest.mark.parametrize("certain", [False, True], ids=["probabilities", "labels alone"])
def test_a_number_is_changed_just_far_enough(certain: bool) -> None:
    rule = Rule(lambda row: row[0] - 3_411.5, certain=certain)
    counterfactual = found(rule)
    (change,) = counterfactual.changes
    value: Any = change.value
    assert counterfactual.answer == "yes" and change.field is INCOME and change.before == 2_900
    assert 3_411.5 <= value <= 3_420 and value == int(value)


def test_a_number_is_lowered_if_that_is_nearer() -> None:
    rule = Rule(lambda row: max(2_850 - row[0], row[0] - 9_000))
    assert 2_840 <= values_of(found(rule))["income"] <= 2_850


def test_of_several_changes_the_smallest_is_found() -> None:
    rule = Rule(lambda row: max(row[0] - 10_000, row[2] - 33, (row[3] == "urban") - 1))
    assert values_of(found(rule)) == {"age": 33}


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (lambda row: (row[3] == "urban") - 1, {"area": "urban"}),
        (lambda row: row[6] - 1, {"owns": True}),
        (lambda row: -row[1], {"history": 0.0}),
    ],
)
def test_values_stay_those_that_training_saw(score: Score, expected: Mapping[str, Any]) -> None:
    assert values_of(found(Rule(score))) == expected


@pytest.mark.parametrize("certain", [False, True], ids=["probabilities", "labels alone"])
def test_two_inputs_are_changed_if_one_is_not_enough(certain: bool) -> None:
    rule = Rule(lambda row: min((row[3] == "urban") - 0.5, (row[0] - 6_000) / 1_000), certain=certain)
    counterfactual = found(rule)
    values = values_of(counterfactual)
    assert counterfactual.answer == "yes" and rule.answer(changed(counterfactual)) == "yes"
    assert values["area"] == "urban" and 6_000 <= values["income"] <= 6_400


def test_nothing_beyond_what_training_saw_is_tried() -> None:
    rule = Rule(lambda row: max(row[0] - 11_000, -row[0], row[2] - 90, (row[3] == "unseen") - 1, -row[1] - 0.5))
    counterfactual = found(rule)
    assert counterfactual.changes == () and counterfactual.answer is None
    assert counterfactual.tried > 100 and counterfactual.untried == ["name", "since"]
    for row in rule.asked:
        assert 500 <= row[0] <= 10_490 and row[1] in (0, 1) and 18 <= row[2] <= 77 and isinstance(row[2], int)
        assert row[3] in ("rural", "urban") and row[4:6] in (ROW[4:6], list(ROW[4:6]))


def test_a_row_beyond_what_training_saw_comes_back_into_it() -> None:
    rule = Rule(lambda row: 20_000 - row[0])
    row = (1e9, *ROW[1:])
    assert values_of(found(rule, row)) == {"income": 10_490}
    assert [asked for asked in rule.asked if 10_490 < asked[0] < 1e9] == []


def test_an_empty_input_may_get_a_value() -> None:
    row = (None, *ROW[1:])
    values = values_of(found(Rule(lambda row: (row[0] or 0) - 3_000), row))
    assert list(values) == ["income"] and values["income"] >= 3_000


def test_an_input_becomes_null_if_training_saw_that() -> None:
    fields = (replace(INCOME, nullable=True), replace(SINCE, nullable=True), HISTORY)
    rows = [[1_000.0 + number, "2026-01-02T00:00:00+00:00", 0.0] for number in range(20)] + [[None, None, 0.0]]
    signature = Signature(fields, CLASSES)
    for position in (0, 1):
        rule = Rule(lambda row, at=position: 0.0 if row[at] is None else -1.0)
        counterfactual = found(rule, rows[0], signature, rows)
        assert values_of(counterfactual) == {fields[position].name: None}
    never = found(Rule(lambda row: 0.0 if row[0] is None else -1.0), rows[0], signature, rows[:20])
    assert (never.changes, never.untried) == ((), ["since", "history"])


def test_a_text_becomes_another_one_if_training_saw_no_further_ones() -> None:
    signature, towns = Signature((NAME, INCOME), CLASSES), ["Ulm", "Rom"]
    few = [[towns[number % 2], float(number)] for number in range(40)]
    rule = Rule(lambda row: 0.0 if row[0] == "Rom" else -1.0)
    assert values_of(found(rule, few[0], signature, few)) == {"name": "Rom"}
    many = [[f"n{number}", float(number)] for number in range(60)]
    assert found(rule, ["Ulm", 1.0], signature, [*few, *many]).changes == ()


def test_whatever_the_rule_the_changed_row_gets_the_answer() -> None:
    chance = random.Random(11)
    sizes = []
    for _ in range(60):
        weights = [chance.gauss(0, 1) for _ in range(4)]
        bias = chance.gauss(0, 1.5)

        def score(row: Row, weights: Sequence[float] = weights, bias: float = bias) -> float:
            scaled = ((row[0] - 5_000) / 3_000, row[1] - 0.5, (row[2] - 45) / 20, (row[3] == "urban") - 0.5)
            return sum(map(float.__mul__, weights, map(float, scaled))) + bias

        rule, row = Rule(score), ROWS[chance.randrange(len(ROWS))]
        counterfactual = found(rule, row)
        sizes.append(len(counterfactual.changes))
        assert rule.requests <= 4
        if counterfactual.changes:
            assert rule.answer(changed(counterfactual, row)) == counterfactual.answer != rule.answer(row)
    assert {1, 2} <= set(sizes)


@pytest.mark.parametrize("inputs", [1, 300, 1_200])
def test_the_rows_of_a_request_are_bounded(inputs: int) -> None:
    signature = Signature(tuple(Field(f"x{at}", Kind.NUMBER) for at in range(inputs)), CLASSES)
    rule, sent = Rule(lambda row: row[0] - 5), []

    def predict(rows: Sequence[Row]) -> Mapping[str, Any]:
        sent.append(len(rows))
        return rule(rows)

    chance = random.Random(3)
    rows = [[chance.random() for _ in range(inputs)] for _ in range(50)]
    profile = profile_of(signature, rows, ["no"] * 50)
    assert profile
    assert find_counterfactual(signature, profile, rows[0], predict).changes == ()
    assert max(sent) <= 1_001 and len(sent) <= 4


@pytest.mark.parametrize(
    "signature",
    [
        Signature(INPUTS, (Output(OutputKind.NUMBER),)),
        Signature(INPUTS, (*CLASSES, *CLASSES)),
        Signature((NAME,), CLASSES, format=RowFormat.TEXTS),
        Signature(INPUTS, (), methods=()),
    ],
    ids=["a number", "two outputs", "a text", "no prediction"],
)
def test_it_is_offered_where_one_class_is_predicted_from_columns(signature: Signature) -> None:
    assert may_change(SIGNATURE) and not may_change(signature)
