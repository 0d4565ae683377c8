"""A change of the signature is breaking if a request of today fails or means something else, or an answer differs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from contract.errors import InvalidInstances
from contract.model.signature import (
    PREDICT,
    AnswerForm,
    Decision,
    Field,
    Format,
    Kind,
    Method,
    Output,
    OutputKind,
    RowFormat,
    Signature,
)
from contract.model.signature_changes import signature_changes, some
from contract.rows.coercion import coerce
from contract.rows.instances import Grid, Instances, Records

NUMBER = (Output(OutputKind.NUMBER),)
CLASSES = Output(OutputKind.CLASS, ("no", "yes"), probabilities=True)
AGE, PLAN = Field("age", Kind.NUMBER), Field("plan", Kind.STRING, categories=("basic", "gold"))


def inputs(*fields: Field, **others: Any) -> Signature:
    return Signature(fields, NUMBER, **others)


def answers(*outputs: Output, **others: Any) -> Signature:
    return Signature((AGE,), outputs, **others)


def row(**values: Any) -> Records:
    return Records([values])


def csv(cell: str) -> Grid:
    return Grid(["age"], [[cell]], ";")


def read(instances: Instances, signature: Signature) -> Sequence[Any] | None:
    """Return the rows as the model gets them, or None if they are refused."""
    try:
        return [dict(zip(signature.names, row, strict=True)) for row in coerce(instances, signature).rows]
    except InvalidInstances:
        return None


OTHER = Field("fee", Kind.NUMBER)
BORN = Field("born", Kind.DATETIME)


@pytest.mark.parametrize(
    ("before", "now", "request_of_today", "changes"),
    [
        ([AGE], [AGE, OTHER], row(age=1), ["'fee' is needed"]),
        ([AGE], [AGE, replace(OTHER, nullable=True)], row(age=1), ["'fee' is needed"]),
        ([AGE], [replace(AGE, name="ages")], row(age=1), ["'ages' is needed instead of 'age'"]),
        ([replace(AGE, nullable=True)], [AGE], row(age=None), ["'age' may no longer be null"]),
        ([AGE], [replace(AGE, kind=Kind.INTEGER)], row(age=1.5), ["'age' takes whole numbers instead of numbers"]),
        ([AGE], [replace(AGE, kind=Kind.STRING)], row(age="1.50"), ["'age' takes texts instead of numbers"]),
        ([PLAN], [replace(PLAN, categories=("gold", "new"))], row(plan="basic"), ["'plan' no longer takes 'basic'"]),
        (
            [replace(PLAN, categories=None)],
            [PLAN],
            row(plan="other"),
            ["'plan' takes only 'basic', 'gold'"],
        ),
        ([replace(AGE, aliases=("years",))], [AGE], row(years=1), ["'age' is needed instead of 'years'"]),
        (
            [replace(AGE, aliases=("years",))],
            [replace(AGE, name="years")],
            row(age=1),
            ["'years' is needed instead of 'age'"],
        ),
        (
            [AGE, OTHER],
            [replace(AGE, aliases=("fee",))],
            row(age=1, fee=2),
            ["'age' and 'fee' are the same input now"],
        ),
        ([AGE, OTHER], [OTHER, AGE], Grid(None, [[1, 2]]), ["rows without names have another order: 'fee', 'age'"]),
        (
            [Field("x0", Kind.NUMBER), Field("x1", Kind.NUMBER)],
            [Field("x0", Kind.NUMBER)],
            Grid(None, [[1, 2]]),
            ["rows have 1 value instead of 2"],
        ),
        (
            [Field("x0", Kind.NUMBER), Field("x1", Kind.NUMBER)],
            [Field("x0", Kind.NUMBER), Field("fee", Kind.NUMBER)],
            Grid(("x0", "x1"), [[1, 2]]),
            ["'fee' is needed"],
        ),
        (
            [replace(BORN, format=Format.DAY_FIRST)],
            [replace(BORN, format=Format.MONTH_FIRST)],
            row(born="1/2/2024"),
            ["'born' is read with the month first instead of with the day first"],
        ),
        (
            [AGE],
            [replace(AGE, format=Format.DECIMAL_COMMA)],
            csv("1.212"),
            ["'age' is read as 1.212,5 in a CSV instead of as in JSON"],
        ),
        ([replace(AGE, unit="kg")], [AGE], row(age="5 kg"), ["'age' is no longer read with 'kg'"]),
    ],
)
def test_a_request_of_today_that_fails_or_means_something_else_is_a_change(
    before: Sequence[Field], now: Sequence[Field], request_of_today: Instances, changes: Sequence[str]
) -> None:
    old, new = inputs(*before), inputs(*now)
    understood = read(request_of_today, old)
    assert understood is not None and read(request_of_today, new) != understood
    assert signature_changes(old, new).breaking == changes


@pytest.mark.parametrize(
    ("before", "now", "request_of_today"),
    [
        ([AGE, PLAN], [AGE, PLAN], row(age=1, plan="gold")),
        ([replace(AGE, kind=Kind.INTEGER)], [AGE], row(age="3")),
        ([AGE], [replace(AGE, nullable=True)], row(age=1)),
        ([PLAN], [replace(PLAN, categories=("new", "gold", "basic"))], row(plan="gold")),
        ([PLAN], [replace(PLAN, categories=None)], row(plan="gold")),
        ([AGE], [replace(AGE, aliases=("years",))], row(age=1)),
        ([BORN], [replace(BORN, format=Format.DAY_FIRST)], row(born="2024-02-01")),
        ([AGE], [replace(AGE, unit="kg")], row(age="5")),
    ],
)
def test_an_input_may_take_more(before: Sequence[Field], now: Sequence[Field], request_of_today: Instances) -> None:
    old, new = inputs(*before), inputs(*now)
    assert read(request_of_today, old) == read(request_of_today, new) is not None
    assert signature_changes(old, new).breaking == []


def test_an_input_may_go_or_be_known_by_another_name_as_well() -> None:
    old, new = inputs(AGE, OTHER), inputs(Field("years", Kind.NUMBER, aliases=("age",)))
    assert read(row(age=1, fee=2), new) == [{"years": 1.0}]
    changes = signature_changes(old, new)
    assert (changes.breaking, list(changes.unused)) == ([], ["fee"])


def test_a_renamed_input_is_not_listed_as_unused() -> None:
    changes = signature_changes(inputs(AGE, OTHER), inputs(AGE, replace(OTHER, name="fees"), PLAN))
    assert changes.requests == ["'fees' is needed instead of 'fee'", "'plan' is needed"] and not changes.unused


def test_pairs_of_inputs_without_a_change_read_the_same() -> None:
    """No kind reads another kind's value otherwise without being listed."""
    values = [1, 1.5, "1", "1.0", "gold", "2024-02-01", "3.4.2024", True, False, "true", None]
    fields = [
        Field("age", kind, nullable, categories, (), written)
        for kind, categories, written in [
            *((kind, None, None) for kind in Kind),
            (Kind.STRING, ("1", "gold"), None),
            *((Kind.DATETIME, None, written) for written in (Format.DAY_FIRST, Format.MONTH_FIRST)),
        ]
        for nullable in (False, True)
    ]
    for old, new in itertools.permutations(fields, 2):
        changes = signature_changes(inputs(old), inputs(new)).breaking
        for value in values:
            understood = read(row(age=value), inputs(old))
            if understood is not None and read(row(age=value), inputs(new)) != understood:
                assert changes, (old, new, value)


