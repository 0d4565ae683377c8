"""Addresses of old services: rows in, answers out, refusals, keys, and a file that cannot be used."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from broker.access.key_store import USED, Keys
from contract.errors import Code, Failure, SettingsError
from contract.model.signature import Field, Kind, Output, OutputKind
from contract.settings import Settings
from contract.work.api_keys import Detail, Key, Limits, Scope, fingerprint, new_token
from contract.work.jobs import PredictionOutcome
from gateway.app import create_app
from gateway.door import authentication
from runtime.logs import ACCESS
from tests.gateway.callers import ADMIN_KEY, store
from tests.gateway.conftest import scorer, without_redis
from tests.gateway.door.test_audit import LESSER, entries
from tests.gateway.log_lines import recorded
from tests.support import PROJECT, Sum, write_version

pytestmark = pytest.mark.waits

IN_PATH = """
[[routes]]
method = "GET"
path = "/sum/a/<a>/b/<B>"
model = "kinds"
answer = { class = "prediction", probabilities = "probabilities" }
"""
AS_TEXT = """
[[routes]]
method = "POST"
path = "/mass"
model = "sum"
answer = "{prediction:.2f}"
"""
RECORDS = """
[[routes]]
method = "POST"
path = "/loan/predict"
model = "sum"
answer = { predictions = { rows_as_text = { 0 = "id", 1 = "prediction" } } }
"""
ROW = {"a": 1, "b": 2}

Open = Callable[..., FlaskClient]


@pytest.fixture
def mapped(settings: Settings, tmp_path: Path, models: Path) -> Open:
    """Returns a client of a gateway with these routes."""
    output = Output(OutputKind.CLASS, ("no", "yes"), probabilities=True)
    inputs = [Field("a", Kind.NUMBER, aliases=("predictions",)), Field("b", Kind.NUMBER, aliases=("B", "route"))]
    write_version(models, "kinds", Sum(), inputs, output=output)

    def made(text: str, **changes: Any) -> FlaskClient:
        file = tmp_path / "routes.toml"
        file.write_text(text)
        return create_app(replace(settings, routes_file=file, **changes)).test_client()

    return made


def a_class(job: Any) -> PredictionOutcome:
    return PredictionOutcome(["yes"] * len(job.rows), [{"no": 0.25, "yes": 0.75}] * len(job.rows), [], 0.5, 1)


def test_the_variables_of_a_path_are_a_row(mapped: Open, redis: Redis) -> None:
    client = mapped(IN_PATH)
    with scorer(redis, a_class):
        answer = client.get("/sum/a/1.5/b/-2")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    assert answer.json == {"class": "yes", "probabilities": [0.25, 0.75]}
    (job,) = client.get("/v1/jobs").json["items"]
    assert (job["model"]["name"], job["status"]) == ("kinds", "succeeded")
    assert (client.head("/sum/a/1/b/2").status_code, client.head("/sum/a/1/b/x").status_code) == (200, 422)
    assert len(client.get("/v1/jobs").json["items"]) == 1
    wrong = client.get("/sum/a/one/b/2")
    assert (wrong.status_code, wrong.json["errors"][0]["field"]) == (422, "a")
    assert client.get("/sum/a/1/b/").status_code == 404


def test_a_variable_of_a_path_may_have_the_name_of_one_of_our_own(mapped: Open) -> None:
    client = mapped(IN_PATH.replace("<a>", "<predictions>").replace("<B>", "<route>"))
    assert client.head("/sum/a/1/b/2").status_code == 200


def test_no_value_of_a_path_is_in_the_audit_log_or_the_access_log(mapped: Open, redis: Redis) -> None:
    """Even if the variables have the names of what entries hold."""
    text = IN_PATH.replace("/a/<a>/b/<B>", "/<name>/<alias>/<version>/<job_id>/<key_id>")
    client = mapped(text, admin_key=ADMIN_KEY)
    values = ("Alice Smith", "rare-illness", "47110815", "secret-job", "secret-key")
    with recorded("gateway") as lines:
        assert client.get(f"/sum/{'/'.join(values)}").status_code == 401
    (line,) = (event for event in lines.events if event["logger"] == ACCESS)
    assert line["path"] == "/sum/<name>/<alias>/<version>/<job_id>/<key_id>" and line["path"] in str(line["message"])
    client.application.extensions["outbox"].flush()  # type: ignore[attr-defined]
    (entry,) = entries(redis, *LESSER)
    assert not [value for value in values if value in json.dumps([entry, lines.events])]
    assert (entry["model"], entry["route"].split("/")[1]) == ("kinds", "sum")


def test_labels_become_numbers_again(mapped: Open, redis: Redis) -> None:
    client = mapped(IN_PATH + "numbers = { no = 0, yes = 1 }")
    with scorer(redis, a_class):
        assert client.get("/sum/a/1/b/2").json["class"] == 1
    part = mapped(IN_PATH + "numbers = { no = 0 }").get("/sum/a/1/b/2")
    assert (part.status_code, part.json["code"]) == (503, "unfit_model")
    assert "answers 'yes', for which `numbers` has no number" in part.json["detail"]


@pytest.mark.usefixtures("scoring")
def test_an_answer_in_text(mapped: Open) -> None:
    client = mapped(
        AS_TEXT + 'status = 201\n[[routes]]\nmethod = "POST"\npath = "/said"\nmodel = "sum"\n'
        'answer = "it is {prediction}!"'
    )
    for body in (json.dumps(ROW), json.dumps(json.dumps(ROW)), "[[1, 2]]"):
        answer = client.post("/mass", data=body, content_type="application/json")
        assert (answer.status_code, answer.text, answer.mimetype) == (201, "3.00", "text/plain")
    assert client.post("/said", json=ROW).text == "it is 3.0!"
    several = client.post("/mass", json=[ROW, ROW])
    assert (several.status_code, several.json["code"]) == (422, "invalid_instances")
    assert several.json["detail"] == "this address takes one row; the body has 2"
    assert client.post("/mass", json=[]).status_code == 422


def test_a_prediction_that_is_not_finite_is_nan_as_python_writes_it(mapped: Open, redis: Redis) -> None:
    with scorer(redis, lambda _: PredictionOutcome([None], None, [], 0.5, 1)):
        assert mapped(AS_TEXT).post("/mass", json=ROW).text == "nan"


@pytest.mark.usefixtures("scoring")
def test_records_in_a_json_text(mapped: Open) -> None:
    client = mapped(RECORDS)
    rows = [{"key": "LP1", **ROW}, {"key": "Ü/2", "a": 2, "b": 2}]
    answer = client.post("/loan/predict", json=json.dumps(rows))
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    assert json.loads(answer.json["predictions"]) == [{"0": "LP1", "1": 3.0}, {"0": "Ü/2", "1": 4.0}]
    assert r'"\u00dc\/2"' in answer.json["predictions"]  # character by character as pandas
    nameless = client.post("/loan/predict", json=[ROW])
    assert (nameless.status_code, nameless.json["errors"][0]["field"]) == (422, "key")


def test_statuses_and_errors_of_the_old_service(mapped: Open, redis: Redis) -> None:
    shape = (
        'invalid = 400\nfailed = 500\nexpired = 408\nerror = { status = "status", message = "message", why = "code" }'
    )
    client = mapped(AS_TEXT + shape, max_wait=1)
    wrong = client.post("/mass", json={"a": 1, "b": "x"})
    assert (wrong.status_code, wrong.mimetype) == (400, "application/json")
    assert wrong.json == {
        "status": 400,
        "message": "row 0: 'b' must be a finite number; it is 'x'",
        "why": "invalid_instances",
    }
    for body, kind in (("{", "application/json"), ("a=1", "application/x-www-form-urlencoded"), ("", "")):
        assert client.post("/mass", data=body, content_type=kind).status_code == 400
    assert client.post("/mass", json=ROW, headers={"Content-Encoding": "br"}).status_code == 400
    assert client.post("/mass", data=b" " * (2**20 + 1), content_type="application/json").status_code == 400
    assert client.post("/mass", json=[ROW] * 6).status_code == 400
    late = client.post("/mass", json=ROW)
    assert (late.status_code, late.json["why"]) == (408, "not_in_time")
    with scorer(redis, lambda _: Failure(Code.MODEL_ERROR, "it failed")):
        failed = client.post("/mass", json=ROW)
    assert (failed.status_code, failed.json["message"]) == (500, "it failed")
    with scorer(redis, lambda _: Failure(Code.ARTIFACT_MISSING, "it is gone")):
        assert client.post("/mass", json=ROW).status_code == 503


def test_a_problem_says_the_status_that_the_answer_has(mapped: Open) -> None:
    answer = mapped(AS_TEXT + "invalid = 400").post("/mass", json=["x"])
    assert (answer.status_code, answer.json["status"], answer.json["title"]) == (400, 400, "Bad Request")


def test_a_model_that_is_not_there_yet_is_503(mapped: Open, redis: Redis, models: Path, scoring: None) -> None:
    client = mapped(AS_TEXT.replace('"sum"', '"later"'))
    answer = client.post("/mass", json=ROW)
    assert (answer.status_code, answer.json["code"]) == (503, "unknown_model")
    write_version(models, "later", Sum(), [Field("a", Kind.NUMBER), Field("b", Kind.NUMBER)])
    assert client.post("/mass", json=ROW).text == "3.00"
    assert mapped(AS_TEXT.replace('"sum"', '"sum@7"')).post("/mass", json=ROW).status_code == 503


@pytest.mark.parametrize(
    ("routes", "said"),
    [
        (IN_PATH.replace("<a>", "<c>"), "has no input 'c'"),
        (IN_PATH.replace("/b/<B>", ""), "has the input 'b', which the path does not name"),
        (IN_PATH.replace("kinds", "sum").replace("<B>", "<b>"), "has no probabilities"),
        (IN_PATH.replace('"probabilities" }', '"id" }'), "has no column of ids"),
        (AS_TEXT.replace('"sum"', '"kinds"'), "answers 'no', which has no decimals"),
    ],
)
def test_a_model_that_cannot_give_the_answer_is_503(mapped: Open, routes: str, said: str) -> None:
    client = mapped(routes)
    answer = client.get("/sum/a/1/b/2") if "GET" in routes and "/b/" in routes else None
    answer = answer or (client.get("/sum/a/1") if "GET" in routes else client.post("/mass", json=ROW))
    assert (answer.status_code, answer.json["code"]) == (503, "unfit_model")
    assert said in answer.json["detail"]
    assert client.get("/v1/jobs").json["items"] == []


@pytest.mark.usefixtures("scoring")
def test_a_repeated_request_gets_the_same_job(mapped: Open) -> None:
    client = mapped(AS_TEXT)
    answers = [client.post("/mass", json=ROW, headers={"Idempotency-Key": "once"}) for _ in range(2)]
    assert [answer.headers.get("Idempotent-Replayed") for answer in answers] == [None, "true"]
    assert len(client.get("/v1/jobs").json["items"]) == 1


def test_without_redis_it_is_503(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "routes.toml"
    file.write_text(AS_TEXT + 'key = "old"')
    answer = without_redis(settings, routes_file=file).post("/mass", json=ROW)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    closed = without_redis(settings, routes_file=file, admin_key=ADMIN_KEY).post("/mass", json=ROW)
    assert (closed.status_code, closed.json["code"]) == (503, "redis_unavailable")


def issue_default_key(redis: Redis, **changes: Any) -> str:
    """Make the key `old`, and return its secret."""
    key = replace(Key("k-old", "old", "legacy", frozenset({Scope.PREDICT})), **changes)
    store(redis, token := new_token(), key)
    return token


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request reads the default key again."""
    monkeypatch.setattr(authentication, "CACHED", 0)


