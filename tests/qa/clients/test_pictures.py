"""Makes the pictures of the pages for the documentation, in light and in the dark, into the folder `PICTURES`."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, Locator, Page, expect

from tests.qa.clients.conftest import LOAN, PROJECT, START, Modelgate, accepted_training, ended, started

WIDE, TALL, TALLER, TALLEST = ({"width": 1120, "height": height} for height in (640, 1200, 1410, 1500))


def models(page: Page) -> None:
    page.goto("/ui")
    expect(page.get_by_role("link", name="boston", exact=True)).to_be_visible()


def trying(page: Page) -> None:
    page.set_viewport_size(TALLEST)
    page.goto("/ui/models/loan/try")
    page.get_by_role("button", name="Predict", exact=True).click()
    expect(page.locator("#otherwise:not([data-then])")).to_be_visible()
    expect(page.locator("#why tbody")).to_be_visible()
    page.evaluate("scrollTo(0, 0)")


def versions(page: Page) -> None:
    page.goto("/ui/models/loan/versions")
    expect(page.get_by_role("link", name="Version 2", exact=True)).to_be_visible()


def compare(page: Page) -> None:
    page.goto("/ui/models/loan/compare?a=1&b=2")
    expect(page.locator("svg.curves polyline")).to_have_count(4)


def report(page: Page) -> None:
    page.goto("/v1/models/loan/versions/1/report")
    expect(page.locator("#answers")).to_be_visible()


def traffic(page: Page) -> None:
    page.goto("/ui/models/loan/traffic")
    expect(page.get_by_text("No requests to loan")).to_be_hidden()  # counts come with the next renewal


def experiment(page: Page) -> None:
    page.set_viewport_size(TALL)
    page.goto("/ui/models/loan/experiments")
    expect(page.get_by_role("img", name="Difference of the")).to_be_in_viewport(ratio=1)  # with the next renewal


def reloaded(shown: Locator) -> Locator:
    """Load the page again until it shows this: it asks the observer once, which may be busy or not know it yet."""
    end = time.monotonic() + START
    while not shown.count() and time.monotonic() < end:
        shown.page.reload()
    return shown


def alarm(page: Page) -> None:
    page.set_viewport_size(TALLER)
    page.goto("/ui/models/demo/health?version=1")
    expect(reloaded(page.get_by_role("img", name="distance_km: share of the training rows"))).to_be_visible()


def outcomes(page: Page) -> None:
    page.set_viewport_size(TALL)
    page.goto("/ui/models/demo/health?version=1")
    shown = reloaded(page.get_by_role("img", name="What probabilities said"))
    page.goto("/ui/models/demo/health?version=1#outcomes")
    expect(shown).to_be_in_viewport(ratio=1)


def recovered(page: Page) -> None:
    page.goto("/ui/models/demo/health")
    expect(reloaded(page.locator(".verdict.good", has_text="no worse than"))).to_be_visible()


def log(page: Page) -> None:
    page.goto("/ui/models/demo/log")
    expect(page.get_by_text("100 % of the requests")).to_be_visible()


def try_version(address: str) -> None:
    """Try the first version of loan as a canary for half of its customers, whose outcomes are known."""
    chance, outcomes = random.Random(3), []
    requests.put(f"{address}/logging", json={"share": 1}, timeout=60).raise_for_status()
    canary = {"candidate": 1, "kind": "canary", "share": 0.5, "metric": "brier", "margin": 0.02}
    requests.post(f"{address}/experiments", json=canary, timeout=60).raise_for_status()
    with requests.Session() as session:
        for number in range(800):
            income, history = chance.randrange(1_000, 20_000), chance.choice([0, 1, 1, 1])
            row = {**LOAN, "Loan_ID": f"c{number}", "ApplicantIncome": income, "Credit_History": history}
            job = session.post(f"{address}/predict", json=row, headers={"Prefer": "wait=30"}, timeout=60).json()
            came_true = chance.random() < job["output"]["probabilities"][0]["1"]
            outcomes.append({"job": job["id"], "row": 0, "outcome": int(came_true)})
    requests.post(f"{address}/outcomes", json=outcomes, timeout=60).raise_for_status()


@pytest.fixture
def busy(modelgate: Modelgate, tmp_path: Path) -> Iterator[Modelgate]:
    """One with two versions of loan, and with requests."""
    models = shutil.copytree(modelgate.models, tmp_path / "models")
    # A slow machine may explain for longer than a page waits otherwise.
    with started(tmp_path, models, TRAIN_ON_START="none", MAX_WAIT="120") as running:
        address = f"{running.address}/v1/models/loan"
        job = accepted_training(f"{address}/train")
        assert ended(running, job)["status"] == "succeeded"
        for income in range(1_000, 21_000, 500):
            row = {**LOAN, "ApplicantIncome": income}
            requests.post(f"{address}/predict", json=row, headers={"Prefer": "wait=30"}, timeout=60).raise_for_status()
        first = requests.post(f"{address}/explain", json=LOAN, timeout=60).json()  # it takes longer than a page waits
        assert ended(running, first)["status"] == "succeeded"
        yield running


def test_pictures_of_the_pages(browser: Browser, busy: Modelgate, tmp_path: Path) -> None:
    folder = Path(os.environ.get("PICTURES") or tmp_path)
    page = browser.new_context(base_url=busy.address).new_page()
    for open_page in (models, trying, versions, compare, report, traffic, experiment, alarm, outcomes, recovered, log):
        if open_page is experiment:
            try_version(f"{busy.address}/v1/models/loan")
        if open_page is alarm:
            command = [".venv/bin/python", "-m", "modelgate.command", "demo", "--url", busy.address]
            subprocess.run(command, cwd=PROJECT, check=True, timeout=START)
        page.set_viewport_size(WIDE)
        open_page(page)
        for mode in ("light", "dark"):
            page.emulate_media(color_scheme=mode, reduced_motion="reduce")
            picture = page.screenshot(path=folder / f"{open_page.__name__}-{mode}.png", animations="disabled")
            assert len(picture) > 10_000
    page.context.close()
