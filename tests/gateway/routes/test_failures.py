"""`GET /v1/models/{name}/failures`: why requests fail, of which keys, with an example that has no values."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis
from redis.exceptions import RedisError

from broker.records.job_kinds import EXPLANATION
from broker.sides.file_tasks import FileTasks
from broker.sides.scorer import BatchLimits, ScorerQueue
from broker.sides.supervisor import Leases
from contract.errors import Code, Failure
from contract.model.signature import Field, Kind, Output, OutputKind, RowFormat, Signature
from contract.rows.background import BACKGROUND_FILE
from contract.settings import Settings
from contract.work.api_keys import Detail, Key, Limits, Scope
from contract.work.training import RepositoryCommand
from gateway.app import create_app
from tests.gateway.callers import ADMIN_KEY, Caller
from tests.gateway.conftest import scorer
from tests.gateway.pages.test_try import entries
from tests.support import Sum, numbers, redis_server, until, write_version

PREDICT, FAILURES = "/v1/models/sum/predict", "/v1/models/sum/failures"
ROW = {"a": 1, "b": 2}
SECRET = "Smith-4711"
RECORDS = Signature((Field("a", Kind.NUMBER),), (Output(OutputKind.NUMBER),), format=RowFormat.RECORDS)
Read = Callable[..., list[dict[str, Any]]]


def items(client: FlaskClient, query: str = "", caller: Caller | None = None) -> list[dict[str, Any]]:
    """Return what is said once the process has reported what it has counted."""
    client.application.extensions["outbox"].flush()
    answer = caller("GET", FAILURES + query) if caller else client.get(FAILURES + query)
    assert answer.status_code == 200
    said: list[dict[str, Any]] = answer.get_json()["items"]
    return said


def causes(said: list[dict[str, Any]]) -> dict[tuple[str, str | None, str | None], int]:
    return {(item["code"], item["field"], item["field_code"]): item["count"] for item in said}


def fails_with(code: str) -> Callable[[Any], Failure]:
    return lambda _: Failure(code, f"it said {SECRET}", {"code": SECRET})


def test_refused_values_count_by_field_and_code_the_most_frequent_first(client: FlaskClient) -> None:
    for _ in range(3):
        assert client.post(PREDICT, json={"a": "x", "b": 1}).status_code == 422
    assert client.post(PREDICT, json={"a": 1, "b": None}).status_code == 422
    assert client.post(PREDICT, json=[{"a": "x", "b": 2}, {"a": "y", "b": None}]).status_code == 422
    first, second = items(client)
    assert (first["message"], first["count"]) == ("a is not a number", 4)
    assert (second["message"], second["count"]) == ("b is null", 2)
    assert first["first_at"] <= first["last_at"]
    assert first["versions"] == [{"version": 1, "count": 4}]


def test_an_example_has_the_shape_of_a_request_and_none_of_its_values(client: FlaskClient, redis: Redis) -> None:
    row = {"a": SECRET, "b": 17.25, SECRET: 1, "key": 4711, "secret name": [SECRET]}
    assert client.post(PREDICT, json=[ROW, row]).status_code == 422
    (item,) = items(client)
    unknown = "«a field that the model does not have»"
    assert item["example"] == {
        "a": "«text of 10 characters»",
        "b": "«number»",
        "key": "«whole number»",
        unknown: "«list of 1 value»",
    }
    kept = [redis.hgetall(key) for key in redis.scan_iter("*failures*")]
    assert len(kept) == 2
    assert all(text not in str(kept) for text in (SECRET, "4711", "17.25", "secret"))


def test_a_csv_has_an_example_too(client: FlaskClient) -> None:
    assert client.post(PREDICT, data="a, B \nx,2\n", content_type="text/csv").status_code == 422
    assert items(client)[0]["example"] == {"a": "«text of 1 character»", "b": "«text of 1 character»"}


def test_a_wide_row_is_cut_but_has_the_wrong_field(client: FlaskClient, settings: Settings) -> None:
    names = [f"x{number:02}" for number in range(60)]
    write_version(settings.models_dir, "sum", Sum(), numbers(*names), version=2)
    assert client.post("/v1/models/sum@2/predict", json={**dict.fromkeys(names, 1), "x59": "?"}).status_code == 422
    example = items(client)[0]["example"]
    assert len(example) == 21
    assert (example["x59"], example["…"]) == ("«text of 1 character»", "«and 40 more fields»")


def test_a_near_miss_is_told_from_a_missing_field_and_its_name_is_not_kept(
    client: FlaskClient, settings: Settings, redis: Redis
) -> None:
    write_version(settings.models_dir, "sum", Sum(), numbers("months", "age"), version=2)
    assert client.post("/v1/models/sum@2/predict", json={"monthz": 1, "age": 2}).status_code == 422
    assert client.post("/v1/models/sum@2/predict", json={"age": 2}).status_code == 422
    said = items(client)
    assert causes(said) == {
        ("invalid_instances", "months", "misspelt_field"): 1,
        ("invalid_instances", "months", "missing_field"): 1,
    }
    assert "monthz" not in str([redis.hgetall(key) for key in redis.scan_iter("*failures*")])


def test_names_of_callers_become_a_field_that_the_model_does_not_have(
    client: FlaskClient, settings: Settings, redis: Redis
) -> None:
    write_version(settings.models_dir, "sum", Sum(), [], signature=RECORDS, version=2)
    for number in range(3):
        answer = client.post("/v1/models/sum@2/predict", json={f"made up {number}": {}, "a": 1})
        assert answer.status_code == 422
    (item,) = items(client)
    assert (item["field"], item["count"]) == (None, 3)
    assert item["message"].startswith("a field that the model does not have ")
    assert "made up" not in str([redis.hgetall(key) for key in redis.scan_iter("*failures*")])


@pytest.mark.parametrize("code", [Code.MODEL_ERROR, Code.TIMEOUT, Code.WORKER_CRASHED])
def test_a_job_that_fails_counts_where_it_ends_also_for_clients_that_poll(
    client: FlaskClient, redis: Redis, code: Code
) -> None:
    with scorer(redis, fails_with(code)):
        job = client.post(PREDICT, json=ROW).get_json()["id"]
        until(lambda: client.get(f"/v1/jobs/{job}").get_json()["status"] == "failed", "it has failed")
        assert client.post(PREDICT, json=ROW, headers={"Prefer": "wait=30"}).get_json()["status"] == "failed"
    (item,) = items(client)
    assert (item["code"], item["count"], item["example"]) == (code, 2, None)
    assert item["versions"] == [{"version": 1, "count": 2}]
    assert SECRET not in str([redis.hgetall(key) for key in redis.scan_iter("*failures*")])


@pytest.mark.parametrize("path", ["/v1/models/sum:predict", "/v1/models/sum/invocations"])
def test_a_protocol_that_answers_with_the_failure_of_its_job_counts_once(
    client: FlaskClient, redis: Redis, path: str
) -> None:
    with scorer(redis, fails_with(Code.MODEL_ERROR)):
        assert client.post(path, json={"instances": [ROW]}).status_code >= 400
    assert causes(items(client)) == {("model_error", None, None): 1}


def test_a_refused_explanation_counts(client: FlaskClient) -> None:
    answer = client.post("/v1/models/sum/explain", json={"a": "x", "b": 2})
    assert answer.status_code == 409  # it has no background rows
    assert causes(items(client)) == {("no_background", None, None): 1}


def test_a_job_that_expires_counts(client: FlaskClient, redis: Redis) -> None:
    assert client.post(PREDICT, json=ROW, headers={"Cancel-After": "0"}).status_code == 202
    leases = Leases(redis)
    until(lambda: leases.expire() or causes(items(client)), "it has expired")
    assert causes(items(client)) == {("expired", None, None): 1}


def test_a_cancelled_job_is_no_failure(client: FlaskClient) -> None:
    job = client.post(PREDICT, json=ROW).get_json()["id"]
    assert client.delete(f"/v1/jobs/{job}").status_code == 200
    assert items(client) == []


def test_requests_count_that_never_became_a_job(client: FlaskClient) -> None:
    assert client.post(PREDICT, data=b"[" * (1024 * 1024 + 1), content_type="application/json").status_code == 413
    assert client.post(PREDICT, json=[ROW] * 6).status_code == 413
    assert client.post(PREDICT, data=b"{", content_type="application/json").status_code == 400
    assert client.post(PREDICT, data=b"{", content_type="text/xml").status_code == 415
    assert client.post("/v1/models/sum@9/predict", json=ROW).status_code == 404
    for _ in range(5):
        assert client.post(PREDICT, json=ROW).status_code == 202
    assert client.post(PREDICT, json=ROW).status_code == 503
    codes = {"body_too_large", "too_many_rows", "malformed_body", "unsupported_media_type", "unknown_model"}
    said = items(client)
    assert {item["code"] for item in said} == {*codes, "queue_full"}
    assert {item["count"] for item in said} == {1}
    unknown = next(item for item in said if item["code"] == "unknown_model")
    assert unknown["message"] == "the version or alias does not exist, or the key may not use the model"
    assert unknown["versions"] == [{"version": None, "count": 1}]


def test_only_requests_to_models_of_the_repository_count(client: FlaskClient, redis: Redis) -> None:
    for name in ("none", "SUM", "..", "a" * 200):
        client.post(f"/v1/models/{name}/predict", json=ROW)
    client.get("/v1/models/sum/versions/9")
    client.get("/v1/models/sum/failures?since=yesterday")
    client.get("/v1/nothing")
    client.application.extensions["outbox"].flush()
    assert list(redis.scan_iter("*failures*")) == []


def test_the_form_of_the_page_counts_and_its_drafts_do_not(client: FlaskClient) -> None:
    page = client.get("/ui/models/sum/try").text
    form = {**entries(page), "input-a": "x"}
    for path in ("/ui/models/sum/try?draft", "/ui/models/sum/try"):
        assert client.post(path, data=form).status_code == 422
    assert causes(items(client)) == {("invalid_instances", "a", "not_a_number"): 1}


# Keys


@pytest.fixture
def risk(closed: FlaskClient, redis: Redis) -> Caller:
    return Caller.with_key(closed, redis, Key("key_risk", "nightly", "risk", frozenset({Scope.PREDICT, Scope.READ})))


@pytest.fixture
def sales(closed: FlaskClient, redis: Redis) -> Caller:
    return Caller.with_key(closed, redis, Key("key_sales", "shop", "sales", frozenset({Scope.PREDICT, Scope.READ})))


def keys(said: list[dict[str, Any]]) -> set[tuple[str | None, str | None, int]]:
    return {(key["name"], key["owner"], key["count"]) for item in said for key in item["keys"]}


def test_admins_see_the_names_of_keys_and_others_only_their_own_requests(
    closed: FlaskClient, redis: Redis, risk: Caller, sales: Caller
) -> None:
    for caller in (risk, sales, sales):
        assert caller("POST", PREDICT, json={"a": "x", "b": 1}).status_code == 422
    assert closed.post(PREDICT, json=ROW).status_code == 401
    assert keys(items(closed, caller=Caller(closed))) == {
        ("nightly", "risk", 1),
        ("shop", "sales", 2),
        (None, "", 1),
    }
    said = items(closed, caller=risk)
    assert keys(said) == {(None, "risk", 1), (None, None, 2), (None, "", 1)}
    assert "shop" not in str(said)
    assert "sales" not in str(said)
    page = risk("GET", "/ui/models/sum/failures")
    assert page.status_code in (200, 303)


def test_a_failed_job_counts_for_the_key_that_sent_it(
    closed: FlaskClient, redis: Redis, risk: Caller, sales: Caller
) -> None:
    with scorer(redis, fails_with(Code.MODEL_ERROR)):
        for caller in (risk, sales, sales):
            assert caller("POST", PREDICT, json=ROW, headers={"Prefer": "wait=30"}).get_json()["status"] == "failed"
    assert keys(items(closed, caller=Caller(closed))) == {("nightly", "risk", 1), ("shop", "sales", 2)}
    assert keys(items(closed, caller=risk)) == {(None, "risk", 1), (None, None, 2)}


def test_an_explanation_and_a_file_that_fail_count_for_their_key(
    closed: FlaskClient, redis: Redis, settings: Settings, risk: Caller, lane: FileTasks
) -> None:
    (report := settings.models_dir / "sum/versions/1/report").mkdir()
    (report / BACKGROUND_FILE).write_text("[[1.0, 2.0]]")
    assert risk("POST", "/v1/models/sum/explain", json=ROW).status_code == 202
    queue = ScorerQueue(redis, "w-0-x")
    batch = queue.take(BatchLimits(kind=EXPLANATION))
    assert batch is not None
    queue.finish({job.id: Failure(Code.MODEL_ERROR, "it raised") for job in batch.jobs})
    headers = {"Content-Type": "text/csv"}
    assert risk("POST", "/v1/models/sum/predict-file", data=b"a,b\n1,2\n", headers=headers).status_code == 202
    plan = lane.take()
    assert plan is not None
    lane.finish(plan, Failure(Code.TIMEOUT, "it took too long"))
    said = items(closed, caller=Caller(closed))
    assert causes(said) == {("model_error", None, None): 1, ("timeout", None, None): 1}
    assert keys(said) == {("nightly", "risk", 1)}


def test_a_job_whose_caller_a_worker_has_changed_counts_for_none(
    closed: FlaskClient, redis: Redis, risk: Caller
) -> None:
    job = risk("POST", PREDICT, json=ROW).get_json()["id"]
    redis.hset(f"rq:job:{job}", "caller", "two words")
    with scorer(redis, fails_with(Code.MODEL_ERROR)):
        until(lambda: risk("GET", f"/v1/jobs/{job}").get_json()["status"] == "failed", "it has failed")
    assert keys(items(closed, caller=Caller(closed))) == {(None, "", 1)}


def test_the_admin_key_has_its_name(closed: FlaskClient) -> None:
    assert Caller(closed)("POST", PREDICT, json={"a": "x", "b": 1}).status_code == 422
    assert keys(items(closed, caller=Caller(closed))) == {("ADMIN_KEY", None, 1)}


def test_a_revoked_key_is_named_by_its_id(closed: FlaskClient, redis: Redis, risk: Caller) -> None:
    assert risk("POST", PREDICT, json={}).status_code == 422
    redis.delete("mg-gateway:keys")
    assert ("key_risk", None, 1) in keys(items(closed, caller=Caller(closed)))


def test_limits_and_scopes_count_for_their_key(settings: Settings, redis: Redis) -> None:
    closed = create_app(replace(settings, admin_key=ADMIN_KEY, max_queue_rows=1000)).test_client()
    predicts, slow = frozenset({Scope.PREDICT}), Limits(rows_per_second=1)
    limited = Caller.with_key(closed, redis, Key("k-1", "limited", "risk", predicts, limits=slow))
    reader = Caller.with_key(closed, redis, Key("k-2", "reader", "risk", frozenset({Scope.READ})))
    foreign = Caller.with_key(closed, redis, Key("k-3", "foreign", "risk", predicts, models=frozenset({"other"})))
    assert limited("POST", PREDICT, json=[ROW] * 300).status_code == 202  # the rows of five minutes
    assert limited("POST", PREDICT, json=ROW).status_code == 429
    assert reader("POST", PREDICT, json=ROW).status_code == 403
    assert foreign("POST", PREDICT, json=ROW).status_code == 404
    said = items(closed, caller=Caller(closed))
    assert {(item["code"], item["keys"][0]["name"]) for item in said} == {
        ("rate_limit", "limited"),
        ("missing_scope", "reader"),
        ("unknown_model", "foreign"),
    }


def test_a_key_limited_to_other_models_sees_nothing(closed: FlaskClient, redis: Redis) -> None:
    key = Key("k-3", "foreign", "risk", frozenset({Scope.READ}), models=frozenset({"other"}))
    foreign = Caller.with_key(closed, redis, key)
    answers = [foreign("GET", f"/v1/models/{name}/failures") for name in ("sum", "none")]
    first, second = [answer.get_json() for answer in answers]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert json.dumps(first).replace("sum", "none") == json.dumps(second)


def test_a_terse_key_sees_no_inputs(closed: FlaskClient, redis: Redis, risk: Caller) -> None:
    terse = Key("k-4", "terse", "risk", frozenset({Scope.READ}), detail=Detail.TERSE)
    assert risk("POST", PREDICT, json={"a": "x"}).status_code == 422
    (item,) = items(closed, caller=Caller.with_key(closed, redis, terse))
    assert (item["code"], item["field"], item["field_code"], item["example"]) == ("invalid_instances", None, None, None)


# Processes, time, and models that are gone


def test_counts_of_several_gateways_add_up(client: FlaskClient, settings: Settings) -> None:
    other = create_app(settings).test_client()
    for gateway in (client, other, other):
        assert gateway.post(PREDICT, json={"a": "x", "b": 1}).status_code == 422
    items(other)
    assert causes(items(client)) == {("invalid_instances", "a", "not_a_number"): 3}


def test_a_report_whose_answer_was_lost_counts_once(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client.post(PREDICT, json={"a": "x", "b": 1}).status_code == 422
    outbox = client.application.extensions["outbox"]
    attempt = outbox._scripts.attempt
    with monkeypatch.context() as patch:

        def lost(steps: Any) -> Any:
            attempt(steps)
            raise RedisError("the connection broke")

        patch.setattr(outbox._scripts, "attempt", lost)
        with pytest.raises(RedisError):
            outbox.flush()
    assert causes(items(client)) == {("invalid_instances", "a", "not_a_number"): 1}


def test_what_fails_while_redis_is_away_is_reported_once_it_is_back(settings: Settings, tmp_path: Path) -> None:
    (folder := tmp_path / "own redis").mkdir()
    with redis_server(folder) as url:
        client = create_app(replace(settings, redis_url=url, submit_timeout=1)).test_client()
        assert client.post(PREDICT, json={"a": "x", "b": 1}).status_code == 422
        assert causes(items(client)) == {("invalid_instances", "a", "not_a_number"): 1}
    for _ in range(3):
        assert client.post(PREDICT, json={"a": "x", "b": 1}).status_code == 422
    assert client.post(PREDICT, json=ROW).status_code == 503
    assert client.get(FAILURES).status_code == 503
    with redis_server(folder):
        until(lambda: ("redis_unavailable", None, None) in causes(items(client)), "all is reported")
        assert causes(items(client)) == {
            ("invalid_instances", "a", "not_a_number"): 4,
            ("redis_unavailable", None, None): 1,
        }


def test_a_version_and_a_time_narrow_it_down(client: FlaskClient, settings: Settings, redis: Redis) -> None:
    write_version(settings.models_dir, "sum", Sum(), numbers("a", "b"), version=2)
    client.post("/v1/models/sum@1/predict", json={"a": "x", "b": 1})
    client.post("/v1/models/sum@2/predict", json={"a": "x", "b": 1})
    assert causes(items(client)) == {("invalid_instances", "a", "not_a_number"): 2}
    assert causes(items(client, "?version=2")) == {("invalid_instances", "a", "not_a_number"): 1}
    (key,) = redis.scan_iter("mg:failures:sum:*")
    hour = int(key.decode().rpartition(":")[2])
    redis.rename(key, f"mg:failures:sum:{hour - 30}")
    assert items(client) == []
    assert client.get(FAILURES + "?since=2020-01-02T03:04:05Z").get_json()["items"]
    assert 6 * 86400 < redis.ttl(f"mg:failures:sum:{hour - 30}") <= 7 * 86400


@pytest.mark.parametrize("query", ["since=yesterday", "since=2026-01-02", "version=none", "version=9", "until=1h"])
def test_a_filter_that_cannot_be_meant_is_refused(client: FlaskClient, query: str) -> None:
    assert client.get(f"{FAILURES}?{query}").status_code in (400, 404)


def test_removing_a_model_removes_its_entries(settings: Settings, redis: Redis) -> None:
    def obey(command: RepositoryCommand) -> dict[str, Any]:
        return {"name": command.model, "aliases": {}, "versions": [], "warnings": []}

    client = create_app(settings, obey).test_client()
    write_version(settings.models_dir, "other", Sum(), numbers("a", "b"))
    for name in ("sum", "other"):
        assert client.post(f"/v1/models/{name}/predict", json={"a": "x", "b": 1}).status_code == 422
    assert items(client)
    assert client.delete("/v1/models/sum?confirm=sum").status_code == 200
    assert {key.decode().split(":")[2] for key in redis.scan_iter("*failures:*")} == {"other"}


def test_answered_requests_leave_nothing(client: FlaskClient, scoring: None, redis: Redis) -> None:
    assert client.post(PREDICT, json=ROW, headers={"Prefer": "wait=30"}).status_code == 200
    assert items(client) == []
    assert list(redis.scan_iter("*failures*")) == []


def test_shares_are_of_all_requests(client: FlaskClient, redis: Redis, scoring: None) -> None:
    recorder = client.application.extensions["traffic_recorder"]
    recorder.record()
    for _ in range(3):
        assert client.post(PREDICT, json=ROW, headers={"Prefer": "wait=30"}).status_code == 200
    assert client.post(PREDICT, json={"a": "x", "b": 1}).status_code == 422
    client.application.extensions["outbox"].flush()
    redis.delete("mg:traffic:lease")
    recorder.record()
    report = client.get(FAILURES).get_json()
    assert (report["requests"], report["items"][0]["share"]) == (4, 0.25)


def test_a_closed_gateway_needs_the_scope_read(settings: Settings, redis: Redis) -> None:
    closed = create_app(replace(settings, admin_key=ADMIN_KEY)).test_client()
    key = Key("k-1", "predicts", "risk", frozenset({Scope.PREDICT}))
    assert Caller.with_key(closed, redis, key)("GET", FAILURES).status_code == 403