@pytest.mark.usefixtures("scoring")
def test_without_a_key_of_its_own_a_route_needs_one_from_its_callers(mapped: Open, redis: Redis) -> None:
    issue_default_key(redis)
    assert mapped(AS_TEXT, admin_key=ADMIN_KEY).post("/mass", json=ROW).status_code == 401


@pytest.mark.usefixtures("scoring", "at_once")
def test_a_route_has_a_default_key_for_callers_without_one(mapped: Open, redis: Redis, caplog: Any) -> None:
    client = mapped(AS_TEXT + 'key = "old"', admin_key=ADMIN_KEY)
    admin = {"X-API-Key": ADMIN_KEY}
    for _ in range(2):
        assert client.post("/mass", json=ROW).json["code"] == "missing_key"
    assert [record.message for record in caplog.records if "lends" in record.message] == [
        "ROUTES_FILE lends the key 'old', which does not exist: callers without a key get 401"
    ]
    token = issue_default_key(redis)
    assert client.post("/mass", json=ROW).text == "3.00"
    assert client.post("/mass", json=ROW, headers={"Authorization": "Basic YTpi"}).text == "3.00"
    assert client.post("/mass", json=ROW, headers={"X-API-Key": new_token()}).status_code == 401
    assert client.post("/mass", json=ROW, headers=admin).text == "3.00"
    owners = [job["owner"] for job in client.get("/v1/jobs", headers=admin).json["items"]]
    assert owners == ["admin", "legacy", "legacy"]
    assert client.get("/v1/jobs").status_code == 401
    client.application.extensions["outbox"].flush()  # type: ignore[attr-defined]
    assert redis.hexists(USED, fingerprint(token))
    Keys(redis).revoke("k-old")
    assert client.post("/mass", json=ROW).status_code == 401


