"""The waterfall of an explanation: what is drawn of which contributions, and what is said of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from gateway.pages.charts.waterfall import MOST_STEPS, waterfall_of


def explained(base: float, contributions: Mapping[str, float], errors: Mapping[str, float] | None = None) -> Any:
    value = base + sum(contributions.values())
    return {"base": base, "value": value, "contributions": contributions, "errors": errors}


def test_each_step_begins_where_the_one_before_ends_the_strongest_first() -> None:
    chart = waterfall_of(explained(0.5, {"a": 0.1, "b": -0.4, "c": 0.05}), {"a": 3.0, "b": "Urban", "c": None})
    assert [(step.name, step.text, step.amount) for step in chart.steps] == [
        ("b", "Urban", "−0.400"),
        ("a", "3", "+0.100"),
        ("c", "nothing", "+0.050"),
    ]
    assert (chart.base, chart.answer) == ("0.500", "0.250")
    ends = [(step.start, step.end) for step in chart.steps]
    assert ends == [(98.0, 2.0), (2.0, 26.0), (26.0, 38.0)]
    assert all(step.error == (step.end, step.end) and not step.margin for step in chart.steps)


def test_an_error_is_a_whisker_that_the_chart_has_room_for() -> None:
    chart = waterfall_of(explained(0.0, {"a": 1.0}, {"a": 0.2}), {})
    (step,) = chart.steps
    assert step.error == (66.0, 98.0) and step.end == 82.0 and step.margin == "0.20"
    assert step.text == ""  # a word of a text has no value


def test_what_is_beyond_the_strongest_is_added_up() -> None:
    contributions = {f"x{number}": 1.0 / (1 + number) for number in range(40)}
    chart = waterfall_of(explained(0.0, contributions), dict.fromkeys(contributions, 7))
    assert [step.name for step in chart.steps[:-1]] == [f"x{number}" for number in range(MOST_STEPS)]
    assert chart.steps[-1].name == "28 others" and chart.steps[-1].text == ""
    assert chart.steps[-1].end == 98.0


@pytest.mark.parametrize(
    ("base", "size", "texts"),
    [
        (22.5, 1.25, ("22.50", "23.75", "+1.25")),
        (1e6, 250_000.0, ("1,000,000", "1,250,000", "+250,000")),
        (-3.0, 0.0, ("−3.00", "−3.00", "0.00")),
    ],
)
def test_all_numbers_have_the_digits_that_the_steps_need(base: float, size: float, texts: tuple[str, ...]) -> None:
    chart = waterfall_of(explained(base, {"a": size}), {"a": True})
    assert (chart.base, chart.answer, chart.steps[0].amount) == texts
