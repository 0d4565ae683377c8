"""The report of a version over HTTP: the trainer's page, or its facts, and nothing that could run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.gateway.test_refusals import problem
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
def test_the_same_facts_come_as_json_to_those_who_ask(
    reported: FlaskClient, query: str, accept: str, content_type: str
) -> None:
    answer = reported.get(PATH + query, headers={"Accept": accept})
    assert answer.content_type == content_type
    assert answer.headers["Vary"] == "Accept"
    if content_type == "application/json":
        assert answer.get_json() == FACTS


def test_an_unknown_format_is_refused_with_those_there_are(reported: FlaskClient) -> None:
    body = problem(reported.get(f"{PATH}?format=pdf"), 400, "invalid_parameter")
    assert body["detail"] == "format 'pdf' is neither html nor json"


def test_a_reader_who_has_the_report_is_told_so(reported: FlaskClient, models: Path) -> None:
    first = reported.get(PATH)
    again = reported.get(PATH, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert reported.get(f"{PATH}?format=json").headers["ETag"] != first.headers["ETag"]


def test_the_headers_alone_are_those_of_the_page(reported: FlaskClient) -> None:
    whole, head = reported.get(PATH), reported.head(PATH)
    assert (head.status_code, head.data) == (200, b"")
    assert head.headers["Content-Length"] == whole.headers["Content-Length"] == str(len(PAGE.encode()))


def test_a_version_without_a_report_names_those_that_have_one(reported: FlaskClient, models: Path) -> None:
    write_version(models, "sum", Sum(), numbers("a", "b"), version=2)
    body = problem(reported.get("/v1/models/sum/versions/2/report"), 404, "no_report")
    assert body["detail"].startswith("version 2 of the model 'sum' has no report; those that have one: 1.")
    assert body["reports"] == [1]


def test_a_model_without_any_report_says_how_to_get_one(client: FlaskClient) -> None:
    body = problem(client.get(PATH), 404, "no_report")
    assert "no version of it has one yet. Reports are written when a model is trained here" in body["detail"]


@pytest.mark.parametrize("path", ["sums/versions/1", "sum/versions/7", "sum/versions/01"])
def test_a_version_that_is_not_there_has_no_report(reported: FlaskClient, path: str) -> None:
    problem(reported.get(f"/v1/models/{path}/report"), 404, "unknown_model")
