"""Numbers are written in one manner: digits, thousands, signs, powers of ten."""

from __future__ import annotations

import pytest

from contract.wording import fixed, number, significant


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0"),
        (0.0, "0"),
        (1_234_567, "1,234,567"),
        (-1_234_567.0, "−1,234,567"),
        (123_456.7, "123,457"),
        (123.46, "123.5"),
        (12.346, "12.35"),
        (-0.1234, "−0.123"),
        (0.0012345, "0.0012"),
        (1.2345e-9, "1.2 × 10⁻⁹"),
        (1e12, "1,000,000,000,000"),
        (-1.5e300, "−1.5 × 10³⁰⁰"),
    ],
)
def test_a_number_has_the_digits_that_a_reader_needs(value: float | None, text: str) -> None:
    assert number(value) == text


def test_a_measured_number_that_is_whole_has_decimals() -> None:
    assert [number(value, measured=True) for value in (1.0, 0.0, 120, 1e12)] == [
        *("1.000", "0.000", "120.0", "1,000,000,000,000")
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12345.678, "12,345.7"),
        (-0.5, "−0.5"),
        (123_456_789.0, "123,456,789"),
        (1e-9, "1 × 10⁻⁹"),
        (1e12, "1,000,000,000,000"),
        (2e15, "2 × 10¹⁵"),
    ],
)
def test_a_value_of_a_row_has_six_digits_or_all_before_its_point(value: float, text: str) -> None:
    assert significant(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.0004, "0.000"), (-0.0004, "0.000"), (1.5, "+1.500"), (-2.0, "−2.000")])
def test_a_difference_has_its_sign_unless_it_is_rounded_to_0(value: float, text: str) -> None:
    assert fixed(value, 3, plus="+") == text
