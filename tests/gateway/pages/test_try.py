"""The page to try a model: a row in a form, and the rows of a CSV."""

from __future__ import annotations

import io
import re
from html import unescape
from pathlib import Path

import pytest
from werkzeug.test import TestResponse

from contract.settings import Settings
from contract.signature import Field, Kind
from gateway.app import create_app
from tests.gateway.pages.browsers import Browser
from tests.support import Sum, numbers, write_version


@pytest.fixture
def browser(settings: Settings, models: Path) -> Browser:
    """One at a gateway whose model `sum` adds `a` and `b`, and `wide` has two versions, of which the second, without
    `b`, is current."""
    write_version(models, "wide", Sum(), numbers("a", "b", "c"), example={"a": 1.0, "b": 2.0, "c": 3.0})
    write_version(models, "wide", Sum(), numbers("c", "a"), version=2, example={"c": 7.0, "a": 8.0})
    (models / "wide" / "aliases.json").write_text('{"current": 2}')
    return Browser(create_app(settings).test_client())


def entries(page: str) -> dict[str, str]:
    """Return what a browser would send with the form of a row."""
    fields = re.findall(r'<input (?:type="hidden" )?name="([^"]+)"(?: id="[^"]+")? value="([^"]*)"', page)
    return {unescape(name): unescape(value) for name, value in fields}


def shown(page: str) -> dict[str, str]:
    """Return the text of each labelled field."""
    labels = dict(re.findall(r'<label for="(input-\d+)">([^<]+)</label>', page))
    values = dict(re.findall(r'id="(input-\d+)" value="([^"]*)"', page))
    return {labels[place]: value for place, value in values.items()}


def upload(browser: Browser, address: str, content: bytes, name: str = "rows.csv") -> TestResponse:
    """Send a CSV with the form on the page at `address`."""
    page = browser.get(address).text
    found = re.search(r'action="(/ui/models/[^"]+/try-file[^"]*)"', page)
    assert found
    return browser.client.post(unescape(found[1]), data={"file": (io.BytesIO(content), name)})


@pytest.mark.parametrize(("made_for", "chosen", "kept"), [(1, "", ["a", "c"]), (2, "1", ["a", "c"])])
def test_a_form_of_another_version_predicts_nothing_and_keeps_its_values_by_name(
    browser: Browser, scoring: None, made_for: int, chosen: str, kept: list[str]
) -> None:
    before = browser.get(f"/ui/models/wide?version={made_for}").text
    sent = {**entries(before), "version": chosen}
    names = [name for name in sent if name.startswith("input-")]
    typed = dict(zip(shown(before), ("10", "200", "3000"), strict=False))
    sent |= dict(zip(names, typed.values(), strict=True))
    page = browser.client.post("/ui/models/wide/try", data=sent).text
    assert '<p class="answer">' not in page and "Nothing was predicted" in page
    example = {"a": "1", "b": "2", "c": "3"} if chosen else {"c": "7", "a": "8"}
    assert shown(page) == {**example, **{name: typed[name] for name in kept}}
    again = browser.client.post("/ui/models/wide/try", data={**entries(page), "version": chosen}).text
    total = sum(float(value) for value in shown(page).values())
    assert f'<p class="answer">{total:g}</p>' in again


def test_a_kept_value_that_the_other_version_does_not_know_gives_way_to_its_example(
    browser: Browser, models: Path
) -> None:
    for version, categories in ((1, ("former", "both")), (2, ("both", "new"))):
        inputs = [Field("area", Kind.STRING, categories=categories)]
        write_version(models, "area", Sum(), inputs, version=version, example={"area": "both"})
    (models / "area" / "aliases.json").write_text('{"current": 2}')
    sent = {"form_version": "1", "input-area": "former"}
    page = browser.send("/ui/models/area/try", "/ui/models/area", **sent).text
    assert "<option selected>both</option><option>new</option>" in page and "former" not in page


@pytest.mark.parametrize("name", ["two\nlines", "a=1&b", "ä 'quoted' \"name\"", "_charset_"])
def test_the_name_of_an_input_may_be_anything(browser: Browser, models: Path, scoring: None, name: str) -> None:
    write_version(models, "odd", Sum(), numbers(name), example={name: 4.0})
    page = browser.client.post("/ui/models/odd/try", data=entries(browser.get("/ui/models/odd").text)).text
    assert '<p class="answer">4</p>' in page
