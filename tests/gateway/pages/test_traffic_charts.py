"""Charts of traffic: what is drawn of which values, and what is said of them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from broker.metrics.traffic import Period, Point
from gateway.pages.charts.traffic_charts import Curve, TrafficChart, charts_of, short, table_of


def drawn(*values: float | None, has_counts: bool = False) -> tuple[list[str], Sequence[tuple[float, float]]]:
    """Return lines and dots of a curve."""
    curve = Curve("p50", "half", values, [str(value) for value in values])
    chart = TrafficChart("Latency", "", [""] * len(values), [], [curve], has_counts=has_counts)
    return chart.lines(curve), chart.dots(curve)


def test_a_single_value_is_a_dot_and_there_is_no_line_where_nothing_was_asked() -> None:
    lines, dots = drawn(None, 100, None, None, 100)
    assert lines == [] and dots == [(25.0, pytest.approx(9.09)), (100.0, pytest.approx(9.09))]
    lines, dots = drawn(100, 100, None, 100, 100)
    assert len(lines) == 2 and dots == []


def test_lines_of_counts_lead_from_one_to_the_next_and_bounds_of_buckets_are_stairs() -> None:
    assert drawn(0, 10, 0, has_counts=True)[0] == ["0,100 50,9.09 100,100"]
    assert drawn(0, 10, 0)[0] == ["0,100 50,100 50,9.09 100,9.09 100,100"]


def test_few_requests_have_whole_numbers_at_their_axis() -> None:
    (requests, *_) = charts_of([Point(0, answered=1), Point(60)], Period.HOURS)
    assert requests.scale == [(100.0, "0"), (75.0, "1"), (50.0, "2"), (25.0, "3"), (0.0, "4")]


def test_a_chart_says_round_times_of_its_period() -> None:
    (hours, *_) = charts_of([Point(start) for start in range(0, 7200, 60)], Period.HOURS)
    assert [text for _, text in hours.clock] == ["00:00", "00:30", "01:00", "01:30"]
    (month, *_) = charts_of([Point(start) for start in range(0, 30 * 86400, 21600)], Period.MONTH)
    assert [text for _, text in month.clock] == ["01 Jan", "08 Jan", "15 Jan", "22 Jan", "29 Jan"]


def test_the_table_has_the_slots_in_which_something_happened_newest_first() -> None:
    points = [Point(0, answered=1200, rows=5), Point(60), Point(120, waiting=3)]
    assert table_of(charts_of(points, Period.HOURS)) == [
        ("00:02", ["0", "0", "–", "–", "3", "0"]),
        ("00:00", ["1,200", "0", "–", "–", "0", "5"]),
    ]


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (0.2, "0.2"), (500, "500"), (25_000, "25k"), (1.5e6, "1.5M")])
def test_a_number_at_an_axis_is_short(value: float, text: str) -> None:
    assert short(value) == text
