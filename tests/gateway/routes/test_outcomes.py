"""Outcomes over HTTP, with an observer and a scorer beside the gateway."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from contract.work.api_keys import Key, Scope
from tests.gateway.callers import Caller
from tests.gateway.observed import Owners, client, make_scorer, models, observer, owners, scoring, settings
from tests.stacks.observer_process import ObserverProcess

__all__ = ["client", "make_scorer", "models", "observer", "owners", "scoring", "settings"]

MODEL = "/v1/models/sum"
OUTCOMES = f"{MODEL}/outcomes"
KNOWN = {"new": 0, "corrected": 0, "repeated": 0}


def predict(client: Any, *rows: dict[str, Any]) -> str:
    answer = client.post(f"{MODEL}/predict", json=list(rows), headers={"Prefer": "wait=30"})
    assert answer.status_code == 200, answer.text
    return str(answer.get_json()["id"])


def test_what_came_true_is_measured(client: FlaskClient, observer: ObserverProcess, scoring: None) -> None:
    client.put(f"{MODEL}/logging", json={"share": 1})
    job = predict(client, {"a": 1, "b": 2, "key": 4711}, {"a": 3, "b": 4, "key": "x"}, {"a": 5, "b": 5, "key": "y"})
    sent = [{"job": job, "row": 1, "outcome": 7.5}, {"id": 4711, "outcome": 3}]
    assert client.post(OUTCOMES, json=sent).get_json() == {**KNOWN, "new": 2}
    assert client.post(OUTCOMES, json=sent[0]).get_json() == {**KNOWN, "repeated": 1}
    assert client.post(OUTCOMES, json={**sent[0], "outcome": 7}).get_json() == {**KNOWN, "corrected": 1}
    lines = f"job,row,outcome\n{job},1,7.0\n{job},2,12\n"
    as_csv = client.post(OUTCOMES, data=lines, content_type="text/csv").get_json()
    assert as_csv == {**KNOWN, "new": 1, "corrected": 1}  # as a text
    measured = client.get(OUTCOMES).get_json()
    assert (measured["predictions"], measured["outcomes"], measured["unknown"]) == (3, 3, 0)
    error = measured["metrics"]["mean_absolute_error"]
    assert (error["value"], error["outcomes"]) == (pytest.approx(2 / 3), 3)


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ([], None, "1 to 10,000 outcomes"),
        ([{"id": "x"}], "[0].outcome", "must be a label, a number, or a text"),
        ([{"id": "x", "outcome": 1}, {"id": "x", "job": "y", "outcome": 1}], "[1]", "must have job and row, or id"),
        ({"outcome": 1}, "[0]", "must have job and row, or id"),
        ({"id": 1.5, "outcome": 1}, "[0].id", "a text or a whole number"),
        ({"id": "x", "outcome": [1]}, "[0].outcome", "must be a label"),
        ({"id": "x", "outcome": 1, "at": "2026-01-02"}, "[0].at", "a time with its zone"),
        ({"id": "x", "outcome": "\ud800"}, "[0].outcome", "must be a label"),
        ({"id": "x", "outcome": 10**400}, "[0].outcome", "must be a label"),
        ({"id": "\ud800", "outcome": 1}, "[0].id", "a text or a whole number"),
        ({"id": 10**2000, "outcome": 1}, "[0].id", "a text or a whole number"),
        ({"job": "\ud800", "row": 0, "outcome": 1}, "[0].job", "must be"),
        ({"job": "x", "row": -1, "outcome": 1}, "[0].row", "from 0"),
        ({"id": "x", "outcom": 1}, "[0].outcom", "did you mean 'outcome'"),
        (3, "[0]", "must be an object"),
    ],
)
def test_a_wrong_outcome_is_named(client: FlaskClient, body: Any, field: str | None, words: str) -> None:
    answer = client.post(OUTCOMES, json=body)
    first = answer.get_json()["errors"][0]
    assert (answer.status_code, first["field"]) == (422, field)
    assert words in first["message"]


def test_too_many_and_a_csv_that_is_none_are_refused(client: FlaskClient) -> None:
    many = client.post(OUTCOMES, json=[{"id": "x", "outcome": 1}] * 10_001)
    assert (many.status_code, many.get_json()["code"]) == (422, "invalid_body")
    csv = client.post(OUTCOMES, data='id,outcome\n"x', content_type="text/csv")
    assert (csv.status_code, csv.get_json()["code"]) == (400, "malformed_body")
    unnamed = client.post(OUTCOMES, data="id,paid\nx,1\n", content_type="text/csv")
    assert unnamed.get_json()["errors"][0]["field"] == "[0].paid"
    large = client.post(OUTCOMES, data=b"[" + b" " * 2**23, content_type="application/json")
    assert large.status_code == 413
    assert "10,000 outcomes at once" in large.get_json()["detail"]


@pytest.mark.slow
def test_nothing_known_yet_is_no_error(client: FlaskClient, observer: ObserverProcess) -> None:
    measured = client.get(OUTCOMES).get_json()
    assert (measured["outcomes"], measured["reason"]) == (0, "nothing is logged of this version")
    assert client.get("/v1/models/none/outcomes").status_code == 404


@pytest.mark.slow
def test_outcomes_of_an_owner_are_of_its_rows(owners: Owners, redis: Redis) -> None:
    admin, risk, sales = owners.admin, owners.risk, owners.sales
    assert risk("POST", OUTCOMES, json={"id": "7", "outcome": 3}).json["new"] == 1
    assert [one("GET", OUTCOMES).json["outcomes"] for one in (risk, sales, admin)] == [1, 0, 1]
    reader = Caller.with_key(admin.client, redis, Key("k-r", "r", "r", frozenset({Scope.READ})))
    assert reader("GET", OUTCOMES).status_code == 403
    assert risk("DELETE", f"{MODEL}/predictions?id=7").json == {"deleted": 1}
    assert admin("GET", OUTCOMES).json["outcomes"] == 0
