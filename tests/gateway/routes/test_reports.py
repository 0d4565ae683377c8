"""The report of a version over HTTP: the trainer's page, or its facts, and nothing that could run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from contract.model.report_placeholders import ADDRESS, ADDRESS_ELEMENT, STATUS
from contract.model.repository import Repository
from gateway.routes.reports import filled_in
from tests.gateway.problems.test_refusals import problem
from tests.support import Sum, numbers, write_version

PATH = "/v1/models/sum/versions/1/report"
PAGE, FACTS = "<!doctype html>\n<title>sum — Größe</title>\n", {"model": "sum", "version": 1}


@pytest.fixture
def reported(client: FlaskClient, models: Path) -> FlaskClient:
    """A gateway whose model has a report."""
    folder = models / "sum" / "versions" / "1" / "report"
    folder.mkdir()
    (folder / "report.html").write_text(PAGE, encoding="utf-8")
    (folder / "report.json").write_text(json.dumps(FACTS))
    return client


@pytest.mark.parametrize("version", ["1", "current"])
def test_a_report_is_a_page_under_the_number_and_under_an_alias(reported: FlaskClient, version: str) -> None:
    answer = reported.get(f"/v1/models/sum/versions/{version}/report")
    assert (answer.status_code, answer.text) == (200, PAGE)
    assert answer.content_type == "text/html; charset=utf-8"


def test_nothing_in_a_report_may_run_or_be_loaded(reported: FlaskClient) -> None:
    headers = reported.get(PATH).headers
    policy = headers["Content-Security-Policy"].split("; ")
    assert {"default-src 'none'", "sandbox", "frame-ancestors 'none'"} <= set(policy)
    assert not any("script" in directive for directive in policy)


@pytest.mark.parametrize(
    ("query", "accept", "content_type"),
    [
        ("", "*/*", "text/html; charset=utf-8"),
        ("", "text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8"),
        ("", "application/json", "application/json"),
        ("", "image/png", "text/html; charset=utf-8"),
        ("?format=json", "text/html", "application/json"),
        ("?format=html", "application/json", "text/html; charset=utf-8"),
    ],
)
def test_the_facts_of_a_report_are_available_as_json(
    reported: FlaskClient, query: str, accept: str, content_type: str
) -> None:
    answer = reported.get(PATH + query, headers={"Accept": accept})
    assert answer.content_type == content_type
    assert answer.headers["Vary"] == "Accept"
    if content_type == "application/json":
        assert answer.get_json() == FACTS


def test_an_unknown_format_is_refused_with_the_list_of_formats(reported: FlaskClient) -> None:
    body = problem(reported.get(f"{PATH}?format=pdf"), 400, "invalid_parameter")
    assert body["detail"] == "format 'pdf' is neither html nor json"


def test_an_unchanged_report_is_304(reported: FlaskClient, models: Path) -> None:
    first = reported.get(PATH)
    again = reported.get(PATH, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert reported.get(f"{PATH}?format=json").headers["ETag"] != first.headers["ETag"]


def test_head_returns_the_headers_of_the_page(reported: FlaskClient) -> None:
    whole, head = reported.get(PATH), reported.head(PATH)
    assert (head.status_code, head.data) == (200, b"")
    assert head.headers["Content-Length"] == whole.headers["Content-Length"] == str(len(PAGE.encode()))


@pytest.fixture
def versions(reported: FlaskClient, models: Path) -> FlaskClient:
    """The same with versions 2 and 3, of which 3 has no report, and pages with placeholders."""
    for version in (1, 2, 3):
        if version > 1:
            write_version(models, "sum", Sum(), numbers("a", "b"), version=version)
        folder = models / "sum" / "versions" / str(version) / "report"
        folder.mkdir(exist_ok=True)
        if version < 3:
            (folder / "report.html").write_text(f"<h1>sum</h1>{STATUS}<p>{ADDRESS} {ADDRESS_ELEMENT}</p>{STATUS}")
    return reported


def alias(models: Path, **aliases: int) -> None:
    (models / "sum" / "aliases.json").write_text(json.dumps(aliases))


def test_a_report_says_which_aliases_name_its_version_and_links_to_the_others(
    versions: FlaskClient, models: Path
) -> None:
    alias(models, current=2, previous=1)
    first = versions.get(PATH)
    assert '<span class="badge">previous</span>' in first.text
    assert '<a href="/v1/models/sum/versions/2/report">2 (current)</a>' in first.text
    assert "versions/3" not in first.text
    alias(models, canary=1, current=1)
    again = versions.get(PATH, headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 200
    badges = [part.partition("<")[0] for part in again.text.split('">') if "</span>" in part]
    assert badges[:2] == ["current", "canary"]
    assert '<a href="/v1/models/sum/versions/2/report">2</a>' in again.text
    assert "no alias" in versions.get("/v1/models/sum/versions/2/report").text
    assert "script" not in again.text


def test_only_the_placeholders_of_the_trainer_are_filled_in(versions: FlaskClient) -> None:
    """The first placeholder is the trainer's. A later one could only come from data."""
    text = versions.get(PATH, headers={"Host": "127.0.0.1:9999"}).text
    assert text.count(STATUS) == 1
    assert text.index('class="live"') < text.index(STATUS)
    assert f"<p>{ADDRESS} " in text
    assert '<span class="address">http://127.0.0.1:9999</span>' in text


@pytest.mark.parametrize("host", ["127.0.0.1:80`id`", "127.0.0.1$(id)", "127.0.0.1;id", "127.0.0.1 &&id", "<b>"])
def test_an_address_with_meaning_for_a_shell_is_not_shown(versions: FlaskClient, models: Path, host: str) -> None:
    """The door refuses such a request. If it did not, the command would stay as the trainer wrote it."""
    assert versions.get(PATH, environ_overrides={"HTTP_HOST": host}).status_code == 400
    page = (models / "sum" / "versions" / "1" / "report" / "report.html").read_bytes()
    with versions.application.test_request_context(PATH, environ_overrides={"HTTP_HOST": host}):
        shown = filled_in(page, Repository(models), "sum", 1).decode()
    assert host not in shown
    assert ADDRESS_ELEMENT in shown


def test_a_version_without_a_report_gets_the_list_of_versions_with_one(reported: FlaskClient, models: Path) -> None:
    write_version(models, "sum", Sum(), numbers("a", "b"), version=2)
    body = problem(reported.get("/v1/models/sum/versions/2/report"), 404, "no_report")
    assert body["detail"].startswith("version 2 of the model 'sum' has no report; those that have one: 1.")
    assert body["reports"] == [1]


def test_a_model_without_any_report_says_how_to_get_one(client: FlaskClient) -> None:
    body = problem(client.get(PATH), 404, "no_report")
    assert "no version of it has one yet. Reports are written when a model is trained here" in body["detail"]


@pytest.mark.parametrize("path", ["sums/versions/1", "sum/versions/7", "sum/versions/01"])
def test_an_unknown_version_has_no_report(reported: FlaskClient, path: str) -> None:
    problem(reported.get(f"/v1/models/{path}/report"), 404, "unknown_model")