@pytest.mark.usefixtures("scoring", "at_once")
def test_the_rights_and_limits_of_the_default_key_hold(mapped: Open, redis: Redis, models: Path) -> None:
    client = mapped(AS_TEXT + 'key = "old"', admin_key=ADMIN_KEY)
    for rights, status, code in (
        ({"scopes": frozenset({Scope.READ})}, 403, "missing_scope"),
        ({"models": frozenset({"kinds"})}, 503, "unknown_model"),
        ({"expires_at": "2026-01-01T00:00:00.000000Z"}, 401, "missing_key"),
        ({"limits": Limits(rows_waiting=0)}, 413, "too_many_rows"),
    ):
        token = issue_default_key(redis, **rights)
        answer = client.post("/mass", json=ROW)
        redis.hdel("mg-gateway:keys", fingerprint(token))
        assert (answer.status_code, answer.json["code"]) == (status, code), rights
    issue_default_key(redis, detail=Detail.TERSE)
    assert client.post("/mass", json={"a": 1}).json["detail"] == "inputs of the model are missing"


@pytest.mark.usefixtures("scoring")
def test_a_page_of_another_site_cannot_use_a_default_key(mapped: Open, redis: Redis) -> None:
    issue_default_key(redis)
    client = mapped(AS_TEXT + 'key = "old"', admin_key=ADMIN_KEY)
    assert client.post("/mass", json=ROW, headers={"Host": "evil.example"}).json["code"] == "foreign_host"
    assert client.post("/mass", json=ROW, headers={"Origin": "https://evil.example"}).json["code"] == "foreign_origin"


