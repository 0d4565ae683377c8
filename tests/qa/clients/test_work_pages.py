"""A person trains from a CSV, cancels a job, makes and revokes a key, and watches the system, with a mouse."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, Page, Route, expect

from tests.qa.clients.conftest import (
    ADMIN_KEY,
    AS_ADMIN,
    IRIS,
    PROJECT,
    START,
    Modelgate,
    accepted_training,
    signed_in,
    started,
)

SLOW = 1000 * START
"""Milliseconds that a training may take."""


@pytest.fixture(scope="module")
def place(modelgate: Modelgate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Modelgate]:
    """One that needs keys, with a copy of the models: other tests expect that each has one version."""
    folder = tmp_path_factory.mktemp("work-pages")
    models = shutil.copytree(modelgate.models, folder / "models")
    with started(folder, models, TRAIN_ON_START="none", ADMIN_KEY=ADMIN_KEY) as running:
        yield running


@pytest.fixture
def page(browser: Browser, place: Modelgate) -> Iterator[Page]:
    """A page of a browser that has signed in as an admin. Fails the test if a page breaks its own rules."""
    page = signed_in(browser, place)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None)
    yield page
    page.context.close()
    assert wrong == []


def test_a_csv_becomes_a_model_that_is_watched_on_the_way(page: Page) -> None:
    page.get_by_role("link", name="Train", exact=True).click()
    page.set_input_files("input[name=file]", PROJECT / "docs" / "tutorial" / "churn.csv")
    expect(page.get_by_label("Target")).to_have_value("")
    page.get_by_role("button", name="Start the training").click()
    expect(page.get_by_label("Target")).to_be_focused()
    page.get_by_role("button", name="Predict stays").click()
    expect(page.get_by_label("Target")).to_have_value("stays")
    expect(page.get_by_text("This is classification")).to_be_visible()
    expect(page.get_by_label("Name of the model")).to_have_value("churn")
    page.get_by_label("kind of support_calls").select_option("string")
    expect(page.locator("input[name=kinds]")).to_have_value(re.compile(r'"support_calls": ?"string"'))
    page.get_by_role("button", name="Start the training").click()
    expect(page).to_have_url(re.compile("/ui/jobs/"))
    expect(page.get_by_role("heading", name="Version 1 of churn became current")).to_be_visible(timeout=SLOW)
    expect(page.locator(".log")).to_contain_text("training on uploaded CSV file churn.csv")
    candidates = page.locator("#candidates tbody tr")
    expect(candidates).to_have_count(5)
    expect(candidates.first).to_contain_text("chosen")
    taken = page.locator(".life").get_by_role("link")
    trainer = taken.inner_text()
    taken.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("System")
    expect(page.locator("main")).to_contain_text(f"on {trainer}")


def test_another_target_and_another_kind_are_previewed(page: Page, tmp_path: Path) -> None:
    page.goto("/ui/train")
    page.set_input_files("input[name=file]", PROJECT / "docs" / "tutorial" / "churn.csv")
    expect(page.locator("tr.target")).to_contain_text("stays")
    page.get_by_label("Target").select_option("region")
    expect(page.get_by_text("This is classification")).to_be_visible()
    expect(page.locator("tr.target")).to_contain_text("region")
    page.get_by_label("kind of plan").select_option("number")
    expect(page.get_by_role("alert").filter(has_text="plan")).to_be_visible()
    expect(page.get_by_role("button", name="Start the training")).to_be_disabled()
    page.get_by_label("kind of plan").select_option("")
    expect(page.get_by_role("button", name="Start the training")).to_be_enabled()


def test_changes_made_while_the_columns_are_read_again_are_kept(page: Page) -> None:
    page.goto("/ui/train")
    page.set_input_files("input[name=file]", PROJECT / "docs" / "tutorial" / "churn.csv")
    kinds, features = page.locator("input[name=kinds]"), page.locator("input[name=features]")
    page.get_by_label("Target").select_option("stays")
    expect(page.get_by_text("This is classification")).to_be_visible()
    held: list[Route] = []
    page.route("**/ui/train/preview*", lambda route: route.continue_() if held else held.append(route))
    with page.expect_request("**/ui/train/preview*"):
        page.get_by_label("kind of support_calls").select_option("string")
    page.locator("input.use[data-column=plan]").uncheck()
    page.get_by_label("Name of the model").fill("another")
    with page.expect_response("**/ui/train/preview*"):
        held[0].continue_()
    expect(page.locator("tr.ignored", has_text="plan")).to_be_visible()
    expect(kinds).to_have_value(re.compile(r'"support_calls": ?"string"'))
    expect(features).not_to_have_value(re.compile('"plan"'))
    expect(page.locator("input.use[data-column=plan]")).not_to_be_checked()
    expect(page.get_by_label("Name of the model")).to_have_value("another")


def test_columns_that_are_not_shown_stay_features_when_another_is_left_out(page: Page, tmp_path: Path) -> None:
    names = [f"column {number}" for number in range(1010)]
    rows = [",".join(f"{row * (number + 1) % 1013}.5" for number in range(1010)) for row in range(30)]
    (tmp_path / "wide.csv").write_text("\n".join([",".join(names), *rows]))
    page.goto("/ui/train")
    page.set_input_files("input[name=file]", tmp_path / "wide.csv")
    expect(page.get_by_text("The first 1000 columns are shown.")).to_be_visible()
    page.get_by_label("Target").select_option("column 1005")
    expect(page.get_by_text("the model estimates the number column 1005")).to_be_visible()
    page.locator("input.use[data-column='column 7']").uncheck()
    expect(page.locator("tr.ignored", has_text="column 7")).to_be_visible()
    features = json.loads(page.locator("input[name=features]").input_value())
    assert features == [name for name in names if name not in ("column 7", "column 1005")]


def test_a_file_is_sent_for_as_long_as_it_takes(page: Page) -> None:
    page.goto("/ui/train")
    page.evaluate("document.addEventListener('part:send', event => { sentFor = event.detail.patience; })")
    page.set_input_files("input[name=file]", PROJECT / "docs" / "tutorial" / "churn.csv")
    expect(page.locator("tr.target")).to_contain_text("stays")
    assert page.evaluate("sentFor") == 0


def test_a_sample_file_becomes_a_training_in_three_clicks(page: Page) -> None:
    page.goto("/ui/train")
    page.get_by_role("link", name="Take a sample CSV").click()
    page.get_by_role("button", name="Predict stays").click()
    expect(page.get_by_text("This is classification")).to_be_visible()
    page.get_by_role("button", name="Start the training").click()
    expect(page).to_have_url(re.compile("/ui/jobs/"))
    page.get_by_text("Cancel this training").click()
    with page.expect_navigation():  # a page that is closed before sends nothing, or keeps Chromium from closing it
        page.get_by_role("button", name="Cancel it").click()


def test_columns_are_filtered_and_used_or_left_out_together(page: Page, tmp_path: Path) -> None:
    names = [f"{'old' if number % 3 else 'new'}_{number}" for number in range(300)]
    rows = [",".join(f"{row * (number + 1) % 311}.5" for number in range(300)) for row in range(30)]
    (tmp_path / "wide.csv").write_text("\n".join([",".join(names), *rows]))
    page.goto("/ui/train")
    page.set_input_files("input[name=file]", tmp_path / "wide.csv")
    used, shown, features = page.locator("#used"), page.locator("#shown"), page.locator("input[name=features]")
    expect(used).to_have_text("299")
    page.get_by_role("button", name="Use none shown").click()
    expect(used).to_have_text("0")
    page.get_by_label("Target").select_option("old_299")
    page.get_by_role("button", name="Start the training").click()
    expect(page.get_by_label("Filter by name")).to_be_focused()
    page.get_by_label("Filter by name").fill("NEW_")
    expect(shown).to_have_text(", 100 shown")
    page.get_by_label("Filter by name").press("Enter")
    page.get_by_role("button", name="Use all shown").click()
    expect(used).to_have_text("100")
    expect(page.get_by_text("the model estimates the number old_299")).to_be_visible()
    expect(page.get_by_label("Filter by name")).to_have_value("NEW_")
    expect(shown).to_have_text(", 100 shown")
    page.get_by_label("Target").select_option("new_0")
    expect(page.locator("tr.target")).to_contain_text("new_0")
    assert set(json.loads(features.input_value())) == {"old_299", *names[3::3]}
    page.get_by_label("Filter by name").fill("")
    page.get_by_label("Only with remarks, or left out").check()
    expect(shown).to_have_text(", 199 shown")


def test_a_wrong_entry_is_marked_at_its_field(page: Page) -> None:
    page.goto("/ui/train")
    page.set_input_files("input[name=file]", PROJECT / "docs" / "tutorial" / "churn.csv")
    page.get_by_text("More: how it learns").click()
    page.get_by_label("At least").fill("much")
    page.get_by_label("Experiment", exact=True).select_option("shadow")
    page.get_by_text("More of the experiment").click()
    page.get_by_label("Days").fill("many")
    page.get_by_text("More of the experiment").click()
    page.get_by_label("Estimator").select_option("forest")
    page.get_by_role("button", name="Predict stays").click()
    expect(page.get_by_text("This is classification")).to_be_visible()
    page.get_by_role("button", name="Start the training").click()
    floor = page.get_by_label("At least")
    expect(floor).to_have_attribute("aria-invalid", "true")
    expect(floor).to_have_accessible_description(re.compile("gate.floor must be a finite number"))
    expect(page.get_by_label("Days")).to_be_visible()
    expect(page.get_by_label("Days")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Estimator")).to_have_value("forest")


def test_a_refused_training_says_why_and_keeps_the_form(page: Page, tmp_path: Path) -> None:
    (tmp_path / "few.csv").write_text("a,b\n1,2\n3,4\n")
    page.goto("/ui/train")
    page.set_input_files("input[name=file]", tmp_path / "few.csv")
    expect(page.get_by_role("alert").filter(has_text="learning needs at least 20")).to_be_visible()
    expect(page.get_by_role("button", name="Start the training")).to_be_disabled()


def test_a_training_is_cancelled(page: Page, place: Modelgate) -> None:
    for model in ("boston", "loan"):  # one at a time: the second one does not end before it is cancelled
        job = accepted_training(f"{place.address}/v1/models/{model}/reset", headers=AS_ADMIN)["id"]
    page.goto("/ui/jobs?kind=training")
    page.locator("tr", has_text=job[:8]).get_by_role("link", name="Training").click()
    page.get_by_text("Cancel this training").click()
    page.get_by_role("button", name="Cancel it").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("canceled")


def test_curves_of_two_trainings_are_drawn(page: Page, place: Modelgate) -> None:
    job = requests.post(f"{place.address}/v1/models/loan/train", headers=AS_ADMIN, timeout=60).json()
    page.goto(f"/ui/jobs/{job['id']}")
    expect(page.get_by_role("heading", name="Version 2 of loan")).to_be_visible(timeout=SLOW)
    page.goto("/ui/models/loan/compare?a=1&b=2")
    expect(page.get_by_role("img", name="ROC: area under the curve")).to_be_visible()
    expect(page.locator("svg.curves polyline")).to_have_count(4)


def test_a_key_gets_a_limit_and_loses_a_scope_without_a_new_secret(page: Page, place: Modelgate) -> None:
    page.get_by_role("link", name="Keys", exact=True).click()
    page.get_by_label("Name", exact=True).fill("limited")
    page.get_by_label("read see models").check()
    page.get_by_role("button", name="Make the key").click()
    secret = page.locator("pre").inner_text()

    def answer(rows: int) -> requests.Response:
        headers = {"Authorization": f"Bearer {secret}"}
        return requests.post(f"{place.address}/v1/models/iris/predict", json=[IRIS] * rows, headers=headers, timeout=60)

    def may_read() -> int:
        headers = {"Authorization": f"Bearer {secret}"}
        return requests.get(f"{place.address}/v1/models", headers=headers, timeout=60).status_code

    assert (answer(3).status_code, may_read()) == (202, 200)
    page.get_by_role("link", name="I have copied it").click()
    page.get_by_role("link", name="limited").click()
    page.get_by_text("Limits, and how much errors say").click()
    page.get_by_label("Rows waiting").fill("many")
    page.get_by_role("button", name="Save the changes").click()
    expect(page.get_by_label("Rows waiting")).to_have_value("many")
    expect(page.locator(".wrong")).to_contain_text("Enter a whole number")
    page.get_by_label("Rows waiting").fill("2")
    page.get_by_label("read see models").uncheck()
    page.get_by_role("button", name="Save the changes").click()
    expect(page.locator(".done")).to_contain_text("The key is changed")
    expect(page.get_by_label("Rows waiting")).to_have_value("2")
    until = time.monotonic() + SLOW / 1000
    while (answer(3).status_code, may_read()) != (413, 403):
        assert time.monotonic() < until, "the change does not reach the gateway"
    while not page.locator("table", has_text="iris").count():
        assert time.monotonic() < until, "the page does not show the use of the key"
        page.reload()


def test_a_key_is_made_used_and_revoked(page: Page, place: Modelgate) -> None:
    page.get_by_role("link", name="Keys", exact=True).click()
    page.locator("input[name=name]").fill("visitor")
    page.get_by_role("button", name="Make the key").click()
    secret = page.locator("pre").inner_text()

    def status() -> int:
        headers = {"Authorization": f"Bearer {secret}"}
        url = f"{place.address}/v1/models/iris/predict"
        return requests.post(url, json=IRIS, headers=headers, timeout=60).status_code

    assert status() == 202
    page.get_by_role("link", name="I have copied it").click()
    assert secret not in page.content()
    page.get_by_role("link", name="visitor").click()
    page.get_by_role("button", name="Revoke visitor").click()
    expect(page.locator("main")).not_to_contain_text("visitor")
    page.get_by_role("link", name="Audit", exact=True).click()
    expect(page.locator("tbody tr").first).to_contain_text("revoked a key")