@pytest.mark.parametrize(
    ("before", "now", "changes"),
    [
        (answers(CLASSES), answers(*NUMBER), ["predict answers a number instead of a class"]),
        (
            answers(CLASSES),
            answers(replace(CLASSES, labels=("no", "yes", "maybe"))),
            ["predict may now answer 'maybe'"],
        ),
        (answers(CLASSES), answers(replace(CLASSES, labels=("no",))), ["predict no longer answers 'yes'"]),
        (
            answers(replace(CLASSES, labels=(0, 1))),
            answers(replace(CLASSES, labels=(False, True))),
            ["predict may now answer false, true", "predict no longer answers 0, 1"],
        ),
        (
            answers(CLASSES),
            answers(replace(CLASSES, labels=("yes", "no"))),
            ["predict has its classes in another order: 'yes', 'no'"],
        ),
        (
            answers(CLASSES),
            answers(replace(CLASSES, label_names=("0", "1"))),
            ["predict may now answer '0', '1'", "predict no longer answers 'no', 'yes'"],
        ),
        (answers(CLASSES), answers(replace(CLASSES, probabilities=False)), ["predict no longer has probabilities"]),
        (answers(replace(NUMBER[0], scores=True)), answers(*NUMBER), ["predict no longer has scores"]),
        (
            answers(*NUMBER),
            answers(replace(NUMBER[0], name="y0"), replace(NUMBER[0], name="y1")),
            ["predict answers an object of 'y0', 'y1' instead of one value"],
        ),
        (
            answers(*NUMBER),
            answers(methods=(Method("transform", AnswerForm.NUMBERS),)),
            ["predict answers nothing instead of one value"],
        ),
        (answers(*NUMBER, id_field="id"), answers(*NUMBER), ["answers no longer repeat 'id'"]),
        (
            answers(
                *NUMBER,
                methods=(PREDICT, Method("apply", AnswerForm.NUMBERS), Method("kneighbors", AnswerForm.NEIGHBORS)),
            ),
            answers(*NUMBER, methods=(PREDICT, Method("apply", AnswerForm.NUMBER))),
            ["apply answers number instead of numbers", "there is no kneighbors any more"],
        ),
        (
            answers(methods=(Method("transform", AnswerForm.NAMED, ("a", "b")),)),
            answers(methods=(Method("transform", AnswerForm.NAMED, ("a", "c")),)),
            ["transform answers 'a', 'c' instead of 'a', 'b'"],
        ),
    ],
)
def test_another_answer_is_a_change(before: Signature, now: Signature, changes: Sequence[str]) -> None:
    assert signature_changes(before, now).breaking == changes


