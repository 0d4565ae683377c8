"""The page to try a model: a row in a form, and the rows of a CSV."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from werkzeug.test import TestResponse

from contract.model.signature import Field, Kind
from contract.settings import Settings
from gateway.app import create_app
from tests.gateway.pages.browsers import Browser, words
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
    return {labels[position]: value for position, value in values.items()}


def upload(browser: Browser, address: str, content: bytes, name: str = "rows.csv") -> TestResponse:
    """Send a CSV with the form on the page at `address`."""
    page = browser.get(address).text
    action = re.search(r'action="(/ui/models/[^"]+/try/file[^"]*)"', page)
    assert action
    return browser.post(unescape(action[1]), data={"file": (io.BytesIO(content), name)})


@pytest.mark.parametrize(("made_for", "chosen", "kept"), [(1, "", ["a", "c"]), (2, "1", ["a", "c"])])
def test_a_form_of_another_version_predicts_nothing_and_keeps_its_values_by_name(
    browser: Browser, scoring: None, made_for: int, chosen: str, kept: list[str]
) -> None:
    before = browser.get(f"/ui/models/wide/try?version={made_for}").text
    sent = {**entries(before), "version": chosen}
    names = [name for name in sent if name.startswith("input-")]
    typed = dict(zip(shown(before), ("10", "200", "3000"), strict=False))
    sent |= dict(zip(names, typed.values(), strict=True))
    page = browser.post("/ui/models/wide/try", data=sent).text
    assert '<p class="answer">' not in page and "Nothing was predicted" in page
    example = {"a": "1", "b": "2", "c": "3"} if chosen else {"c": "7", "a": "8"}
    assert shown(page) == {**example, **{name: typed[name] for name in kept}}
    again = browser.post("/ui/models/wide/try", data={**entries(page), "version": chosen}).text
    total = sum(float(value) for value in shown(page).values())
    assert f'<p class="answer">{total:,g}</p>' in again


def test_a_kept_value_that_the_other_version_does_not_know_gives_way_to_its_example(
    browser: Browser, models: Path
) -> None:
    for version, categories in ((1, ("former", "both")), (2, ("both", "new"))):
        inputs = [Field("area", Kind.STRING, categories=categories)]
        write_version(models, "area", Sum(), inputs, version=version, example={"area": "both"})
    (models / "area" / "aliases.json").write_text('{"current": 2}')
    sent = {"form_version": "1", "input-area": "former"}
    page = browser.send("/ui/models/area/try", "/ui/models/area/try", **sent).text
    assert (
        '<option value="both" selected>both</option><option value="new">new</option>' in page and "former" not in page
    )


@pytest.mark.parametrize("name", ["two\nlines", "a=1&b", "ä 'quoted' \"name\"", "_charset_"])
def test_the_name_of_an_input_may_be_anything(browser: Browser, models: Path, scoring: None, name: str) -> None:
    write_version(models, "odd", Sum(), numbers(name), example={name: 4.0})
    page = browser.post("/ui/models/odd/try", data=entries(browser.get("/ui/models/odd/try").text)).text
    assert '<p class="answer">4</p>' in page


@pytest.mark.parametrize(("chosen", "answer"), [(1, 600), (2, 400)])
def test_a_csv_is_predicted_by_the_version_of_the_form(
    browser: Browser, scoring: None, chosen: int, answer: int
) -> None:
    page = upload(browser, f"/ui/models/wide/try?version={chosen}", b"a,b,c\n100,200,300\n").text
    assert f"1 row predicted by version {chosen}" in words(page) and f"<td>{answer}</td>" in page
    assert f"Predict the rows with version {chosen}" in words(page)


def test_a_chosen_version_is_also_that_of_the_next_csv(browser: Browser) -> None:
    sent = {**entries(browser.get("/ui/models/wide/try").text), "version": "1"}
    page = browser.post("/ui/models/wide/try", data=sent).text
    assert "Predict the rows with version 1" in words(page) and re.search(r'/try/file\?[^"]*version=1"', page)


def test_the_answer_to_a_csv_is_the_first_part_of_its_page(browser: Browser, scoring: None) -> None:
    page = upload(browser, "/ui/models/sum/try", b"a,b\n0.1234567,2\n3,4\n").text
    table, form = page.index("<table"), page.index('action="/ui/models/sum/try"')
    assert page.index("rows.csv") < table < form and page.count('id="many"') == 1
    assert "<td>2.12346</td><td>0.1234567</td>" in page
    assert "rows-predictions.csv" in page


def test_a_csv_without_the_inputs_is_refused_in_its_card_and_marks_no_field(browser: Browser) -> None:
    answer = upload(browser, "/ui/models/wide/try", b"x,y\n1,2\n", "other.csv")
    text = words(answer.text)
    assert answer.status_code == 422
    expected = "The first line of the CSV must be the header, with 'c', 'a'; it has 'x', 'y'"
    assert "other.csv was not predicted." in text and expected in text
    assert "aria-invalid" not in answer.text and "Correct what is marked" not in text
    assert shown(answer.text) == {"c": "7", "a": "8"}


def test_a_csv_says_which_column_may_be_meant(browser: Browser, models: Path) -> None:
    write_version(models, "loans", Sum(), numbers("income", "age"), example={"income": 1.0, "age": 2.0})
    text = words(upload(browser, "/ui/models/loans/try", b"incomee,age\n1,2\n").text)
    assert "it lacks 1 of the 2 inputs: income." in text and "did you mean 'income'?" in text


def test_values_of_a_csv_that_cannot_be_used_are_listed_in_its_card(browser: Browser, settings: Settings) -> None:
    browser = Browser(create_app(replace(settings, max_queue_rows=100)).test_client())
    rows = "".join(f"many,{number}\n" for number in range(60))
    answer = upload(browser, "/ui/models/wide/try", f"a,c\n{rows}".encode())
    text = words(answer.text)
    assert "rows.csv was not predicted. Row 1: 'a' must be a finite number; it is 'many'." in text
    assert "Row 50: " in text and "Row 51: " not in text and "And 10 more." in text
    assert "aria-invalid" not in answer.text


def test_an_empty_field_is_called_empty(browser: Browser) -> None:
    sent = {"form_version": "2", "input-a": "1", "input-c": " "}
    page = browser.send("/ui/models/wide/try", "/ui/models/wide/try", **sent).text
    assert 'id="input-0-wrong">Is empty; enter a value.</p>' in page and "null" not in words(page)


def test_a_row_that_was_refused_is_not_offered_as_the_same_request(browser: Browser, scoring: None) -> None:
    sent = {"form_version": "2", "input-a": "5", "input-c": "many"}
    text = words(browser.send("/ui/models/wide/try", "/ui/models/wide/try", **sent).text)
    assert "A request with the example" in text and "[{'c': 7, 'a': 8}]" in text
    text = words(browser.send("/ui/models/wide/try", "/ui/models/wide/try", **{**sent, "input-c": "6"}).text)
    assert "The same request" in text and "[{'c': 6, 'a': 5}]" in text
