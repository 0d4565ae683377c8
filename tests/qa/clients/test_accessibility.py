"""Every page with axe-core, in light, in the dark and on a phone; and with a keyboard alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.qa.clients.conftest import AS_ADMIN, IRIS, PROJECT, Modelgate, redis_stopped, signed_in, without_ticks

PATHS = (
    *(
        "",
        "/models/iris",
        "/models/iris/describe",
        "/models/iris/try",
        "/models/iris/try?version=1",
        "/models/iris/versions",
        "/models/iris/versions/1",
    ),
    *(
        "/models/iris/versions/1/card",
        "/models/iris/traffic",
        "/models/iris/failures",
        "/models/iris/health",
        "/models/iris/experiments",
        "/models/iris/log",
        "/models/iris/api",
        "/models/iris/promotions",
        "/models/iris/compare?a=1&b=2",
    ),
    *("/models/iris/versions/1/promote", "/models/iris/rollback", "/train", "/jobs", "/jobs?model=nothing"),
    *("/system", "/keys", "/audit", "/audit?action=nothing", "/nothing", "/models/nothing"),
)

Open = Callable[[Page, Modelgate], object]
"""Leads a visitor who has signed in to a page that no address alone leads to."""


def ended_job(page: Page, modelgate: Modelgate) -> None:
    job = sent(modelgate, "/v1/models/iris/predict", IRIS, Prefer="wait=30")
    page.goto(f"/ui/jobs/{job['id']}")
    expect(page.locator("h1 .badge")).to_have_text("succeeded")


def ended_training(page: Page, _: Modelgate) -> None:
    page.goto("/ui/jobs?kind=training&status=succeeded")
    page.locator("tbody th a").first.click()
    expect(page.get_by_role("heading", name="Log")).to_be_visible()


def running_training(page: Page, modelgate: Modelgate) -> None:
    without_ticks(page)  # it stays as it is when the training has ended
    while page.locator("h1 .badge.running").count() == 0:
        job = sent(modelgate, "/v1/models/iris/train")
        while job["status"] == "queued":
            job = requests.get(f"{modelgate.address}/v1/jobs/{job['id']}", headers=AS_ADMIN, timeout=60).json()
        page.goto(f"/ui/jobs/{job['id']}")


def columns_of_a_csv(page: Page, _: Modelgate) -> None:
    page.goto("/ui/train")
    page.set_input_files("input[name=file]", PROJECT / "docs" / "tutorial" / "churn.csv")
    expect(page.locator("tr.target")).to_contain_text("stays")


def secret_of_a_new_key(page: Page, _: Modelgate) -> None:
    page.goto("/ui/keys")
    page.locator("input[name=name]").fill(f"visitor-{os.urandom(4).hex()}")
    page.get_by_role("button", name="Make the key").click()
    expect(page.get_by_role("heading", name="Its secret")).to_be_visible()


def a_notification_with_an_error(page: Page, _: Modelgate) -> None:
    page.goto("/ui/notifications")
    page.locator("input[name=name]").fill("ops")
    page.locator("input[name=url]").fill("http://10.0.0.1/")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#problem, .wrong").first).to_be_visible()


def page_of_a_key(page: Page, modelgate: Modelgate) -> None:
    secret_of_a_new_key(page, modelgate)
    page.get_by_role("link", name="I have copied it").click()
    page.locator("tbody th a").first.click()
    page.get_by_text("Limits, and how much errors say").click()
    expect(page.get_by_role("button", name="Rotate").first).to_be_visible()


def answer(page: Page, _: Modelgate) -> None:
    page.goto("/ui/models/iris/try")
    page.get_by_role("button", name="Predict", exact=True).click()
    expect(page.locator("#answer .answer")).to_be_visible()
    expect(page.locator("#otherwise:not([data-then])")).to_be_visible()
    expect(page.locator("#why tbody")).to_be_visible()


def wrong_draft(page: Page, _: Modelgate) -> None:
    page.goto("/ui/models/iris/try")
    page.get_by_label("petal_length").fill("many")
    expect(page.locator("#answer .wrong")).to_be_visible()


def experiments(page: Page, modelgate: Modelgate) -> None:
    """One that runs, and one that has ended."""
    path = "/v1/models/iris/experiments"
    for stops in (True, False):
        runs = {"candidate": 1, "kind": "canary", "share": 0.01}
        started = requests.post(f"{modelgate.address}{path}", json=runs, headers=AS_ADMIN, timeout=60)
        if stops and started.ok:
            stopped = f"{modelgate.address}{path}/{started.json()['id']}"
            requests.delete(stopped, headers=AS_ADMIN, timeout=60).raise_for_status()
    page.goto("/ui/models/iris/experiments")
    expect(page.locator(".badge.running")).to_be_visible()
    page.get_by_text("Stop this experiment").click()


def wrong_experiment(page: Page, _: Modelgate) -> None:
    page.goto("/ui/models/iris/experiments")
    if page.get_by_text("Stop this experiment").is_visible():
        page.get_by_text("Stop this experiment").click()
        page.get_by_role("button", name="Stop it").click()
    page.get_by_label("Canary").check()
    page.get_by_label("Days").fill("many")
    page.get_by_role("button", name="Start the experiment").click()
    expect(page.locator("#days-wrong")).to_be_visible()


def wrong_fields(page: Page, _: Modelgate) -> None:
    page.goto("/ui/models/iris/try")
    page.get_by_label("petal_length").fill("many")
    page.get_by_role("button", name="Predict", exact=True).click()
    expect(page.locator("#input-2-wrong")).to_be_visible()


def answers_of_a_file(page: Page, _: Modelgate) -> None:
    page.goto("/ui/models/iris/try")
    rows = f"{','.join(IRIS)}\n{','.join(map(str, IRIS.values()))}\n".encode()
    page.get_by_label("Drop a CSV").set_input_files({"name": "rows.csv", "mimeType": "text/csv", "buffer": rows})
    page.get_by_role("button", name="Predict the rows").click()
    expect(page.get_by_role("link", name="Download all as CSV")).to_be_visible()


def compared_rows(page: Page, _: Modelgate) -> None:
    page.goto("/ui/models/iris/compare?a=1&b=2")
    page.get_by_role("button", name="Ask both versions").click()
    expect(page.get_by_text("They answer the same to all").or_(page.get_by_text("They differ on"))).to_be_visible()


def lost_server(page: Page, _: Modelgate) -> None:
    without_ticks(page)  # it stays lost although the server is back
    page.goto("/ui/jobs")
    page.context.set_offline(True)
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("#lost")).to_be_visible()
    page.context.set_offline(False)


def sign_in(page: Page, _: Modelgate) -> None:
    page.context.clear_cookies()
    page.goto("/ui")
    page.get_by_label("API key").fill("mg_wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("There is no such key")).to_be_visible()


def with_scopes(page: Page, modelgate: Modelgate, *scopes: str) -> None:
    body = {"name": f"only-{'-'.join(scopes)}-{os.urandom(4).hex()}", "scopes": scopes}
    page.context.clear_cookies()
    page.goto("/ui")
    page.get_by_label("API key").fill(sent(modelgate, "/v1/keys", body)["secret"])
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def forbidden(page: Page, modelgate: Modelgate) -> None:
    with_scopes(page, modelgate, "read")
    page.goto("/ui/keys")
    expect(page.get_by_text("403 · missing_scope")).to_be_visible()


def welcome(page: Page, modelgate: Modelgate) -> None:
    with_scopes(page, modelgate, "predict", "train")
    expect(page.get_by_role("heading", name="Welcome")).to_be_visible()


def unavailable(page: Page, modelgate: Modelgate) -> None:
    without_ticks(page)  # it stays as it is although Redis is back
    with redis_stopped(modelgate):
        page.goto("/ui/jobs")
    expect(page.get_by_text("503 · ")).to_be_visible()


OPENED: Mapping[str, Open] = {
    one.__name__: one
    for one in (
        *(ended_job, ended_training, columns_of_a_csv, secret_of_a_new_key, page_of_a_key),
        *(a_notification_with_an_error, answer),
        *(
            wrong_draft,
            experiments,
            wrong_experiment,
            wrong_fields,
            answers_of_a_file,
            compared_rows,
            lost_server,
            sign_in,
            forbidden,
            welcome,
            unavailable,
            running_training,  # its version becomes current, and forms are for that from then on
        ),
    )
}


def sent(modelgate: Modelgate, path: str, body: object = None, **headers: str) -> dict[str, Any]:
    answer = requests.post(f"{modelgate.address}{path}", json=body, headers={**AS_ADMIN, **headers}, timeout=60)
    found: dict[str, Any] = answer.json()
    assert answer.ok, found
    return found


@pytest.fixture(scope="module")
def session(browser: Browser, closed: Modelgate) -> Any:
    page = signed_in(browser, closed)
    cookies = page.context.storage_state()
    page.context.close()
    return cookies


@pytest.fixture
def page(browser: Browser, closed: Modelgate, session: Any) -> Iterator[Page]:
    page = browser.new_context(base_url=closed.address, storage_state=session).new_page()
    yield page
    page.context.close()


@pytest.mark.parametrize("name", [*PATHS, *OPENED])
def test_axe_finds_nothing_in_light_in_the_dark_and_on_a_phone(page: Page, closed: Modelgate, name: str) -> None:
    if name in OPENED:
        OPENED[name](page, closed)
    else:
        page.goto(f"/ui{name}")
    found = violations(page)
    page.emulate_media(color_scheme="dark")
    found += violations(page, {"runOnly": ["color-contrast"]})
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 390, "height": 844})
    found += violations(page)
    assert found == []
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0


def violations(page: Page, options: Mapping[str, Any] | None = None) -> list[tuple[str, str]]:
    """Return the rules of axe-core that the page breaks, of every impact, each with the element."""
    found = Axe().run(page, options=options).response["violations"]
    return [(one["id"], node["html"][:160]) for one in found for node in one["nodes"]]


def test_each_page_has_a_title_of_its_own(page: Page) -> None:
    titles = {}
    for path in PATHS:
        page.goto(f"/ui{path}")
        titles[path.partition("?")[0]] = page.title().removesuffix(" · Modelgate")
    assert all(titles.values())
    nowhere = {path for path, title in titles.items() if title == "There is nothing here"}
    assert nowhere == {"/nothing", "/models/nothing"}
    assert len(set(titles.values())) == len(titles) - 1


FOCUSED = """() => {
  const one = document.activeElement;
  const shown = one.type === "file" ? one.closest("label") : one.type === "radio" ? one.nextElementSibling : one;
  const style = getComputedStyle(shown), box = shown.getBoundingClientRect();
  const inView = box.width > 0 && box.height > 0 && box.left >= 0 && box.top >= 0 && box.top < innerHeight;
  const y = Math.min(box.top + box.height / 2, innerHeight - 1);
  return {
    at: [...document.querySelectorAll("*")].indexOf(one), html: one.outerHTML.slice(0, 120),
    outlined: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    seen: inView && shown.contains(document.elementFromPoint(box.left + box.width / 2, y)),
  };
}"""
REACHABLE = """() => [...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, summary")]
  .filter(one => one.checkVisibility() && !one.disabled && !(one.type === "radio" && !one.checked))
  .map(one => [...document.querySelectorAll("*")].indexOf(one))"""


@pytest.mark.parametrize("path", ["", "/models/iris", "/models/iris/versions", "/train", "/jobs", "/system", "/keys"])
def test_the_keyboard_reaches_everything_in_order_and_shows_where_it_is(page: Page, path: str) -> None:
    without_ticks(page)  # no element is replaced meanwhile
    page.goto(f"/ui{path}")
    reached: list[dict[str, Any]] = []
    while True:
        page.keyboard.press("Tab")
        found = page.evaluate(FOCUSED)
        if reached and found["at"] <= reached[-1]["at"]:
            break  # the browser begins again
        reached.append(found)
    assert "Skip to the content" in reached[0]["html"]
    assert set(page.evaluate(REACHABLE)) <= {one["at"] for one in reached}
    assert [one["html"] for one in reached if not one["outlined"] or not one["seen"]] == []


def test_who_wants_less_motion_gets_none(browser: Browser, closed: Modelgate) -> None:
    moving = {}
    for wish in ("reduce", "no-preference"):
        page = signed_in(browser, closed, reduced_motion=wish)
        lost_server(page, closed)
        moving[wish] = page.evaluate("document.getAnimations().length")
        page.context.close()
    assert moving["reduce"] == 0 < moving["no-preference"]