def test_the_document_has_the_routes_and_not_their_models(mapped: Open) -> None:
    paths = mapped(IN_PATH + AS_TEXT + "invalid = 400").get("/openapi.json").json["paths"]
    shown = paths["/sum/a/{a}/b/{B}"]["get"]
    assert [parameter["name"] for parameter in shown["parameters"]] == ["a", "B", "Experiment-Key"]
    assert "kinds" not in json.dumps(shown)
    assert {"200", "400", "503"} <= set(paths["/mass"]["post"]["responses"])
    assert "422" in paths["/mass"]["post"]["responses"]  # a model that fails


@pytest.mark.parametrize(
    ("routes", "said"),
    [
        (AS_TEXT + AS_TEXT, "POST /mass collides with another POST /mass"),
        (AS_TEXT + AS_TEXT.replace("/mass", "/mass/"), "POST /mass collides with another POST /mass/"),
        (AS_TEXT.replace("/mass", "/invocations"), "POST /invocations collides with Modelgate's own POST /invocations"),
        (
            AS_TEXT.replace("/mass", "/v1/models/loan/predict"),
            "POST /v1/models/loan/predict collides with Modelgate's own POST /v1/models/<reference>/predict",
        ),
        (
            AS_TEXT.replace("/mass", "/v1/models/loan:predict"),
            "POST /v1/models/loan:predict collides with Modelgate's own POST /v1/models/<reference>:predict",
        ),
        (IN_PATH.replace("/sum", "/ui"), "GET /ui/a/<a>/b/<B> collides with Modelgate's own GET /ui/<path:path>"),
        (
            IN_PATH.replace("/sum/a/<a>/b/<B>", "/<a>/<B>"),
            "GET /<a>/<B> collides with Modelgate's own GET /health/live (and ",
        ),
    ],
)
def test_a_collision_stops_the_gateway_at_its_start(mapped: Open, routes: str, said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        mapped(routes)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith("ROUTES_FILE=")


@pytest.mark.parametrize("path", ["/v1/models/loan", "/version", "/v1/models/a/b/predict", "/predict/<a>/<B>"])
def test_paths_that_look_like_ours_and_are_free_do_not_collide(mapped: Open, path: str) -> None:
    mapped((IN_PATH if "<" in path else AS_TEXT).replace("/mass", path).replace("/sum/a/<a>/b/<B>", path))


@pytest.mark.parametrize(("content", "said"), [(None, "No such file"), (b"\xff", "it is not UTF-8")])
def test_a_file_that_cannot_be_read(settings: Settings, tmp_path: Path, content: bytes | None, said: str) -> None:
    file = tmp_path / "routes.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match=f"cannot be read \\({said}"):
        create_app(replace(settings, routes_file=file))


def of_sum(**settings: str) -> str:
    """Return the text of a route to `sum`, whose settings are in TOML."""
    told = {"method": '"POST"', "path": '"/old"', "model": '"sum"', "answer": '{ x = "prediction" }', **settings}
    return "[[routes]]\n" + "\n".join(f"{name} = {value}" for name, value in told.items())


@pytest.mark.usefixtures("scoring")
@pytest.mark.parametrize(
    ("answer", "one", "two"),
    [
        ('["prediction"]', [3.0], [3.0, 7.0]),
        ('{ result = ["prediction"] }', {"result": [3.0]}, {"result": [3.0, 7.0]}),
        ('[["id", "prediction"]]', [["k", 3.0]], [["k", 3.0], ["l", 7.0]]),
        ('[{ p = "prediction", of = { constant = "sum" } }]', [{"p": 3.0, "of": "sum"}], None),
        ('["prediction", "id"]', [3.0, "k"], 422),
        (
            '{ data = { names = { constant = [] }, ndarray = [["prediction"]] }, meta = { constant = {} } }',
            {"data": {"names": [], "ndarray": [[3.0]]}, "meta": {}},
            None,
        ),
    ],
)
def test_answers_of_one_row_and_of_each(mapped: Open, answer: str, one: Any, two: Any) -> None:
    client = mapped(of_sum(answer=answer))
    rows = [{**ROW, "key": "k"}, {"a": 3, "b": 4, "key": "l"}]
    assert client.post("/old", json=rows[:1]).json == one
    both = client.post("/old", json=rows)
    assert two is None or (both.status_code if two == 422 else both.json) == two


@pytest.mark.usefixtures("scoring")
def test_old_names_and_defaults_need_no_edit_of_the_signature(mapped: Open) -> None:
    client = mapped(of_sum(inputs='{ first = "a", second = "b" }', defaults="{ second = 5, first = 1 }"))
    for body, expected in (
        ({"first": 1, "second": 2}, 3.0),
        ({"first": 2}, 7.0),
        ({"A": 2}, 7.0),
        ({"a": 2, "b": 3}, 5.0),
        ({"columns": {"first": [4]}}, 9.0),
        ({"dataframe_split": {"columns": ["second"], "data": [[4]]}}, 5.0),
        ([[1, 2]], 3.0),
        ({}, 6.0),
    ):
        answer = client.post("/old", json=body)
        assert answer.json == {"x": expected}, (body, answer.json)
    for wrong in ({"first": 1, "a": 1, "b": 1}, {"first": None}, {"first": "x"}):
        assert client.post("/old", json=wrong).status_code == 422, wrong
    twice = client.post("/old", data='{"first": 1, "first": 2}', content_type="application/json")
    assert twice.json["errors"][0]["code"] == "repeated_field"


@pytest.mark.usefixtures("scoring")
def test_nulls_have_defaults_by_choice(mapped: Open) -> None:
    client = mapped(of_sum(inputs='{ first = "a" }', defaults="{ first = 1 }", default_nulls="true"))
    for body in ({"first": None, "b": 2}, {"A": None, "b": 2}, {"columns": {"b": [2], "first": [None]}}, {"b": 2}):
        answer = client.post("/old", json=body)
        assert answer.json == {"x": 3.0}, (body, answer.json)
    assert client.post("/old", json={"first": 1, "b": None}).status_code == 422


@pytest.mark.parametrize("row", [5, None, "1", {"b": 1}, [1, 2], []])
def test_a_row_that_does_not_fit_is_invalid_with_defaults_too(mapped: Open, row: Any) -> None:
    client = mapped(of_sum(defaults="{ a = 1 }", default_nulls="true"))
    assert client.post("/old", json={"columns": ["b"], "data": [row]}).status_code == 422


@pytest.mark.usefixtures("scoring")
def test_a_path_may_leave_out_inputs_with_a_default(mapped: Open) -> None:
    route = of_sum(method='"GET"', path='"/old/<first>"', inputs='{ first = "a" }', defaults="{ b = 2 }")
    assert mapped(route).get("/old/4").json == {"x": 6.0}


@pytest.mark.usefixtures("scoring")
def test_rows_may_be_deep_in_the_body(mapped: Open) -> None:
    client = mapped(of_sum(rows='"data.ndarray"', answer='["prediction"]'))
    assert client.post("/old", json={"data": {"names": ["a", "b"], "ndarray": [[1, 2], [3, 4]]}}).json == [3.0, 7.0]
    for body in ({"data": [[1, 2]]}, {"ndarray": [[1, 2]]}, [[1, 2]]):
        answer = client.post("/old", json=body)
        assert (answer.status_code, "the body has no data.ndarray" in answer.json["detail"]) == (422, True)
    split = mapped(of_sum(rows='"input_data"', answer='["prediction"]'))
    body = {"input_data": {"columns": ["b", "a"], "index": [0], "data": [[2, 1]]}}
    assert split.post("/old", json=body).json == [3.0]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"inputs": '{ x = "nothing" }'}, "has no input 'nothing', which `inputs` names"),
        ({"defaults": "{ nothing = 1 }"}, "has no input 'nothing', which `defaults` names"),
    ],
)
def test_names_that_the_model_lacks_make_it_unfit(mapped: Open, changes: dict[str, str], reason: str) -> None:
    answer = mapped(of_sum(**changes)).post("/old", json=ROW)
    assert (answer.status_code, reason in answer.json["detail"]) == (503, True)


