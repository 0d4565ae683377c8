"""The built documentation, as `modelgate docs` shows it: nothing in it is dead, and nothing comes from elsewhere."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import pytest
import requests
from playwright.sync_api import Browser, expect

from tests.qa.clients.conftest import PROJECT

SITE = PROJECT / "site"
SEVERAL_VERSIONS = len(list(SITE.glob("*/index.html"))) > 1
pytestmark = pytest.mark.skipif(not SITE.is_dir(), reason="make docs has not been run")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    command = [".venv/bin/modelgate", "docs", "--no-open"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    (address,) = re.findall(r"http://127\.0\.0\.1:\d+/", line)
    yield address
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0


class Document(HTMLParser):
    """What a page loads, where it leads, and where others may lead in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loads: set[str] = set()
        self.anchors: set[str] = {"", "top"}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.anchors.add(value)
            elif value and (tag, name) in (("a", "href"), ("form", "action")):
                self.links.add(value)
            elif name == "content" and value and "url=" in value:
                self.links.add(value.partition("url=")[2])
            elif name in ("href", "src") and value:
                self.loads.add(value)


@pytest.fixture(scope="module")
def documents(address: str) -> dict[str, Document]:
    """Every page that links lead to from the address, by its own."""
    documents: dict[str, Document] = {}
    new = [address]
    while new:
        url = new.pop()
        answer = requests.get(url, timeout=60)
        assert answer.ok, url
        if url not in documents and answer.headers["Content-Type"].startswith("text/html"):
            documents[url] = Document(answer.content.decode())
            targets = {urldefrag(urljoin(url, link)).url for link in documents[url].links}
            new += [target for target in targets if target.startswith(address) and target not in documents]
    return documents


def test_each_link_within_the_site_leads_to_a_page_and_a_place_in_it(
    address: str, documents: dict[str, Document]
) -> None:
    dead = []
    for url, document in documents.items():
        for link in document.links:
            target, anchor = urldefrag(urljoin(url, link))
            if target in documents and unquote(anchor) not in documents[target].anchors:
                dead.append((url, link))
            if not target.startswith(address) and not link.startswith(("https://", "http://")):
                dead.append((url, link))
    assert dead == []


def test_each_page_can_be_reached(address: str, documents: dict[str, Document]) -> None:
    pages = {f"{address}{page.parent.relative_to(SITE)}/" for page in SITE.rglob("index.html") if page.parent != SITE}
    assert len(pages) > 100
    assert pages - set(documents) == set()


def test_no_page_loads_anything_from_elsewhere(address: str, documents: dict[str, Document]) -> None:
    loaded = {urldefrag(urljoin(url, load)).url for url, document in documents.items() for load in document.loads}
    elsewhere = {load for load in loaded if not load.startswith((address, "data:"))}
    assert elsewhere == set()
    assert [load for load in sorted(loaded) if load.startswith("http") and not requests.head(load, timeout=60).ok] == []


def test_folders_without_a_page_are_not_listed(address: str, documents: dict[str, Document]) -> None:
    (home,) = [url for url in documents if re.fullmatch(rf"{address}[\d.]+/", url)]
    assert requests.get(f"{home}_static/", timeout=60).status_code == 404
    assert requests.get(f"{home}../../../etc/passwd", timeout=60).status_code == 404


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_finds_a_page_and_asks_nobody_else(browser: Browser, address: str, scheme: str) -> None:
    page = browser.new_context(color_scheme=scheme).new_page()
    hosts: set[str | None] = set()
    complaints: list[str] = []
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address)
    expect(page.get_by_role("heading", level=1)).to_contain_text("Modelgate")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background))) < 382) == (scheme == "dark")
    expect(page.locator(".site-versions")).to_be_visible(visible=SEVERAL_VERSIONS)
    page.get_by_role("textbox", name="Search").fill("idempotency")
    page.keyboard.press("Enter")
    result = page.locator("#search-results li a").first
    expect(result).to_be_visible()
    result.click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert hosts <= {urlsplit(address).netloc, ""}
    assert complaints == []
    page.context.close()


def test_no_page_is_wider_than_a_phone_or_a_screen(browser: Browser, documents: dict[str, Document]) -> None:
    page = browser.new_page()
    wide = []
    for name in ("tutorial/", "reference/openapi/", "reference/http-api/", "bench/RESULTS/", "runbook/"):
        (url,) = [url for url in documents if url.endswith(f"/{name}")]
        page.goto(url)
        for width in (400, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            if page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") > 0:
                wide.append((url, width))
    assert wide == []
    page.close()
