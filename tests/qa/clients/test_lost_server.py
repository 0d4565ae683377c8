"""A page that has lost its server says so, keeps what was entered, and continues by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.qa.clients.conftest import ADMIN_KEY, Modelgate, redis_stopped, signed_in

LIVE, STILL = "/ui/system", "/ui/keys"
RARELY = 31_000
"""Milliseconds after which every page has asked once more."""


@pytest.fixture
def page(browser: Browser, closed: Modelgate) -> Iterator[Page]:
    """A page whose clock a test sets forward."""
    page = signed_in(browser, closed)
    page.clock.install()
    yield page
    page.context.close()


def later(page: Page) -> None:
    page.clock.run_for(RARELY)


@pytest.mark.slow
@pytest.mark.parametrize("path", [LIVE, STILL, "/ui/models/iris/try", "/ui/train", "/ui/nothing"])
def test_a_page_that_has_lost_its_server_says_so_and_comes_back_by_itself(page: Page, path: str) -> None:
    page.goto(path)
    expect(page.locator("#lost")).to_be_hidden()
    page.context.set_offline(True)
    later(page)
    expect(page.locator("#lost")).to_be_visible()
    page.context.set_offline(False)
    later(page)
    expect(page.locator("#lost")).to_be_hidden()


@pytest.mark.parametrize("path", [LIVE, STILL])
@pytest.mark.parametrize("status", [502, 503, 504])
def test_the_answer_of_a_proxy_without_its_server_is_no_answer(page: Page, path: str, status: int) -> None:
    page.goto(path)
    shown = page.locator("main").inner_text()
    page.route("**/ui/**", lambda route: route.fulfill(status=status, body="<h1>Bad gateway</h1>"))
    later(page)
    expect(page.locator("#lost")).to_be_visible()
    assert page.locator("main").inner_text() == shown
    page.unroute("**/ui/**")
    later(page)
    expect(page.locator("#lost")).to_be_hidden()


def test_an_answer_of_the_server_itself_is_shown_though_its_status_is_503(
    browser: Browser, modelgate: Modelgate
) -> None:
    page = browser.new_context(base_url=modelgate.address).new_page()
    page.goto("/ui/models/iris/try")
    with redis_stopped(modelgate):
        page.get_by_role("button", name="Predict", exact=True).click()
        expect(page.locator("#try").get_by_role("alert")).to_contain_text("Redis")
        expect(page.locator("#lost")).to_be_hidden()
    page.context.close()


def test_the_page_to_sign_in_finds_its_server_again_and_keeps_the_key(browser: Browser, closed: Modelgate) -> None:
    page = browser.new_context(base_url=closed.address).new_page()
    page.clock.install()
    page.goto("/ui/login")
    page.get_by_label("API key").fill(ADMIN_KEY)
    page.context.set_offline(True)
    later(page)
    expect(page.locator("#lost")).to_be_visible()
    page.context.set_offline(False)
    later(page)
    expect(page.locator("#lost")).to_be_hidden()
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Models", exact=True)).to_be_visible()
    page.context.close()


def test_a_form_that_meets_no_server_stays_and_is_sent_later(page: Page) -> None:
    page.goto("/ui/jobs")
    page.get_by_role("textbox", name="Model").fill("iris")
    page.context.set_offline(True)
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("#lost")).to_be_visible()
    page.context.set_offline(False)
    later(page)
    expect(page.locator("#lost")).to_be_hidden()
    expect(page.get_by_role("textbox", name="Model")).to_have_value("iris")
    page.get_by_role("button", name="Filter").click()
    expect(page).to_have_url(re.compile("model=iris"))


@pytest.mark.parametrize("fails", ["offline", "proxy"])
def test_a_prediction_that_meets_no_server_keeps_its_fields(page: Page, fails: str) -> None:
    page.goto("/ui/models/iris/try")
    page.get_by_label("petal_length").fill("5.9")
    if fails == "offline":
        page.context.set_offline(True)
    else:
        page.route("**/try", lambda route: route.fulfill(status=502, body="<h1>Bad gateway</h1>"))
    page.get_by_role("button", name="Predict", exact=True).click()
    expect(page.locator("#lost")).to_be_visible()
    page.context.set_offline(False)
    page.unroute("**/try")
    later(page)
    expect(page.locator("#lost")).to_be_hidden()
    expect(page.get_by_label("petal_length")).to_have_value("5.9")
    page.get_by_role("button", name="Predict", exact=True).click()
    expect(page.locator("#answer .answer")).to_be_visible()


def test_the_preview_of_a_file_is_made_once_the_server_is_back(page: Page) -> None:
    page.goto("/ui/train")
    page.context.set_offline(True)
    rows = "".join(f"{at},{at % 2}\n" for at in range(40)).encode()
    page.set_input_files("input[name=file]", {"name": "rows.csv", "mimeType": "text/csv", "buffer": b"a,b\n" + rows})
    expect(page.locator("#lost")).to_be_visible()
    page.context.set_offline(False)
    later(page)
    expect(page.locator("tr.target")).to_contain_text("b")


@pytest.mark.parametrize("noticed", ["by itself", "with a form"])
def test_a_session_that_has_ended_leads_to_the_sign_in_and_back_to_what_was_entered(page: Page, noticed: str) -> None:
    page.goto(STILL)
    page.locator("input[name=name]").fill("visitor")
    page.locator("input[value=train]").check()
    page.context.clear_cookies()
    if noticed == "by itself":
        later(page)
    else:
        page.get_by_role("button", name="Make the key").click()
    expect(page).to_have_url(re.compile("/ui/login"))
    page.get_by_label("API key").fill(ADMIN_KEY)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(re.compile(STILL))
    expect(page.locator("input[name=name]")).to_have_value("visitor")
    expect(page.locator("input[value=train]")).to_be_checked()
    page.reload()
    expect(page.locator("input[name=name]")).to_have_value("")


def test_a_live_page_whose_session_has_ended_leads_to_the_sign_in(page: Page) -> None:
    page.goto(LIVE)
    page.context.clear_cookies()
    later(page)
    expect(page).to_have_url(re.compile("/ui/login"))


def test_a_page_that_met_no_redis_appears_once_redis_is_back(page: Page, closed: Modelgate) -> None:
    with redis_stopped(closed):
        page.goto("/ui/jobs")
        expect(page.get_by_text("503 · ")).to_be_visible()
    later(page)
    expect(page.get_by_role("heading", name="Jobs", level=1)).to_be_visible()
