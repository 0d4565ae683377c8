"""The charts of the page Health: what is drawn of which numbers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import pytest

from gateway.pages.charts.distributions import distribution_of
from gateway.pages.charts.outcome_charts import calibration_of, course_of


def bins(*shares: tuple[str, float, float]) -> dict[str, Any]:
    return {
        "column": "a",
        "bins": [{"label": label, "training": before, "now": now} for label, before, now in shares],
    }


def test_both_bars_of_a_bin_stand_side_by_side_as_high_as_their_shares() -> None:
    chart = distribution_of(bins(("low", 0.5, 0.25), ("high", 0.5, 0.5), ("null", 0.0, 0.25)))
    scale = 100 / 1.1  # the highest bar leaves a tenth above it
    for one in chart.bins:
        (x, top), (x_now, top_now) = one.bars
        assert [100 - top, 100 - top_now] == pytest.approx([one.training / 0.5 * scale, one.now / 0.5 * scale], abs=0.1)
        assert one.x < x < x + chart.bar <= x_now + 0.01 and x_now + chart.bar < one.x + chart.width
    assert [one.label for one in chart.most_moved] == ["low", "null"]


@pytest.mark.parametrize("wide", [True, False])
def test_labels_stand_apart_and_begin_with_what_moved_most(wide: bool) -> None:
    shares = [(f"{number} – {number + 1}000", 1 / 60, number / 1000) for number in range(60)]
    labels = [label for label in distribution_of(bins(*shares)).labels if wide or not label.wide]
    assert labels[0].text == "59 – 60000" and labels[0].anchor == "end"
    assert len(labels) == (5 if wide else 3)
    letter = 1.5 if wide else 2.5
    spans = [room(label.x, label.anchor, letter * len(label.text)) for label in labels]
    assert all(end <= start or other_end <= begin for (begin, end), (start, other_end) in combinations(spans, 2))
    assert min(begin for begin, _ in spans) >= 0 and max(end for _, end in spans) <= 100.1


def room(x: float, anchor: str, length: float) -> tuple[float, float]:
    start = x - length * {"start": 0, "middle": 0.5, "end": 1}[anchor]
    return start, start + length


def test_a_long_label_is_shortened_below_the_chart_alone() -> None:
    chart = distribution_of(bins(("Administrative assistant", 1.0, 1.0)))
    assert (chart.bins[0].label, chart.labels[0].text) == ("Administrative assistant", "Administrative as…")
    assert chart.most_moved == []


def measured(values: Sequence[float | None], promised: float | None = None) -> dict[str, Any]:
    """Days of which those without a value have no outcome."""
    return {
        "headline": "accuracy",
        "period": "day",
        "promise": promised and {"promised": promised},
        "periods": [
            {
                "start": f"2026-01-{day:02}T00:00:00Z",
                "predictions": 10,
                "outcomes": 0 if value is None else 5,
                "metrics": {} if value is None else {"accuracy": {"value": value, "low": value - 0.1, "high": 1.0}},
            }
            for day, value in enumerate(values, 1)
        ],
    }


def test_a_course_has_its_interval_and_a_gap_where_outcomes_are_missing() -> None:
    course = course_of(measured([0.9, 0.6, None, 0.7, 0.7], promised=0.75))
    assert course is not None
    # The axis goes from 0.5, the lowest end of an interval, to 1.
    assert course.lines == [[(0, 20), (25, 80)], [(75, 60), (100, 60)]]
    assert course.bands[0] == [(0, 40), (25, 100), (25, 0), (0, 0)]
    assert course.promise == 50
    assert [mark.place for mark in course.marks] == [(0, 20), (25, 80), None, (75, 60), (100, 60)]
    assert (course.marks[1].time, course.marks[1].interval) == ("2 Jan", "0.500 to 1")
    assert (course.marks[2].value, course.marks[2].outcomes) == ("–", "0 of 10")
    assert [(place, mark.time) for place, mark in course.clock] == [(0, "1 Jan"), (50, "3 Jan"), (100, "5 Jan")]
    assert [mark.start for _, mark in course.clock] == [f"2026-01-{day:02}T00:00:00Z" for day in (1, 3, 5)]


def test_one_period_is_no_course() -> None:
    assert course_of(measured([None, 0.9])) is None


def test_a_promise_beyond_all_intervals_is_on_the_chart() -> None:
    course = course_of(measured([0.9, 0.9], promised=0.3))
    assert course is not None and course.promise == 100


def test_a_calibration_has_a_point_and_an_interval_for_each_bin() -> None:
    found = {"predicted": [0.2, 0.8], "observed": [0.1, 0.9], "low": [0.0, 0.8], "high": [0.3, 1.0]}
    chart = calibration_of({"calibration": found})
    assert chart is not None
    assert chart.line == [(20, 90), (80, 10)]
    assert chart.intervals == [[(20, 100), (20, 70)], [(80, 20), (80, 0)]]
    assert calibration_of({"calibration": None}) is None
