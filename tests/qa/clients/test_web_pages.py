"""The web pages in a browser, driven as a person drives them: sign in, try, promote, compare, roll back, sign out."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import pytest
import requests
from playwright.sync_api import Browser, expect

from tests.qa.clients.conftest import ADMIN_KEY, AS_ADMIN, IRIS, Modelgate, signed_in, without_ticks

WIDE, PHONE = {"viewport": {"width": 1280, "height": 720}}, {"viewport": {"width": 390, "height": 844}}
COLUMNS = "sepal_length,sepal_width,petal_length,petal_width"


def test_a_person_signs_in_tries_promotes_rolls_back_and_signs_out(browser: Browser, closed: Modelgate) -> None:
    page = browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{closed.address}/")
    page.get_by_label("API key").fill("mg_wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert").filter(has_text="There is no such key")).to_be_visible()
    page.get_by_label("API key").fill(ADMIN_KEY)
    page.get_by_role("button", name="Sign in").click()

    page.get_by_role("link", name="iris", exact=True).click()
    page.get_by_role("link", name="Try", exact=True).click()
    page.get_by_label("petal_length").fill("many")
    page.get_by_role("button", name="Predict", exact=True).click()
    expect(page.get_by_text("'petal_length' must be a finite number; it is 'many'.")).to_be_visible()
    page.get_by_label("petal_length").fill("5.9")
    expect(page.get_by_text("'petal_length' must be a finite number")).to_be_hidden()
    expect(page.locator("[aria-invalid]")).to_have_count(0)
    page.get_by_label("petal_width").fill("2.1")
    page.get_by_role("button", name="Predict", exact=True).click()
    expect(page.locator("#answer .answer")).to_have_text("2")
    page.get_by_text("Python", exact=True).click()
    expect(page.get_by_label("Python").last).to_contain_text("'petal_length': 5.9")

    page.get_by_label("Drop a CSV").set_input_files(
        {
            "name": "rows.csv",
            "mimeType": "text/csv",
            "buffer": b"sepal_length,sepal_width,petal_length,petal_width\n5.1,3.5,1.4,0.2\n6.3,3.3,6,2.5\n",
        }
    )
    page.get_by_role("button", name="Predict the rows").click()
    expect(page.get_by_text("2 rows")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download all as CSV").click()
    assert Path(download.value.path()).read_text().splitlines()[1].startswith("5.1,3.5,1.4,0.2,0")

    page.get_by_role("link", name="Versions").click()
    page.get_by_role("link", name="Make version 1 current").click()
    expect(page.get_by_text("once the workers have loaded it")).to_be_visible()
    page.get_by_role("button", name="Make version 1 current").click()
    expect(page.get_by_text("Version 1 is current now.")).to_be_visible()
    page.get_by_role("link", name="Undo: back to version 2").click()
    page.set_viewport_size({"width": 1280, "height": 500})
    expect(page.get_by_role("button", name="Roll back to version 2")).to_be_in_viewport(ratio=1)
    page.set_viewport_size({"width": 1280, "height": 720})
    page.get_by_role("button", name="Roll back to version 2").click()
    expect(page.get_by_text("Version 2 is current now.")).to_be_visible()
    page.get_by_role("link", name="Version 2", exact=True).click()
    report = page.frame_locator("iframe")
    expect(report.locator("#answers")).to_be_visible()
    expect(report.get_by_role("heading", name="iris version 2")).to_be_hidden()
    page.wait_for_function(
        "(f => f.contentDocument.documentElement.scrollHeight <= f.clientHeight)(frames[0].frameElement)"
    )
    parts = page.get_by_role("navigation", name="Parts of the report")
    parts.get_by_role("link", name="How it was made").click()
    expect(report.get_by_role("heading", name="How it was made")).to_be_in_viewport()
    expect(report.get_by_text("Libraries", exact=True)).to_be_visible()  # the link has unfolded the part
    page.wait_for_function("scrollY > 1000")  # the page scrolls, because the frame is as high as the report
    expect(parts).to_be_in_viewport()
    page.goto(f"{closed.address}/ui/models/iris/compare?a=1&b=2")
    page.get_by_role("button", name="Ask both versions").click()
    expect(page.get_by_text("They answer the same to all").or_(page.get_by_text("They differ on"))).to_be_visible()

    page.get_by_role("link", name="Models").first.click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()
    page.go_back()
    expect(page.get_by_label("API key")).to_be_visible()
    assert [one for one in complaints if "401" not in one and "422" not in one] == []
    page.close()


def test_changing_a_value_answers_at_once_and_says_why(browser: Browser, closed: Modelgate) -> None:
    page = signed_in(browser, closed)
    page.goto("/ui/models/iris/try")
    length, answer = page.get_by_label("petal_length"), page.locator("#answer .answer")
    page.get_by_label("petal_width").fill("2.1")
    length.fill("5.9")
    expect(answer).to_have_text("2")
    expect(page.locator("#told")).to_have_text("2")
    expect(page.locator("#why tbody tr").last).to_contain_text("this row")
    expect(page.locator("#otherwise")).to_contain_text(
        re.compile("With petal_(length|width) .* instead of .*, the answer")
    )
    first = page.locator("#why table").inner_text()
    page.get_by_label("Class").focus()
    page.get_by_label("Class").select_option("1")
    expect(page.locator("#why caption")).to_contain_text("of 1 from its average")
    expect(page.get_by_label("Class")).to_be_focused()
    page.get_by_label("Class").select_option(label="the answer")
    expect(page.locator("#why caption")).to_contain_text("of 2 from its average")
    length.fill("")
    length.press_sequentially("many", delay=10)  # each letter is one more change
    expect(page.locator("#answer")).to_contain_text("'petal_length' must be a finite number; it is 'many'")
    expect(page.locator("#why")).to_have_count(0)
    expect(length).to_have_value("many")
    expect(length).to_be_focused()
    page.get_by_label("petal_width").fill("0.2")
    length.fill("1.4")
    expect(answer).to_have_text("0")
    expect(page.locator("#why tbody tr").last).to_contain_text("this row")
    assert page.locator("#why table").inner_text() != first
    page.context.close()


def test_a_version_is_tried_beside_the_current_one_and_stopped(browser: Browser, closed: Modelgate) -> None:
    page = signed_in(browser, closed)
    page.goto("/ui/models/iris/try")
    page.get_by_role("link", name="Experiments").click()
    expect(page.get_by_label("Steps")).to_be_hidden()
    page.get_by_label("Canary").check()
    page.get_by_label("Steps").fill("2")
    page.get_by_role("button", name="Start the experiment").click()
    expect(page.get_by_text("Enter the share in %")).to_be_visible()
    expect(page.get_by_label("Steps")).to_have_value("2")
    page.get_by_label("Share, in %", exact=True).fill("5")
    expect(page.get_by_text("Enter the share in %")).to_be_hidden()
    page.get_by_role("button", name="Start the experiment").click()
    expect(page.get_by_role("heading", name="beside version")).to_contain_text("runs")
    expect(page.get_by_text("A canary for 2.0 % of the callers, on the way to 5.0 %")).to_be_visible()
    page.get_by_role("link", name="Versions", exact=True).click()
    page.get_by_role("link", name="See how it goes").click()
    page.get_by_text("Stop this experiment").click()
    page.get_by_role("button", name="Stop it").click()
    expect(page.locator(".badge", has_text="stopped")).to_be_visible()
    page.context.close()


@pytest.fixture
def drafts(closed: Modelgate) -> Iterator[list[str]]:
    """Sixty models without a current version, with names of 64 characters: no worker loads them."""
    names = [
        f"{number:02}_draft-{'of_a-model_for-the_team-' * 3}".strip("-_")[:64].rstrip("-_") for number in range(60)
    ]
    for name in names:
        version = closed.models / name / "versions" / "1"
        version.mkdir(parents=True)
        (version / "manifest.json").write_text("{}")
    yield names
    for name in names:
        shutil.rmtree(closed.models / name)


def test_the_list_is_searched_filtered_sorted_and_paged(browser: Browser, closed: Modelgate, drafts: list[str]) -> None:
    about = {"owner": "team-a", "tags": ["flowers"], "description": "Which iris it is"}
    sent = requests.patch(f"{closed.address}/v1/models/iris", json=about, headers=AS_ADMIN, timeout=60)
    assert sent.ok, sent.text
    key = {"name": "ada", "owner": "team-a", "scopes": ["read"]}
    secret = requests.post(f"{closed.address}/v1/keys", json=key, headers=AS_ADMIN, timeout=60).json()["secret"]
    page = browser.new_context(base_url=closed.address, **WIDE).new_page()
    page.goto("/")
    page.get_by_label("API key").fill(secret)
    page.get_by_role("button", name="Sign in").click()
    rows, head = page.locator("#models tbody tr"), page.locator("#models [aria-sort]")
    expect(page.get_by_text("1 to 50 of 61")).to_be_visible()
    expect(rows.first).to_contain_text("not served")
    page.get_by_role("link", name="Next").click()
    expect(page.get_by_text("51 to 61 of 61")).to_be_visible()
    expect(rows.last).to_contain_text("iris")
    assert page.evaluate(BROKEN.replace(r"[\w,.]", "[a-z0-9,.]")) == []

    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("which flowers/", delay=10)
    expect(page.get_by_role("heading", name="No matching models")).to_be_visible()
    page.keyboard.press("Backspace")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("iris")
    expect(page).to_have_url(f"{closed.address}/ui?q=which+flowers")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.reload()
    expect(page.get_by_role("searchbox")).to_have_value("which flowers")
    page.get_by_role("searchbox").fill("")
    expect(page.get_by_text("1 to 50 of 61")).to_be_visible()

    page.get_by_role("checkbox", name="mine").check()
    expect(rows).to_have_count(1)
    page.get_by_role("checkbox", name="mine").uncheck()
    page.get_by_label("Tag").select_option("flowers")
    expect(rows).to_have_count(1)
    page.get_by_label("Tag").select_option("any")
    page.get_by_role("checkbox", name="needs attention").check()
    expect(page.get_by_text("1 to 50 of 60")).to_be_visible()
    page.get_by_role("link", name="model", exact=True).click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    expect(page.get_by_role("checkbox", name="needs attention")).to_be_checked()
    page.get_by_role("link", name="model", exact=True).click()
    expect(head).to_have_attribute("aria-sort", "descending")
    expect(rows.first).to_contain_text("59_draft")
    expect(page).to_have_url(f"{closed.address}/ui?attention=1&sort=-name")
    page.context.close()


def test_the_list_is_filtered_without_scripts(browser: Browser, closed: Modelgate, drafts: list[str]) -> None:
    page = signed_in(browser, closed, java_script_enabled=False, **PHONE)
    page.get_by_role("searchbox").fill("07_draft")
    page.get_by_label("Sort by").select_option("name")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("#models tbody tr")).to_have_count(1)
    expect(page.get_by_role("searchbox")).to_have_value("07_draft")
    page.get_by_role("link", name="Show all").click()
    expect(page.get_by_text("1 to 50 of 61")).to_be_visible()
    page.context.close()


def test_reading_and_trying_work_without_scripts(browser: Browser, closed: Modelgate) -> None:
    page = signed_in(browser, closed, java_script_enabled=False)
    page.get_by_role("link", name="iris", exact=True).click()
    page.get_by_role("link", name="Try").click()
    page.get_by_role("button", name="Predict", exact=True).click()
    expect(page.locator("#answer .answer")).to_be_visible()
    expect(page.locator("#otherwise")).to_contain_text("the answer would be")
    expect(page.locator("#why tbody tr").last).to_contain_text("this row")
    page.get_by_label("Class").select_option("1")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#why caption")).to_contain_text("of 1 from its average")
    page.get_by_role("link", name="Traffic").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("iris"))
    page.goto(f"{closed.address}/ui/models/iris/compare?a=1&b=2")
    expect(page.get_by_text("Versions 1 and 2 cannot be compared")).to_be_visible()
    expect(page.get_by_role("button", name="Ask both versions")).to_be_visible()
    page.context.close()


@pytest.mark.parametrize("options", [WIDE, PHONE], ids=["wide", "phone"])
@pytest.mark.parametrize(
    ("header", "told"), [(COLUMNS, "60 rows predicted by version 1"), ("a,b,c,d", "many.csv was not predicted")]
)
def test_what_became_of_a_csv_is_seen_at_once(
    browser: Browser, closed: Modelgate, options: dict[str, object], header: str, told: str
) -> None:
    page = signed_in(browser, closed, **options)
    page.goto("/ui/models/iris/try")
    content = "\n".join([header, *["5.1,3.5,1.4,0.2"] * 60]).encode()
    page.get_by_label("Drop a CSV").set_input_files({"name": "many.csv", "mimeType": "text/csv", "buffer": content})
    page.get_by_label("Version").select_option(value="1")  # the file stays chosen
    page.get_by_text("Predict the rows").locator("..").get_by_text("with version 1").wait_for()
    page.get_by_role("button", name="Predict the rows").click()
    expect(page.get_by_text(told)).to_be_in_viewport()
    if header == COLUMNS:
        expect(page.locator("#many tbody tr").first).to_be_in_viewport()
        expect(page.get_by_label("Version")).to_have_value("1")
    page.context.close()


SLOTS = """() => {
  const box = document.querySelector(".chart .net").getBoundingClientRect();
  return [0, .5, 1].map(share => [box.left + share * box.width, box.top - 20]);
}"""


def test_a_chart_shows_the_values_under_the_pointer_also_of_a_newer_part(
    browser: Browser, modelgate: Modelgate
) -> None:
    """Its Modelgate has had traffic mostly: a chart needs a minute after the first prediction."""
    page = browser.new_context(base_url=modelgate.address).new_page()
    requests.post(f"{modelgate.address}/v1/models/iris/predict", json=IRIS, timeout=60)
    page.goto("/ui/models/iris/traffic")
    charts = page.locator("svg.chart")
    expect(charts).to_have_count(4)
    time = page.locator(".readout > b").first
    last = time.inner_text()
    first, middle, end = page.evaluate(SLOTS)
    page.mouse.move(*first)
    said = [time.inner_text()]
    page.mouse.move(*middle)
    said.append(time.inner_text())
    charts.first.evaluate("chart => { chart.id = 'old'; }")
    page.evaluate("refresh()")
    expect(page.locator("#old")).to_have_count(0)
    expect(charts).to_have_count(4)
    assert time.inner_text() != last
    page.mouse.move(*end)
    assert len({*said, time.inner_text()}) == 3
    expect(page.locator(".pointer.shown")).to_have_count(1)
    page.mouse.move(0, 0)
    expect(page.locator(".pointer.shown")).to_have_count(0)
    page.context.close()


@pytest.mark.parametrize("options", [WIDE, PHONE], ids=["wide", "phone"])
def test_times_are_those_of_the_browser_also_of_a_chosen_range(
    browser: Browser, modelgate: Modelgate, options: dict[str, object]
) -> None:
    zone = ZoneInfo("Asia/Kathmandu")
    context = browser.new_context(base_url=modelgate.address, timezone_id="Asia/Kathmandu", **options)
    page = context.new_page()
    requests.post(f"{modelgate.address}/v1/models/iris/predict", json=IRIS, timeout=60)
    page.goto("/ui/models/iris/traffic?period=1d")
    expect(page.locator("svg.chart")).to_have_count(4)
    time = page.locator(".readout > b").first
    newest = datetime.fromisoformat((time.get_attribute("data-at") or "").split("|")[-1])
    expect(time).to_have_text(newest.astimezone(zone).strftime("%d %b %H:%M"))
    expect(page.locator(".readout i").first).to_have_text("GMT+5:45")
    event = page.locator(".events li").first
    stamp = datetime.fromisoformat(event.locator("time").get_attribute("datetime") or "")
    expect(event.locator("time")).to_contain_text(stamp.astimezone(zone).strftime("%Y-%m-%d %H:%M"))
    event.focus()
    expect(page.locator(".chart .event.lit")).to_have_count(4)

    start = datetime.now(zone).replace(second=0, microsecond=0) - timedelta(minutes=30)
    end = start + timedelta(minutes=31)
    for label, moment in (("From", start), ("To", end)):
        page.get_by_label(label).fill(moment.strftime("%Y-%m-%dT%H:%M"))
    page.get_by_role("button", name="Show").click()
    page.wait_for_url(re.compile("from="))
    sent = parse_qs(urlsplit(page.url).query)
    assert [datetime.fromisoformat(sent[name][0]) for name in ("from", "to")] == [start, end]
    expect(page.get_by_label("From")).to_have_value(start.strftime("%Y-%m-%dT%H:%M"))
    expect(page.locator("svg.chart")).to_have_count(4)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.context.close()


def test_dragging_over_a_chart_shows_that_time(browser: Browser, modelgate: Modelgate) -> None:
    page = browser.new_context(base_url=modelgate.address).new_page()
    requests.post(f"{modelgate.address}/v1/models/iris/predict", json=IRIS, timeout=60)
    page.goto("/ui/models/iris/traffic")
    expect(page.locator("svg.chart")).to_have_count(4)
    without_ticks(page)  # a chart that is replaced meanwhile is dragged over in vain, and has other times
    page.reload()
    expect(page.locator("svg.chart")).to_have_count(4)
    times = (page.locator(".readout > b").first.get_attribute("data-at") or "").split("|")
    _, middle, end = page.evaluate(SLOTS)
    page.mouse.move(middle[0], middle[1] - 20)
    page.mouse.down()
    page.mouse.move(end[0], end[1] - 20)
    page.mouse.up()
    page.wait_for_url(re.compile("from="))
    sent = parse_qs(urlsplit(page.url).query)
    assert sent["to"] == [times[-1]] and abs(times.index(sent["from"][0]) - len(times) / 2) <= 1
    page.context.close()


def test_times_are_in_utc_without_scripts_and_so_is_a_chosen_range(browser: Browser, modelgate: Modelgate) -> None:
    context = browser.new_context(base_url=modelgate.address, timezone_id="Asia/Kathmandu", java_script_enabled=False)
    page = context.new_page()
    page.goto("/ui/models/iris/traffic")
    moment = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=9)
    page.get_by_label("From (UTC)").fill(moment.strftime("%Y-%m-%dT%H:%M"))
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_label("From (UTC)")).to_have_value(moment.strftime("%Y-%m-%dT%H:%M"))
    page.context.close()


BROKEN = r"""() => {
  const broken = [], texts = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    if (texts.currentNode.parentElement.closest("thead, code, pre")) continue;  // hidden on a phone; addresses
    for (const word of texts.currentNode.data.matchAll(/[\w,.]+/g)) {
      const range = document.createRange();
      range.setStart(texts.currentNode, word.index);
      range.setEnd(texts.currentNode, word.index + word[0].length);
      if (range.getBoundingClientRect().height > 1.7 * range.getClientRects()[0]?.height) broken.push(word[0]);
    }
  }
  return broken;
}"""


@pytest.mark.parametrize("width", [390, 768, 860, 1000, 1280])
def test_no_short_word_and_no_number_is_broken_in_the_middle(
    browser: Browser, modelgate: Modelgate, width: int
) -> None:
    requests.post(f"{modelgate.address}/v1/models/loan/rollback", timeout=60)  # an entry of the audit log
    page = browser.new_page(base_url=modelgate.address, viewport={"width": width, "height": 900})
    report = "/v1/models/loan/versions/1/report"
    found = {}
    for path in ("/ui", "/ui/audit", "/ui/jobs", "/ui/models/loan", "/ui/models/loan/versions/1", report):
        page.goto(path)
        page.evaluate("document.querySelectorAll('.tiles dd').forEach(one => one.textContent = '1,582,710,000,000')")
        found[path] = [word for word in page.evaluate(BROKEN) if len(word) <= 17]
    page.close()
    assert not any(found.values()), found
