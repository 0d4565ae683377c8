"""Requests that are refused because of a field count by field and owner of the key."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from html import unescape
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from broker.sides.observer import RequestCounts
from contract.model.signature import Field, Kind, Output, OutputKind, RowFormat, Signature
from contract.settings import Settings
from contract.work.api_keys import Detail, Key, Scope
from gateway.app import create_app
from gateway.door import observers
from tests.gateway.callers import ADMIN_KEY, Caller
from tests.support import Sum, numbers, write_version

PREDICT, KSERVE, INFER = "/v1/models/sum/predict", "/v1/models/sum:predict", "/v2/models/sum/infer"
MLFLOW, SAGEMAKER = "/v1/models/sum/invocations", "/endpoints/sum/invocations"
WORDS = Signature((Field("a|b", Kind.NUMBER),), (Output(OutputKind.NUMBER),), format=RowFormat.RECORDS)
Counted = Callable[..., Mapping[tuple[str, str], int]]


@pytest.fixture
def counted(client: FlaskClient, redis: Redis) -> Counted:
    """Return what has been counted, once it is in Redis."""

    def read(model: str = "sum", by: FlaskClient = client) -> Mapping[tuple[str, str], int]:
        by.application.extensions["outbox"].flush()
        return RequestCounts(redis).read(model)[0]

    return read


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (PREDICT, [{"a": "x"}, {"b": 1, "A": None}]),
        (KSERVE, {"instances": [{"a": "x"}, {"b": 1}]}),
        (MLFLOW, {"dataframe_split": {"columns": ["A"], "data": [["x"], ["y"]]}}),
        (SAGEMAKER, {"instances": [{"a": "x"}]}),
        (INFER, {"inputs": [{"name": "a", "datatype": "BYTES", "shape": [1], "data": ["x"]}]}),
    ],
)
def test_a_request_counts_once_for_each_of_its_fields(
    client: FlaskClient, counted: Counted, path: str, body: object
) -> None:
    for _ in range(2):
        assert client.post(path, json=body).status_code in (400, 422)
    assert counted() == {("a", ""): 2, ("b", ""): 2}


@pytest.mark.parametrize("path", [PREDICT, KSERVE])
@pytest.mark.parametrize("detail", Detail)
def test_requests_count_for_the_owner_of_their_key(
    settings: Settings, redis: Redis, counted: Counted, path: str, detail: Detail
) -> None:
    client = create_app(replace(settings, admin_key=ADMIN_KEY)).test_client()
    for owner in ("risk", "sales", "sales"):
        key = Key(f"k-{owner}", owner, owner, frozenset({Scope.PREDICT}), detail=detail)
        answer = Caller.with_key(client, redis, key)("POST", path, json={"instances": [{"A": "x", "b": 1}]})
        assert answer.status_code in (400, 422)
    assert counted(by=client) == {("a", "risk"): 1, ("a", "sales"): 2}


def test_a_form_of_the_pages_counts_too(client: FlaskClient, counted: Counted) -> None:
    action = re.search(r'action="(/ui/models/sum/try/file[^"]*)"', client.get("/ui/models/sum/try").text)
    assert action
    answer = client.post(unescape(action[1]), data={"file": (io.BytesIO(b"a,b\nx,1\n"), "rows.csv")})
    assert answer.status_code == 422
    assert counted() == {("a", ""): 1}


@pytest.mark.parametrize(
    "body", [{"a": 1, "b": 2, "key": "x"}, [], [7], [[1]], {"instances": 7}, [{"a": 1, "b": 2, "c": "x"}]]
)
def test_a_request_that_is_refused_for_no_field_or_not_at_all_counts_none(
    client: FlaskClient, counted: Counted, body: Any
) -> None:
    client.post(PREDICT, json=body)
    assert counted() == {}


def test_the_id_is_a_field(client: FlaskClient, counted: Counted) -> None:
    assert client.post(PREDICT, json={"a": 1, "b": 2, "key": []}).status_code == 422
    assert counted() == {("key", ""): 1}


def test_a_name_that_is_no_input_is_never_a_label(
    client: FlaskClient, settings: Settings, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_version(settings.models_dir, "words", Sum(), [], signature=WORDS)
    monkeypatch.setattr(observers, "MOST_NAMED", 1)  # what has no name needs none
    for number in range(3):
        row = {f"made up {number}": {}, f"another {number}": {}, "a|b": "x"}
        assert client.post("/v1/models/words/predict", json=row).status_code == 422
    assert counted("words") == {("", ""): 3, ("a|b", ""): 3}


def test_a_name_that_redis_cannot_hold_is_no_label(client: FlaskClient, settings: Settings, counted: Counted) -> None:
    write_version(settings.models_dir, "odd", Sum(), [Field("\ud800", Kind.NUMBER)])
    assert client.post("/v1/models/odd/predict", json=[["x"]]).status_code == 422
    assert counted("odd") == {("", ""): 1}


def test_a_request_counts_for_ten_fields_at_most(client: FlaskClient, settings: Settings, counted: Counted) -> None:
    write_version(settings.models_dir, "wide", Sum(), numbers(*(f"x{number:02}" for number in range(30))))
    assert client.post("/v1/models/wide/predict", json={"x05": 1}).status_code == 422
    assert counted("wide") == {(f"x{number:02}", ""): 1 for number in (0, 1, 2, 3, 4, 6, 7, 8, 9, 10)}


def test_a_process_names_so_many_fields_and_owners_of_a_model(
    client: FlaskClient, settings: Settings, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observers, "MOST_NAMED", 3)
    for model in ("wide", "other"):
        write_version(settings.models_dir, model, Sum(), numbers(*"abcdef"))
    for lacking in ("ef", "abcd", "e", "bd", "af"):
        row = dict.fromkeys(set("abcdef") - set(lacking), 1)
        assert client.post("/v1/models/wide/predict", json=row).status_code == 422
    assert counted("wide") == {("e", ""): 2, ("f", ""): 2, ("a", ""): 2, ("", ""): 2}
    assert client.post("/v1/models/other/predict", json={"b": 1}).status_code == 422
    assert sum(bool(field) for field, _ in counted("other")) == 3


def test_all_processes_together_name_so_many_fields_of_a_model(
    client: FlaskClient, counted: Counted, redis: Redis
) -> None:
    assert client.post(PREDICT, json={"a": 1}).status_code == 422
    assert counted() == {("b", ""): 1}
    redis.hset("mg:counts:model:sum", mapping={f"refused_fields_total|x{number}|": 1 for number in range(500)})
    for row in ({"a": 1}, {"b": 1}):
        assert client.post(PREDICT, json=row).status_code == 422
    after = counted()
    assert (after["b", ""], after["", ""], after.get(("a", ""))) == (2, 1, None)
