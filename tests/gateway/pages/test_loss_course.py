"""The chart of an experiment: the difference of the losses by outcomes, with its band."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.pages.experiments.evidence import LossCourse


def moment(outcomes: int, mean: float, reach: float) -> dict[str, Any]:
    return {"outcomes": outcomes, "mean": mean, "low": mean - reach, "high": mean + reach}


def test_the_band_surrounds_the_line_and_the_levels_have_their_heights() -> None:
    course = LossCourse.of([moment(50, 0.0, 0.1), moment(100, 0.1, 0.1)], 0.05)
    assert course
    assert course.line == [(50.0, 100.0), (100.0, 50.0)]
    assert course.band == [(50.0, 100.0), (100.0, 100.0), (100.0, 0.0), (50.0, 50.0)]
    assert (course.zero, course.margin) == (100.0, 75.0)
    assert [text for _, text in course.x.ticks] == ["0", "20", "40", "60", "80", "100"]


def test_wide_bands_at_the_beginning_do_not_flatten_the_rest() -> None:
    moments = [moment(1, 3.0, 6.9), moment(2, -2.0, 6.9), *(moment(at, 0.01, 0.02) for at in range(10, 14))]
    course = LossCourse.of(moments, 0.01)
    assert course
    heights = [y for _, y in (*course.line, *course.band)]
    assert min(heights) == 0 and max(heights) == 100  # the wide ones end at the edges
    assert course.line[-1][1] == pytest.approx(50) and course.zero == pytest.approx(75)


def test_the_level_of_a_margin_is_in_sight() -> None:
    course = LossCourse.of([moment(50, -1.0, 0.1), moment(100, -1.0, 0.1)], 0.5)
    assert course and course.margin == 0 and 0 < course.zero < 100


@pytest.mark.parametrize("moments", [[], [moment(1, 0.0, 1.0)]])
def test_a_single_moment_is_no_course(moments: list[dict[str, Any]]) -> None:
    assert LossCourse.of(moments, 0.01) is None