@pytest.mark.usefixtures("scoring")
def test_an_answer_has_the_media_type_of_the_old_service(mapped: Open) -> None:
    client = mapped(of_sum(answer='"{prediction:.2f}"', media_type='"text/html; charset=utf-8"'))
    answer = client.post("/old", json=ROW)
    assert (answer.text, answer.content_type) == ("3.00", "text/html; charset=utf-8")


@pytest.mark.usefixtures("scoring")
@pytest.mark.parametrize(("setting", "status"), [({}, 200), ({"trailing_slash": "false"}, 404)])
def test_a_slash_at_the_end_is_another_address_by_choice(mapped: Open, setting: dict[str, str], status: int) -> None:
    client = mapped(of_sum(**setting))
    assert client.post("/old", json=ROW).status_code == 200
    assert client.post("/old/", json=ROW).status_code == status


@pytest.mark.usefixtures("scoring")
@pytest.mark.parametrize(("setting", "status"), [({}, 200), ({"require_media_type": "true"}, 415)])
def test_a_body_without_a_media_type_is_refused_by_choice(mapped: Open, setting: dict[str, str], status: int) -> None:
    client = mapped(of_sum(**setting))
    assert client.post("/old", data=json.dumps(ROW), content_type="application/json").status_code == 200
    bare = client.post("/old", data=json.dumps(ROW))
    assert bare.status_code == status
    assert status == 200 or bare.json["detail"] == "the body has no media type; send application/json"


