"""Makes the pictures of the pages for the documentation, in light and in the dark, into the folder `PICTURES`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from tests.qa.clients.conftest import LOAN, Modelgate, signed_in


def models(page: Page) -> None:
    page.goto("/ui")
    expect(page.get_by_role("link", name="boston", exact=True)).to_be_visible()


def trying(page: Page) -> None:
    page.goto("/ui/models/loan")
    page.get_by_role("button", name="Predict", exact=True).click()
    expect(page.locator("#answer .answer")).to_be_visible()


def report(page: Page) -> None:
    page.goto("/ui/models/loan/versions/1")
    expect(page.frame_locator("iframe").locator("#answers")).to_be_visible()


def traffic(page: Page) -> None:
    page.goto("/ui/models/loan/traffic")
    expect(page.get_by_role("heading", level=1)).to_contain_text("loan")


def versions(page: Page) -> None:
    page.goto("/ui/models/iris/versions")
    expect(page.get_by_role("link", name="Make version 1 current")).to_be_visible()


def compare(page: Page) -> None:
    page.goto("/ui/models/iris/compare?a=1&b=2")
    page.get_by_role("button", name="Ask both versions").click()
    expect(page.get_by_text("They answer the same to all").or_(page.get_by_text("They differ on"))).to_be_visible()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(os.environ.get("PICTURES") or tmp_path)


def take(page: Page, pages: tuple[Callable[[Page], None], ...], folder: Path) -> list[Path]:
    """Open each of the pages and return its pictures."""
    pictures = []
    for open_page in pages:
        open_page(page)
        for mode in ("light", "dark"):
            page.emulate_media(color_scheme=mode, reduced_motion="reduce")
            pictures.append(folder / f"{open_page.__name__}-{mode}.png")
            page.screenshot(path=pictures[-1], animations="disabled")
    return pictures


SIZE = {"viewport": {"width": 1120, "height": 720}}


def test_pictures_of_two_versions(browser: Browser, closed: Modelgate, folder: Path) -> None:
    page = signed_in(browser, closed, **SIZE)
    assert all(map(Path.stat, take(page, (versions, compare), folder)))
    page.context.close()


def test_pictures_of_a_model(browser: Browser, modelgate: Modelgate, folder: Path) -> None:
    for income in range(1_000, 21_000, 500):
        row = {**LOAN, "ApplicantIncome": income}
        requests.post(f"{modelgate.address}/v1/models/loan/predict", json=row, headers={"Prefer": "wait=30"}, timeout=60)
    page = browser.new_context(base_url=modelgate.address, **SIZE).new_page()
    assert all(map(Path.stat, take(page, (models, trying, report, traffic), folder)))
    page.context.close()
