"""Which requests count as the use of a key, whatever protocol they speak, and who learns of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from broker.access.key_use import Use, UseReader
from broker.sides.file_tasks import FileTasks
from contract.errors import Code, Failure
from contract.settings import Settings
from contract.work.api_keys import ADMIN, EVERYBODY, Key, Scope, new_token
from gateway.app import create_app
from tests.gateway.callers import ADMIN_KEY, Caller, store
from tests.gateway.conftest import scorer
from tests.gateway.pages.browsers import Browser

KEY = Key("k1", "ci", "risk", frozenset({Scope.PREDICT, Scope.READ}))
ROW = {"a": 1, "b": 2}
PREDICT = "/v1/models/sum/predict"
PROTOCOLS: list[tuple[str, Any]] = [
    (PREDICT, [ROW, ROW]),
    ("/v1/models/sum:predict", {"instances": [ROW, ROW]}),
    ("/v1/models/sum/invocations", {"dataframe_records": [ROW, ROW]}),
    ("/endpoints/sum/invocations", {"instances": [ROW, ROW]}),
    (
        "/v2/models/sum/infer",
        {"inputs": [{"name": name, "datatype": "FP64", "shape": [2], "data": [1, 2]} for name in "ab"]},
    ),
]
Used = Callable[[FlaskClient], Mapping[str, Mapping[str, Use]]]


@pytest.fixture
def used(redis: Redis) -> Used:
    """Return what was counted, once it is in Redis, without times."""

    def read(client: FlaskClient) -> Mapping[str, Mapping[str, Use]]:
        client.application.extensions["outbox"].flush()
        every = UseReader(redis).read()
        assert all(use.last > 1_700_000_000 for models in every.values() for use in models.values())
        return {key: {model: replace(use, last=0) for model, use in models.items()} for key, models in every.items()}

    return read


@pytest.mark.usefixtures("scoring")
@pytest.mark.parametrize(("path", "body"), PROTOCOLS)
def test_a_request_counts_for_its_key_in_every_protocol(
    closed: FlaskClient, redis: Redis, used: Used, path: str, body: Any
) -> None:
    caller = Caller.with_key(closed, redis, KEY)
    headers = {"Prefer": "wait=30"}
    assert caller("POST", path, json=body, headers=headers).status_code == 200
    assert caller("POST", path, json={"instances": [{"a": "x"}], "inputs": 7}, headers=headers).status_code >= 400
    assert used(closed) == {"k1": {"sum": Use(2, 1, 2)}}


def test_a_file_counts_as_one_request_whose_rows_are_unknown(
    closed: FlaskClient, redis: Redis, used: Used, lane: FileTasks
) -> None:
    caller = Caller.with_key(closed, redis, KEY)
    sent = caller("POST", f"{PREDICT}-file", data="a,b\n1,2\n", headers={"Content-Type": "text/csv"})
    assert sent.status_code == 202
    assert used(closed) == {"k1": {"sum": Use(1, 0, 0)}}


def test_explanations_count_as_predictions_do(closed: FlaskClient, redis: Redis, used: Used, models: Path) -> None:
    caller = Caller.with_key(closed, redis, KEY)
    assert caller("POST", "/v1/models/sum/explain", json=ROW).status_code == 409
    assert used(closed) == {"k1": {"sum": Use(1, 1, 0)}}


def test_a_job_that_has_failed_is_an_error_although_its_answer_has_200(
    closed: FlaskClient, redis: Redis, used: Used
) -> None:
    caller = Caller.with_key(closed, redis, KEY)
    with scorer(redis, lambda _: Failure(Code.MODEL_ERROR, "no")):
        assert caller("POST", PREDICT, json=ROW, headers={"Prefer": "wait=30"}).status_code == 200
    assert used(closed) == {"k1": {"sum": Use(1, 1, 1)}}


def test_admin_key_and_callers_without_a_key_count_too(
    client: FlaskClient, closed: FlaskClient, used: Used, settings: Settings
) -> None:
    client.post(PREDICT, json=ROW)
    Caller(closed)("POST", PREDICT, json=[ROW, ROW])
    used(client)
    assert used(closed) == {EVERYBODY.id: {"sum": Use(1, 0, 1)}, ADMIN.id: {"sum": Use(1, 0, 2)}}
    others = Caller(closed)("GET", "/v1/keys").get_json()["others"]
    assert [(other["name"], other["use"]["rows"]) for other in others] == [("without a key", 1), ("ADMIN_KEY", 2)]


def test_the_default_key_of_a_route_counts(settings: Settings, redis: Redis, used: Used, tmp_path: Path) -> None:
    routes = tmp_path / "routes.toml"
    routes.write_text(
        '[[routes]]\nmethod = "POST"\npath = "/old"\nmodel = "sum"\nanswer = "{prediction}"\nkey = "ci"\n'
    )
    client = create_app(replace(settings, admin_key=ADMIN_KEY, routes_file=routes)).test_client()
    store(redis, new_token(), KEY)
    assert client.post("/old", json={"a": "x"}).status_code == 422
    assert used(client) == {"k1": {"sum": Use(1, 1, 0)}}


def test_requests_that_ask_no_model_and_unknown_models_do_not_count(
    closed: FlaskClient, redis: Redis, used: Used
) -> None:
    caller = Caller.with_key(closed, redis, replace(KEY, models=frozenset({"sum"})))
    for method, path in (("GET", "/v1/models"), ("GET", "/v1/jobs"), ("POST", "/v1/models/nope/predict")):
        caller(method, path, json=ROW if method == "POST" else None)
    assert closed.post(PREDICT, json=ROW).status_code == 401
    assert used(closed) == {}


def test_a_repeated_request_counts_without_rows(closed: FlaskClient, redis: Redis, used: Used) -> None:
    caller = Caller.with_key(closed, redis, KEY)
    for _ in range(2):
        assert caller("POST", PREDICT, json=ROW, headers={"Idempotency-Key": "same"}).status_code == 202
    assert used(closed) == {"k1": {"sum": Use(2, 0, 1)}}


def test_the_list_of_keys_has_their_use_by_model_with_shares(
    closed: FlaskClient, redis: Redis, used: Used, models: Path
) -> None:
    caller = Caller.with_key(closed, redis, KEY)
    for _ in range(3):
        caller("POST", PREDICT, json=[ROW])
    caller("POST", PREDICT, json={"a": "x"})
    store(redis, new_token(), replace(KEY, id="k2", name="idle"))
    used(closed)
    first, idle = Caller(closed)("GET", "/v1/keys").get_json()["items"]
    last = first["use"].pop("last_request_at")
    assert first["use"] == {
        "days": 30,
        "requests": 4,
        "errors": 1,
        "rows": 3,
        "models": [{"model": "sum", "requests": 4, "errors": 1, "rows": 3, "last_request_at": last, "share": 1.0}],
    }
    assert last.startswith("20") and Caller(closed)("GET", "/v1/keys/k1").get_json()["use"]["rows"] == 3
    assert idle["use"] == {
        "days": 30,
        "requests": 0,
        "errors": 0,
        "rows": 0,
        "last_request_at": None,
        "models": [],
    }


def test_a_try_on_the_pages_counts_for_the_key_of_the_session(closed: FlaskClient, redis: Redis, used: Used) -> None:
    browser = Browser.with_key(closed, redis, KEY)
    assert browser.send("/ui/models/sum/try", "/ui/jobs", form_version="1", **{"input-a": "x"}).status_code == 422
    assert used(closed) == {"k1": {"sum": Use(1, 1, 0)}}