@pytest.mark.usefixtures("scoring")
@pytest.mark.parametrize(
    "body",
    [
        {"a": True, "B": False},
        {"predictions": 1, "first": False},
        [[True, False]],
        {"columns": ["first", "a"], "data": [[False, 1]]},
        {"columns": {"a": [True], "b": [0]}},
        '{"a": true, "b": false}',
    ],
)
def test_booleans_count_where_numbers_should_be(mapped: Open, body: Any) -> None:
    answer = mapped(of_sum(model='"kinds"', inputs='{ first = "b" }', answer='["prediction"]')).post("/old", json=body)
    assert (answer.status_code, answer.json) == (200, [1.0])


def test_a_row_of_booleans_that_does_not_fit_is_invalid(mapped: Open) -> None:
    client = mapped(of_sum())
    for wrong in ([[True]], [[True, 1, 1]], {"columns": ["a", "b"], "data": [[True]]}, [True], {"a": [True], "b": 1}):
        assert client.post("/old", json=wrong).status_code == 422, wrong
    twice = client.post("/old", data='{"a": true, "a": 1, "b": 1}', content_type="application/json")
    assert twice.json["errors"][0]["code"] == "repeated_field"


@pytest.mark.parametrize("in_text", [False, True])
def test_nan_is_null_as_python_writes_it(mapped: Open, redis: Redis, in_text: bool) -> None:
    client = mapped(of_sum(defaults="{ a = 1 }", default_nulls="true", answer='"{prediction:.2f}"'))
    body = '{"a": NaN, "b": 2}'
    with scorer(redis, lambda job: PredictionOutcome([float(sum(row)) for row in job.rows], None, [], 0.5, 1)):
        answer = client.post("/old", data=json.dumps(body) if in_text else body, content_type="application/json")
    assert (answer.status_code, answer.text) == (200, "3.00")
    endless = client.post("/old", data='{"a": Infinity, "b": 2}', content_type="application/json")
    assert (endless.status_code, endless.json["errors"][0]["field"]) == (422, "a")


