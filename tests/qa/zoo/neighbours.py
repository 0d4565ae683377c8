"""Asks a served model beside other requests: rows alone and many at a time, and its methods in changing orders."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tests.qa.zoo.compare import Output, Question, Rejected, Served, asked, difference, questions

AT_ONCE = 24
"""Requests of one row each that wait together."""
ROWS_BETWEEN = 3
"""Of the rows that the first method gets alone, every third one goes to the others, to save time."""


class Situation(StrEnum):
    """What was asked before a request, or beside it."""

    ALONE = "each row alone"
    AT_ONCE = f"{AT_ONCE} rows at once, each a request"
    METHODS = "each method after each other one"
    CHANGES = "beside models that change their process"


@dataclass
class Tally:
    """The answers to requests in one situation: how many rows, and how some differ."""

    rows: int = 0
    different: list[str] = field(default_factory=list)


Tallies = Mapping[Situation, Tally]


def beside_others(written: Mapping[str, Any], served: Served) -> Tallies:
    """Ask in all situations but the last."""
    situations = {Situation.ALONE: _alone, Situation.AT_ONCE: _at_once, Situation.METHODS: _after_each_other}
    return {situation: ask(written, served) for situation, ask in situations.items()}


def all_rows(written: Mapping[str, Any], served: Served, ask: Callable[[str, Question], Output | Rejected]) -> Tally:
    """Ask each method for all rows."""
    tally = Tally()
    for method in _methods(written, served):
        _compare(tally, method, written, served, lambda question, method=method: ask(method, question))
    return tally


def _alone(written: Mapping[str, Any], served: Served) -> Tally:
    tally = Tally()
    for index, method in enumerate(_methods(written, served)):
        for row in range(0, len(written["rows"]), ROWS_BETWEEN if index else 1):
            _compare(tally, method, _of_row(written, row), served, lambda q, method=method: asked(served, method, q))
    return tally


def _at_once(written: Mapping[str, Any], served: Served) -> Tally:
    """Ask for rows of all methods; those of a method are one batch, if the model lets them."""
    tally, methods = Tally(), _methods(written, served)
    rows = [*range(len(written["rows"]))] * AT_ONCE
    order = random.Random(len(rows)).sample(rows[:AT_ONCE], AT_ONCE) if rows else []
    requests = [(method, _of_row(written, row)) for row in order for method in methods]
    outputs = served.ask_at_once([(method, _question(row, served)) for method, row in requests])
    for (method, row), output in zip(requests, outputs, strict=True):
        _compare(tally, method, row, served, lambda _, output=output: output)
    return tally


def _after_each_other(written: Mapping[str, Any], served: Served) -> Tally:
    tally, methods = Tally(), _methods(written, served)
    for method in _each_after_each(methods):
        _compare(tally, method, written, served, lambda q, method=method: asked(served, method, q))
    return tally


def _each_after_each(methods: Sequence[str]) -> Iterator[str]:
    """Yield methods so that each comes once after each, itself included."""
    for index, method in enumerate(methods):
        yield method
        for later in methods[index + 1 :]:
            yield method
            yield later
    yield from methods[:1]


def _methods(written: Mapping[str, Any], served: Served) -> list[str]:
    return [method.name for method in served.signature.methods if method.name in written["answers"]]


def _of_row(written: Mapping[str, Any], row: int) -> Mapping[str, Any]:
    """Return what was written of a row alone. Methods that raised have no answer."""
    alone = {method: [answers[row]] for method, answers in written["alone"].items() if answers[row] is not None}
    return {**written, "rows": [written["rows"][row]], "answers": alone}


def _question(written: Mapping[str, Any], served: Served) -> Question:
    return next(questions(written, served.signature))


def _compare(
    tally: Tally,
    method: str,
    written: Mapping[str, Any],
    served: Served,
    ask: Callable[[Question], Output | Rejected],
) -> None:
    tally.rows += len(written["rows"])
    try:
        output = ask(_question(written, served))
        if isinstance(output, Rejected):
            raise output
    except Rejected as error:
        if method in written["answers"]:
            tally.different.append(f"{method}: {error}")
        return
    if method not in written["answers"]:
        tally.different.append(f"{method}: it is answered, and raised where it was fitted")
    elif said := difference(method, written, output, served.signature):
        tally.different.append(f"{method}: {said}")
