"""However many pages are watched, their live parts ask a process a bounded number of times a second."""

from __future__ import annotations

import pytest

from gateway.pages.pace import LONGEST, MOST_PER_SECOND, SHORTEST, Pace
from tests.gateway.pages.browsers import Browser
from tests.gateway.pages.test_sessions import client as client
from tests.gateway.pages.test_sessions import token as token


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


def pace_of(clock: list[float]) -> Pace:
    return Pace(lambda: clock[0])


def test_few_pages_ask_often_and_many_more_rarely(clock: list[float]) -> None:
    pace = pace_of(clock)
    assert [pace.note("one", "/ui/jobs") for _ in range(3)] == [SHORTEST] * 3
    found = [pace.note(f"session {number}", "/ui/jobs") for number in range(50)]
    assert found == sorted(found)
    assert 51 / found[-1] == pytest.approx(MOST_PER_SECOND)
    assert [pace.note(f"session {number}", "/ui") for number in range(1000)][-1] == LONGEST


def test_closed_pages_do_not_count(clock: list[float]) -> None:
    pace = pace_of(clock)
    for number in range(100):
        pace.note(f"session {number}", "/ui/jobs")
    clock[0] = 2 * LONGEST + 1
    assert pace.note("one", "/ui/jobs") == SHORTEST


def test_a_live_part_is_told_when_to_ask_again(client: object, token: str) -> None:
    browser = Browser(client)  # type: ignore[arg-type]
    browser.sign_in(token)
    assert float(browser.get("/ui/jobs", headers={"HX-Request": "true"}).headers["Live-Every"]) >= SHORTEST
    assert "Live-Every" not in browser.get("/ui/jobs").headers


def test_visitors_without_a_session_slow_no_page(client: object, token: str) -> None:
    browser = Browser(client)  # type: ignore[arg-type]
    assert "Live-Every" not in browser.get("/ui/login", headers={"HX-Request": "true"}).headers
