"""However many pages are watched, their live parts ask a process a bounded number of times a second."""

from __future__ import annotations

import pytest

from contract.settings import Settings
from gateway.app import create_app
from gateway.pages.live_parts import LONGEST, MOST_PER_SECOND, SHORTEST, RefreshPace
from tests.gateway.pages.browsers import Browser
from tests.gateway.pages.test_sessions import client as client
from tests.gateway.pages.test_sessions import token as token

TICK = {"Modelgate-Part": "1"}


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


def pace_of(clock: list[float]) -> RefreshPace:
    return RefreshPace(lambda: clock[0])


def test_few_pages_ask_often_and_many_more_rarely(clock: list[float]) -> None:
    pace = pace_of(clock)
    assert [pace.note("one", "/ui/jobs") for _ in range(3)] == [SHORTEST] * 3
    pauses = [pace.note(f"session {number}", "/ui/jobs") for number in range(50)]
    assert pauses == sorted(pauses)
    assert 51 / pauses[-1] == pytest.approx(MOST_PER_SECOND)
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
    assert float(browser.get("/ui/jobs", headers=TICK).headers["Live-Every"]) >= SHORTEST
    assert "Live-Every" not in browser.get("/ui/jobs").headers


def test_visitors_without_a_session_slow_no_page(client: object, token: str) -> None:
    browser = Browser(client)  # type: ignore[arg-type]
    assert "Live-Every" not in browser.get("/ui/login", headers=TICK).headers


def test_pages_without_a_live_part_slow_no_live_one(client: object, token: str) -> None:
    browser = Browser(client)  # type: ignore[arg-type]
    browser.sign_in(token)

    def asked(path: str, number: int) -> float:
        headers = {"Modelgate-Part": "1", "Referer": f"http://localhost/ui/models/{number}"}
        answer = browser.get(path, headers=headers)
        assert answer.status_code in (200, 204)
        return float(answer.headers["Live-Every"])

    before = asked("/ui/jobs", 0)
    assert [asked("/ui/session", number) for number in range(60)][-1] > SHORTEST
    assert asked("/ui/jobs", 0) == before


def test_a_page_learns_that_its_session_has_ended(client: object, token: str) -> None:
    browser = Browser(client)  # type: ignore[arg-type]
    browser.sign_in(token)
    ask = {"Modelgate-Part": "1", "Referer": "http://localhost/ui/keys"}
    assert (browser.get("/ui/session", headers=ask).status_code, browser.get("/ui/session").data) == (204, b"")
    browser.send("/ui/logout")
    answer = browser.get("/ui/session", headers=ask)
    assert (answer.status_code, answer.headers["Modelgate-Redirect"]) == (204, "/ui/login?next=/ui/keys")


def test_pages_whose_browser_keeps_no_cookie_are_counted_one_by_one(settings: Settings) -> None:
    client = create_app(settings).test_client(use_cookies=False)
    pauses = [float(client.get("/ui/jobs", headers=TICK).headers["Live-Every"]) for _ in range(20)]
    assert pauses[-1] > pauses[0]