def test_errors_below_the_address_of_an_old_service_have_its_shape(mapped: Open, redis: Redis) -> None:
    shape = 'error = { error = "code", description = "message" }\n'
    client = mapped(IN_PATH + shape + AS_TEXT)
    for method, path, status in (
        ("GET", "/sum/a/1.5", 404),
        ("GET", "/sum/a//b/2", 404),
        ("GET", "/sum/a", 404),
        ("POST", "/sum/a/1/b/2", 405),
    ):
        answer = client.open(path, method=method)
        assert (answer.status_code, answer.mimetype) == (status, "application/json"), path
        assert set(answer.json) == {"error", "description"}
    for path in ("/sum/ab", "/sum", "/Sum/a/1/b/2", "/mass/1"):
        assert client.get(path).json["code"] == "not_found", path
    assert set(client.get("/v2/nothing").json) == {"error"}
    at_the_root = mapped(AS_TEXT.replace("/mass", "/") + shape)
    assert set(at_the_root.post("/", data="{", content_type="application/json").json) == {"error", "description"}
    assert at_the_root.get("/1/2/3").json["code"] == "not_found"
    issue_default_key(redis)
    without_key = mapped(IN_PATH + shape, admin_key=ADMIN_KEY).get("/sum/a/1.5")
    assert (without_key.status_code, without_key.json["error"]) == (401, "missing_key")


@pytest.mark.usefixtures("scoring")
def test_the_clients_of_seldon_and_azure(mapped: Open) -> None:
    text = (PROJECT / "examples" / "old-clients" / "seldon-and-azure.toml").read_text()
    client = mapped(text.replace('"loan"', '"sum"').replace("probabilities", "prediction"))
    seldon = client.post(
        "/seldon/team/loan/api/v1.0/predictions", json={"data": {"names": ["x", "y"], "ndarray": [[1, 2], [3, 4]]}}
    )
    assert seldon.json == {"data": {"names": [], "ndarray": [3.0, 7.0]}, "meta": {}}
    azure = client.post("/score", json={"input_data": {"columns": ["b", "a"], "index": [0], "data": [[2, 1]]}})
    assert azure.json == [3.0]
    wrong = client.post("/score", json={"input_data": [["x", 1]]})
    assert (wrong.status_code, list(wrong.json)) == (400, ["message"])
