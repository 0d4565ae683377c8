"""Charts of traffic: what is drawn of which values, and what is said of them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from broker.metrics.table import MODEL_SECONDS
from broker.metrics.traffic import Period, Point
from gateway.pages.charts.traffic_charts import Curve, TrafficChart, charts_of, short, table_of
from gateway.serving.model_events import EventKind, ModelEvent

MINUTE, QUARTER, SIX_HOURS = (period.step for period in Period)
BOUNDS = MODEL_SECONDS.buckets


def chart(*values: Sequence[float | None], is_band: bool = False) -> TrafficChart:
    curves = [Curve(f"c{at}", "", of_curve, []) for at, of_curve in enumerate(values)]
    return TrafficChart("Latency", "", [""] * len(values[0]), [], "minute", curves, is_band)


def test_a_single_value_is_a_dot_and_there_is_no_line_where_nothing_was_asked() -> None:
    alone = chart([None, 100, None, None, 100])
    (curve,) = alone.curves
    assert alone.lines(curve) == alone.areas == []
    assert alone.dots(curve) == [(25.0, pytest.approx(9.09)), (100.0, pytest.approx(9.09))]
    parts = chart([100, 100, None, 100, 100])
    assert len(parts.lines(parts.curves[0])) == 2 and parts.dots(parts.curves[0]) == []


def test_lines_lead_from_one_value_to_the_next_and_the_first_is_filled_down_to_the_axis() -> None:
    counts = chart([0, 10, 0])
    assert counts.lines(counts.curves[0]) == ["0,100 50,9.09 100,100"]
    assert counts.areas == ["0,100 50,9.09 100,100 100,100 50,100 0,100"]


def test_the_band_of_latencies_lies_between_half_and_99_percent() -> None:
    assert chart([10, None, 20, 20], [5, None, 10, 10], is_band=True).areas == [
        "66.67,9.09 100,9.09 100,54.55 66.67,54.55"
    ]


def latency(*buckets: Sequence[int]) -> TrafficChart:
    return charts_of([Point(at * MINUTE, buckets=counts) for at, counts in enumerate(buckets)], MINUTE)[1]


def test_a_median_at_a_bound_makes_no_saw_teeth_and_its_number_is_the_bound() -> None:
    (_, half) = latency([0, 51, 49], [0, 49, 51]).curves
    below, above = half.values
    assert below is not None and above is not None
    assert half.texts == ["≤ 5 ms", "≤ 10 ms"], "the bound doubles"
    assert 4.9 < below < 5 < above < 5.2, "what is drawn hardly moves"


def test_what_is_drawn_lies_between_the_bounds_of_its_bucket() -> None:
    (most, half) = latency([1], [0, 0, 7], [3, 0, 0, 2]).curves
    for curve in (most, half):
        for value, text in zip(curve.values, curve.texts, strict=True):
            high = next(bound for bound in BOUNDS if text == f"≤ {bound * 1000:g} ms")
            low = max((bound for bound in BOUNDS if bound < high), default=0.0)
            assert value is not None and low * 1000 <= value <= high * 1000


def test_a_latency_beyond_the_buckets_is_drawn_on_the_last_bound_and_said_to_be_more() -> None:
    (most, half) = latency([0] * len(BOUNDS) + [1]).curves
    assert most.values == half.values == [BOUNDS[-1] * 1000]
    assert most.texts == half.texts == [f"> {BOUNDS[-1]:g} s"]


def test_few_requests_have_whole_numbers_at_their_axis() -> None:
    (requests, *_) = charts_of([Point(0, answered=1), Point(60)], MINUTE)
    assert requests.scale == [(100.0, "0"), (75.0, "1"), (50.0, "2"), (25.0, "3"), (0.0, "4")]


@pytest.mark.parametrize(
    ("step", "points", "form", "times"),
    [
        (MINUTE, 120, "minute", ["00:00", "00:30", "01:00", "01:30"]),
        (MINUTE, 10, "minute", ["00:00", "00:05"]),
        (QUARTER, 96, "minute", ["00:00", "06:00", "12:00", "18:00"]),
        (SIX_HOURS, 120, "day", ["01", "08", "15", "22", "29"]),
        (SIX_HOURS, 20, "day", ["01", "02", "03", "04", "05"]),
        (SIX_HOURS, 1, "minute", ["00:00"]),
    ],
)
def test_a_chart_says_few_round_times_of_any_range(step: int, points: int, form: str, times: list[str]) -> None:
    (requests, *_) = charts_of([Point(at * step) for at in range(points)], step)
    part = slice(8, 10) if form == "day" else slice(11, 16)
    assert (requests.clock_form, [time[part] for _, time in requests.clock]) == (form, times)


def test_the_table_has_the_slots_in_which_something_happened_newest_first() -> None:
    points = [Point(0, answered=1200, rows=5), Point(60), Point(120, waiting=3), Point(180)]
    events = [ModelEvent("1970-01-01T00:03:59Z", EventKind.START, "worker a|b started")]
    assert table_of(charts_of(points, MINUTE, events)) == [
        ("1970-01-01T00:03:00Z", ["0", "0", "–", "–", "0", "0"], "worker a/b started"),
        ("1970-01-01T00:02:00Z", ["0", "0", "–", "–", "≥ 3", "0"], ""),
        ("1970-01-01T00:00:00Z", ["1,200", "0", "–", "–", "0", "5"], ""),
    ]


def test_counts_of_a_slot_that_has_only_begun_say_so() -> None:
    (requests, *_) = charts_of([Point(0, answered=9), Point(60, answered=12)], MINUTE, has_only_begun=True)
    assert requests.curves[0].texts == ["9", "12 so far"]


def test_an_event_is_a_line_at_its_time() -> None:
    events = [ModelEvent(f"1970-01-01T00:{at}Z", EventKind.PROMOTION, at) for at in ("00:30", "02:00", "02:59")]
    (requests, *_) = charts_of([Point(at * MINUTE) for at in range(3)], MINUTE, events)
    assert [(line.place, line.at) for line in requests.events] == [(25.0, 0), (100.0, 2), (100.0, 2)]
    assert requests.happened == ["00:30", "", "02:00; 02:59"]


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (0.2, "0.2"), (500, "500"), (25_000, "25k"), (1.5e6, "1.5M")])
def test_a_number_at_an_axis_is_short(value: float, text: str) -> None:
    assert short(value) == text