def test_an_answer_may_have_more() -> None:
    more = Method("apply", AnswerForm.NUMBERS)
    old = answers(replace(CLASSES, probabilities=False))
    assert signature_changes(old, answers(CLASSES, id_field="id", methods=(*old.methods, more))).breaking == []


def test_the_first_method_is_what_callers_ask_and_the_others_are_listed_apart() -> None:
    transform, apply = Method("transform", AnswerForm.NUMBERS), Method("apply", AnswerForm.NUMBERS)
    changes = signature_changes(answers(methods=(transform, apply)), answers(*NUMBER))
    assert list(changes.answers) == ["there is no transform any more"]
    assert list(changes.methods) == ["there is no apply any more"]


def test_rows_of_another_form_are_a_change() -> None:
    text = inputs(Field("text", Kind.STRING), format=RowFormat.TEXTS)
    assert signature_changes(inputs(AGE), text).breaking == ["rows are texts instead of values by input"]


def test_records_may_leave_names_out_and_keep_their_kinds() -> None:
    first, more, other = (
        inputs(*fields, format=RowFormat.RECORDS)
        for fields in ([AGE], [AGE, OTHER], [replace(AGE, kind=Kind.STRING), OTHER])
    )
    assert signature_changes(first, more).breaking == []
    assert signature_changes(more, other).breaking == ["'age' takes texts instead of numbers"]


def test_many_changes_are_counted() -> None:
    changes = signature_changes(
        inputs(AGE), inputs(*(Field(f"f{number}", Kind.NUMBER) for number in range(9)))
    ).breaking
    assert some(changes).startswith("'f0' is needed; ") and some(changes).endswith("; and 4 more changes")
    assert some(changes[:2]) == "'f0' is needed; 'f1' is needed"


def test_another_decision_is_said_and_breaks_no_caller() -> None:
    low, high = (replace(CLASSES, decision=Decision("yes", threshold)) for threshold in (0.2, 0.5))
    changes = signature_changes(answers(CLASSES), answers(low))
    assert changes.decisions == [
        "predict decides for 'yes' from a probability of 0.2 on instead of as the model itself does"
    ]
    assert changes.breaking == [] and signature_changes(answers(low), answers(low)).decisions == []
    (said,) = signature_changes(answers(high), answers(low)).decisions
    assert said.endswith("of 0.2 on instead of for 'yes' from a probability of 0.5 on")
