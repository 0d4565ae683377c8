"""A team at its pages: why requests fail, which threshold a model has, and who a proxy says that somebody is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from tests.qa.clients.conftest import AS_ADMIN, PROJECT, Modelgate, accepted_training, ended, signed_in, started
from tests.stacks.signing_proxy import signing_proxy

HEADER, PROXY, PERSON = "X-Forwarded-Email", "127.0.0.2", "ann@corp.com"
ROW = {"region": "east", "months": "five", "plan": "plus", "monthly_charge": 39.5, "data_gb": 2, "support_calls": 2}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Modelgate]:
    """One behind a proxy, with the model of the tutorial."""
    folder = tmp_path_factory.mktemp("team-pages")
    settings = {"TRUSTED_USER_HEADER": HEADER, "TRUSTED_PROXIES": PROXY, "TRAIN_ON_START": "none"}
    with started(folder, folder / "models", ADMIN_KEY=AS_ADMIN["Authorization"].split()[1], **settings) as running:
        train(running)
        yield running


def train(place: Modelgate) -> None:
    """Train version 1 or the next one of `churn`."""
    sent = {"file": ("churn.csv", (PROJECT / "docs" / "tutorial" / "churn.csv").read_bytes())}
    fields = {"target": "stays", "id_field": "customer", "parameters": '{"estimator": "linear"}'}
    job = accepted_training(f"{place.address}/v1/models/churn/train", files=sent, data=fields, headers=AS_ADMIN)
    job = ended(place, job, headers=AS_ADMIN)
    assert job["output"] and job["output"]["promoted"], job


def test_why_requests_fail_is_found_from_the_list_and_an_example_copied(browser: Browser, place: Modelgate) -> None:
    sent = {**ROW, "payment": "card", "last_contact": None}
    for _ in range(41):
        answer = requests.post(f"{place.address}/v1/models/churn/predict", json=sent, headers=AS_ADMIN, timeout=60)
        assert answer.status_code == 422
    page = signed_in(browser, place, permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("link", name="churn", exact=True).click()
    page.get_by_role("link", name="Failures", exact=True).click()
    cause = page.locator("section", has=page.get_by_role("heading", name="months is not a number"))
    expect(cause).to_contain_text("41 requests")
    expect(cause).to_contain_text("ADMIN_KEY 41")
    cause.get_by_text("A request that was refused, without its values").click()
    page.evaluate("setTimeout = () => 0")  # else "Copied" may be gone again before it is looked for
    cause.get_by_role("button", name="Copy").click()
    expect(cause.get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith(f"curl -s {place.address}/v1/models/churn/predict")
    (example,) = json.loads(re.findall(r"-d '(.*)'", copied, re.DOTALL)[0])
    assert (example["months"], example["data_gb"]) == ("«text of 4 characters»", "«whole number»")
    assert "five" not in copied
    page.context.close()


def test_a_threshold_is_moved_saved_and_kept_by_the_next_training(browser: Browser, place: Modelgate) -> None:
    page = signed_in(browser, place)
    page.goto("/ui/models/churn/versions/1")
    page.get_by_role("link", name="Choose a threshold").click()
    outcome, slider = page.locator("#outcome"), page.get_by_role("slider")
    found = outcome.locator("dt", has_text="found").locator("+ dd")
    before = found.inner_text()
    slider.fill("0.2")
    expect(outcome.get_by_role("heading", level=3)).to_contain_text("From 0.2 on")
    expect(page).to_have_url(re.compile("threshold=0.2"))
    expect(found).not_to_have_text(before)
    slider.press("ArrowRight")
    expect(outcome.get_by_role("heading", level=3)).to_contain_text("From 0.201 on")
    page.get_by_label("A missed row costs").fill("50")
    page.get_by_label("A false alarm costs").fill("1")
    expect(outcome.locator("dt", has_text="costs")).to_be_visible()
    expect(page).to_have_url(re.compile("miss=50&false_alarm=1"))  # each of the two sends the form
    right, of = map(int, found.inner_text().split()[:3:2])
    assert 0 < right <= of
    page.get_by_role("button", name="Save as a new version").click()
    page.wait_for_url("**/ui/models/churn/versions/2")
    decides = page.locator("dt", has_text="decides").locator("+ dd")
    expect(decides).to_contain_text(re.compile(r"from a probability of 0\.201 on"))
    version = requests.get(f"{place.address}/v1/models/churn/versions/2", headers=AS_ADMIN, timeout=60).json()
    decision = version["signature"]["outputs"][0]["decision"]
    assert decision["threshold"] == 0.201
    body = {"version": 2}
    moved = requests.put(f"{place.address}/v1/models/churn/aliases/current", json=body, headers=AS_ADMIN, timeout=60)
    assert moved.status_code == 200, moved.text
    train(place)
    page.goto("/ui/models/churn/versions/3")
    expect(decides).to_contain_text(re.compile(r"from a probability of 0\.201 on"))
    page.context.close()


def test_the_date_of_a_report_is_that_of_the_reader(browser: Browser, place: Modelgate) -> None:
    page = signed_in(browser, place, timezone_id="Asia/Kathmandu")
    page.goto("/ui/models/churn/versions/1")
    date = page.frame_locator("iframe.report").locator("time").first
    at = datetime.fromisoformat(date.get_attribute("datetime") or "").astimezone(ZoneInfo("Asia/Kathmandu"))
    expect(date).to_have_text(f"{at:%Y-%m-%d %H:%M} GMT+5:45")
    page.context.close()


# People whom a proxy signs in


@pytest.fixture(scope="module")
def proxy(place: Modelgate) -> Iterator[str]:
    entry = {"name": "ann", "owner": "risk", "user": PERSON, "scopes": ["admin"]}
    made = requests.post(f"{place.address}/v1/keys", json=entry, headers=AS_ADMIN, timeout=60)
    assert made.status_code == 201, made.text
    with signing_proxy(place.port, PROXY, HEADER, PERSON) as address:
        yield address


def corner(page: Page) -> str:
    return page.locator("header").inner_text()


def test_a_person_behind_a_proxy_is_signed_in_and_named_in_the_audit_log(browser: Browser, proxy: str) -> None:
    page = browser.new_context(base_url=proxy).new_page()
    page.goto("/ui")
    expect(page.get_by_role("heading", name="Models", exact=True)).to_be_visible()
    assert PERSON in corner(page)
    page.goto("/ui/models/churn/describe")
    page.get_by_label("Description").fill("Who leaves next month.")
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/ui/models/churn?described=1")
    expect(page.locator("main")).to_contain_text("Who leaves next month.")
    page.get_by_role("link", name="Audit", exact=True).click()
    newest = page.locator("tbody tr").first
    expect(newest).to_contain_text("churn")
    expect(newest).to_contain_text(PERSON)
    page.context.close()


@pytest.mark.usefixtures("proxy")
def test_the_same_header_from_another_address_signs_nobody_in(browser: Browser, place: Modelgate) -> None:
    page = browser.new_context(base_url=place.address, extra_http_headers={HEADER: PERSON}).new_page()
    page.goto("/ui")
    page.wait_for_url("**/ui/login**")
    expect(page.get_by_label("API key")).to_be_visible()
    assert PERSON not in corner(page)
    refused = page.request.post("/ui/models/churn/describe", form={"description": "mine"}, max_redirects=0)
    assert refused.headers["location"].startswith("/ui/login")
    page.context.close()
