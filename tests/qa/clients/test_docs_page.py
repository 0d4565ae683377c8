"""The page of the documentation in a browser: its form asks a model, with a key, too, and all is the gateway's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from tests.qa.clients.conftest import Modelgate, started

ADMIN_KEY = "k" * 40


@pytest.fixture(params=[{}, {"viewport": {"width": 390, "height": 844}}, {"color_scheme": "dark"}])
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page, on a phone and in the dark, too. Fails the test if something was blocked, or came from elsewhere."""
    context = browser.new_context(**request.param)
    page, complaints, addresses = context.new_page(), [], []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: addresses.append(request.url))
    yield page
    context.close()
    assert [one for one in complaints if "401" not in one] == []
    assert [url for url in addresses if not url.startswith(("http://127.0.0.1:", "data:", "blob:"))] == []


def answer_of(page: Page, operation: str) -> str:
    """Send the request of the form with a longer wait, and return what the page shows of the answer."""
    block: Locator = page.locator(f"#operation-{operation}")
    block.locator("summary").first.click()
    block.get_by_label("Prefer").fill("wait=60")
    block.get_by_role("button", name="Send the request").click()
    answer = block.locator(".reply .body")
    answer.wait_for()
    return answer.inner_text()


def test_the_form_predicts(page: Page, modelgate: Modelgate) -> None:
    page.goto(f"{modelgate.address}/docs?model=loan")
    answer = answer_of(page, "predict_loan")
    assert '"status": "succeeded"' in answer
    wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wider == 0
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    brightness = page.evaluate("Number(getComputedStyle(document.body).backgroundColor.match(/[0-9]+/)[0])")
    assert (brightness < 128) is dark


def test_the_requests_of_each_model_have_a_page_of_their_own(page: Page, modelgate: Modelgate) -> None:
    page.goto(f"{modelgate.address}/docs")
    expect(page.locator("#operation-get_system")).to_be_visible()
    expect(page.locator("#operation-predict_loan")).to_have_count(0)
    page.goto(f"{modelgate.address}/ui/models/loan/api")
    page.get_by_role("link", name="All requests to loan").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Requests to loan")
    expect(page.locator("#operation-predict_loan")).to_be_visible()
    assert page.locator(".operation:not([id$='_loan'])").count() == 0
    page.get_by_role("link", name="The page of loan").click()
    expect(page.get_by_role("heading", name="Inputs")).to_be_visible()


def test_the_page_of_an_unknown_model_names_a_similar_one(browser: Browser, modelgate: Modelgate) -> None:
    page = browser.new_page()
    page.goto(f"{modelgate.address}/docs?model=lean")
    expect(page.locator("#message")).to_contain_text("did you mean 'loan'?")
    page.close()


def test_words_find_an_operation_and_its_address_opens_it(page: Page, modelgate: Modelgate) -> None:
    page.goto(f"{modelgate.address}/docs")
    page.get_by_label("Find a request").fill("ROLLBACK post")
    shown = page.locator(".operation:visible")
    expect(shown).to_have_count(1)
    shown.locator("summary").first.click()
    expect(shown.get_by_text("curl -s -X POST")).to_contain_text("/v1/models/{name}/rollback'")
    shown.get_by_label("name").fill("loan")
    expect(shown.get_by_text("curl -s -X POST")).to_contain_text("/v1/models/loan/rollback'")
    page.reload()
    expect(page.locator("#operation-roll_back")).to_have_attribute("open", "")


@pytest.mark.slow
@pytest.mark.parametrize("operation", ["predict_loan", "train_model", "publish_version", "predict", "get_system"])
def test_axe_finds_nothing(page: Page, modelgate: Modelgate, operation: str) -> None:
    query = "?model=loan" if operation.endswith("_loan") else ""
    page.goto(f"{modelgate.address}/docs{query}#operation-{operation}")
    answers = page.locator(f"#operation-{operation} .answers > details")
    expect(answers.first).to_be_visible()
    for answer in answers.all():
        answer.locator("summary").first.click()
    assert [(one["id"], one["nodes"][0]["html"][:160]) for one in Axe().run(page).response["violations"]] == []


def test_each_operation_is_shown_whole(page: Page, modelgate: Modelgate) -> None:
    page.goto(f"{modelgate.address}/docs")
    operations = page.locator(".operation")
    expect(operations.first).to_be_visible()
    page.evaluate("for (const block of document.querySelectorAll('.operation')) block.open = true")
    expect(page.locator(".operation .code")).to_have_count(operations.count())
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0


def test_the_form_predicts_with_a_key(browser: Browser, tmp_path: Path, models: Path, modelgate: Modelgate) -> None:
    with started(tmp_path, models, ADMIN_KEY=ADMIN_KEY) as closed:
        page = browser.new_page()
        page.goto(f"{closed.address}/docs?model=iris")
        page.get_by_text("This gateway needs an API key.").wait_for()
        page.get_by_label("API key").fill("mg_wrong")
        page.get_by_role("button", name="Use this key").click()
        page.get_by_text("there is no such key").wait_for()
        page.get_by_label("API key").fill(ADMIN_KEY)
        page.get_by_role("button", name="Use this key").click()
        assert '"status": "succeeded"' in answer_of(page, "predict_iris")
        page.close()
