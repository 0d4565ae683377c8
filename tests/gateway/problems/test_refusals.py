"""Every refusal of the gateway: a problem that says what is wrong and what to do."""

from __future__ import annotations

import dataclasses
import json
import re
import tracemalloc
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
from flask import Flask
from flask.testing import FlaskClient
from redis import Redis
from werkzeug.test import TestResponse

from broker.sides.scorer import BatchLimits, ScorerQueue
from broker.sides.supervisor import Leases
from contract.errors import Code, Failure
from contract.model.signature import Field, Kind
from contract.settings import MB, Settings
from contract.work.api_keys import Scope, new_token
from gateway.app import create_app
from gateway.http import forms
from gateway.http.forms import fields_in
from gateway.http.operations import Operation
from gateway.serving.group_commit import GroupCommit
from tests.gateway.conftest import without_redis
from tests.support import Sum, numbers, write_version

pytestmark = pytest.mark.waits

PREDICT = "/v1/models/sum/predict"
GOOD = {"a": 1, "b": 2}


def problem(response: TestResponse, status: int, code: str) -> dict[str, Any]:
    """Return the problem in `response`, after checking the members that every problem has."""
    assert response.content_type == "application/problem+json"
    body: dict[str, Any] = response.get_json(force=True)
    assert (response.status_code, body["status"], body["code"]) == (status, status, code)
    assert body["type"] == f"urn:modelgate:problem:{code}"
    assert body["title"]
    assert body["detail"]
    assert "Traceback" not in response.text
    return body


def test_an_unknown_model_gets_a_suggestion_and_the_list_of_models(client: FlaskClient) -> None:
    body = problem(client.post("/v1/models/sums/predict", json=GOOD), 404, "unknown_model")
    assert body["detail"] == "there is no model 'sums' (did you mean 'sum'?); there are: sum"
    assert (body["models"], body["suggestion"]) == (["sum"], "sum")


def test_the_sentence_names_few_of_many_models(client: FlaskClient, models: Path) -> None:
    for number in range(60):
        (models / f"m{number:02}").mkdir()
        (models / f"m{number:02}" / "aliases.json").write_text('{"current": 1}')
    body = problem(client.get("/v1/models/nope"), 404, "unknown_model")
    assert body["detail"].endswith(", m09 and 51 more") and len(body["models"]) == 50


@pytest.mark.parametrize("path", ["/v1/models/nope", "/v1/models/nope/versions", "/v1/models/..%2f..%2fetc/predict"])
def test_an_unknown_model_is_404_everywhere(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_an_unknown_version_gets_the_list_of_versions(client: FlaskClient) -> None:
    body = problem(client.post("/v1/models/sum@7/predict", json=GOOD), 404, "unknown_model")
    assert body["detail"] == "the model 'sum' has no version or alias '7'; it has 1, current"


def test_an_empty_repository_says_so(settings: Settings, tmp_path: Path) -> None:
    client = create_app(dataclasses.replace(settings, models_dir=tmp_path / "none")).test_client()
    body = problem(client.post(PREDICT, json=GOOD), 404, "unknown_model")
    assert body["detail"] == "there is no model 'sum'; there are no models yet"


def test_all_wrong_fields_of_all_rows_are_named_at_once(client: FlaskClient) -> None:
    body = problem(client.post(PREDICT, json=[{"a": "x", "b": True}, GOOD, {"b": 1}]), 422, "invalid_instances")
    assert [(e["row"], e["field"], e["code"]) for e in body["errors"]] == [
        (0, "a", "not_a_number"),
        (0, "b", "not_a_number"),
        (2, "a", "missing_field"),
    ]
    assert all(error["message"] for error in body["errors"])


def test_a_thousand_errors_are_listed_and_all_are_counted(settings: Settings) -> None:
    client = create_app(dataclasses.replace(settings, max_queue_rows=2000)).test_client()
    body = problem(client.post(PREDICT, json=[{"a": "x", "b": "y"}] * 1500), 422, "invalid_instances")
    assert len(body["errors"]) == 1000
    assert body["detail"].startswith("3000 values cannot be used")


@pytest.mark.parametrize("body", ["[]", '{"instances": []}', '{"dataframe_split": {"columns": ["a"], "data": []}}'])
def test_no_rows_is_422(client: FlaskClient, body: str) -> None:
    errors = problem(client.post(PREDICT, data=body, content_type="application/json"), 422, "invalid_instances")[
        "errors"
    ]
    assert [error["code"] for error in errors] == ["no_rows"]


@pytest.mark.parametrize("body", [{"data": "1,2"}, {"train": [GOOD], "test": [GOOD]}, {"instances": 5}, 5])
def test_a_body_of_another_shape_is_told_one_that_works(client: FlaskClient, body: object) -> None:
    answer = problem(client.post(PREDICT, json=body), 422, "invalid_instances")
    (error,) = answer["errors"]
    assert error["message"] == answer["detail"]
    _, _, works = answer["detail"].partition("; a body that works is ")
    assert client.post(PREDICT, json=json.loads(works)).status_code == 202


@pytest.mark.parametrize("body", [b"", b"{", b"nan", b'{"a": NaN}', b'{"a": Infinity}', b"\xff\xfe", b"[" * 100_000])
def test_invalid_json_is_400(client: FlaskClient, body: bytes) -> None:
    problem(client.post(PREDICT, data=body, content_type="application/json"), 400, "malformed_body")


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "image/png", "application/octet-stream"])
def test_an_unknown_media_type_is_415_with_the_accepted_ones(client: FlaskClient, kind: str) -> None:
    body = problem(client.post(PREDICT, data=b"{}", content_type=kind), 415, "unsupported_media_type")
    assert "application/json" in body["detail"]


@pytest.mark.parametrize("coding", ["br", "gzip, gzip", "compress"])
def test_another_content_coding_is_415_with_those_that_are_read(client: FlaskClient, coding: str) -> None:
    response = client.post(PREDICT, data=b"{}", content_type="application/json", headers={"Content-Encoding": coding})
    problem(response, 415, "unsupported_content_encoding")
    assert response.headers["Accept-Encoding"] == "zstd, gzip, deflate"


@pytest.mark.parametrize("kind", ["application/json", "text/csv", "application/x-www-form-urlencoded"])
def test_a_body_over_the_limit_is_413(client: FlaskClient, kind: str) -> None:
    body = problem(client.post(PREDICT, data=b"a" * (MB + 1), content_type=kind), 413, "body_too_large")
    assert "1 MB (MAX_BODY_MB)" in body["detail"]


def test_a_form_of_too_many_parts_is_413_and_says_how_many(client: FlaskClient) -> None:
    fields = {f"f{number}": "1" for number in range(1001)}
    body = problem(client.post(PREDICT, data=fields, content_type="multipart/form-data"), 413, "form_too_large")
    assert "more than 1000 parts" in body["detail"]


def test_a_body_without_a_length_counts_as_waiting_bytes(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(GroupCommit, "submit", lambda _, job, size: sizes.append(size) is None)
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    client.post(PREDICT, input_stream=BytesIO(b"[1, 2]"), environ_overrides=chunked)
    client.post(PREDICT, data=b"[1, 2]")
    client.get(f"{PREDICT}?a=1&b=2")
    assert sizes == [6, 6, 7]


def test_more_rows_than_the_queue_can_hold_are_413(client: FlaskClient, redis: Redis) -> None:
    problem(client.post(PREDICT, json=[GOOD] * 6), 413, "too_many_rows")
    assert not redis.keys("*")


def test_a_csv_with_too_many_rows_is_not_read_to_its_end(client: FlaskClient) -> None:
    """A row can be two bytes: 8 MB of them would take seconds."""
    rows = "price,count\n" + "1,2\n" * 6
    problem(client.post(PREDICT, data=rows + '"not closed', content_type="text/csv"), 413, "too_many_rows")


def test_a_full_queue_is_503_with_retry_after_and_queues_nothing(client: FlaskClient, redis: Redis) -> None:
    assert client.post(PREDICT, json=[GOOD] * 5).status_code == 202
    response = client.post(PREDICT, json=GOOD)
    problem(response, 503, "queue_full")
    assert int(response.headers["Retry-After"]) >= 1
    assert redis.llen("rq:queue:predict:sum") == 1


def test_rows_that_have_timed_out_twice_are_422(client: FlaskClient, redis: Redis) -> None:
    leases = Leases(redis)
    for inc in ("w-0-x", "w-0-y"):
        job_id = client.post(PREDICT, json=GOOD).get_json()["id"]
        leases.register(inc)
        assert ScorerQueue(redis, inc).take(BatchLimits())
        leases.give_back(inc, [job_id], Failure(Code.TIMEOUT, "scoring took longer than 30 s"))
    body = problem(client.post(PREDICT, json=GOOD), 422, "timed_out_twice")
    assert body["detail"].startswith("this row took longer than PREDICT_TIMEOUT with version 1 of 'sum', twice")
    assert client.post(PREDICT, json=[GOOD] * 2).status_code == 202


def test_redis_away_is_503_with_retry_after(settings: Settings) -> None:
    client = without_redis(settings)
    for response in (client.post(PREDICT, json=GOOD), client.get("/v1/jobs/abc")):
        problem(response, 503, "redis_unavailable")
        assert int(response.headers["Retry-After"]) >= 1


def test_bad_input_is_refused_even_while_redis_is_away(settings: Settings) -> None:
    client = without_redis(settings)
    problem(client.post(PREDICT, json={"a": 1}), 422, "invalid_instances")


def test_redis_full_is_503(client: FlaskClient, redis: Redis) -> None:
    redis.config_set("maxmemory", 1)
    try:
        problem(client.post(PREDICT, json=GOOD), 503, "redis_full")
    finally:
        redis.config_set("maxmemory", 0)
    assert client.post(PREDICT, json=GOOD).status_code == 202


def test_a_manifest_that_does_not_parse_is_named_and_other_models_are_served(
    client: FlaskClient, settings: Settings
) -> None:
    folder = settings.models_dir / "bad" / "versions" / "1"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{")
    (settings.models_dir / "bad" / "aliases.json").write_text('{"current": 1}')
    body = problem(client.post("/v1/models/bad/predict", json=GOOD), 503, "manifest_invalid")
    assert "version 1 of the model 'bad'" in body["detail"]
    assert client.post(PREDICT, json=GOOD).status_code == 202
    listed = {item["name"]: item for item in client.get("/v1/models").get_json()["items"]}
    assert listed["bad"]["error"]["code"] == "manifest_invalid"
    assert "error" not in listed["sum"]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=501",
        "limit=x",
        "limit=١",
        "limit=1_0",
        "status=done",
        "model=A",
        "cursor=x",
        "cursor=%F0",
        "cursor=WzFd",
    ],
)
def test_an_invalid_query_for_jobs_is_400(client: FlaskClient, query: str) -> None:
    problem(client.get(f"/v1/jobs?{query}"), 400, "invalid_parameter")


def test_an_invalid_deadline_is_400(client: FlaskClient) -> None:
    response = client.post(PREDICT, json=GOOD, headers={"Cancel-After": "soon"})
    assert "Cancel-After" in problem(response, 400, "invalid_parameter")["detail"]


@pytest.mark.parametrize("job_id", ["abc", "a" * 65, "a:b", "é", "..%2f", "a%00b"])
def test_an_unknown_job_is_404(client: FlaskClient, job_id: str) -> None:
    detail = problem(client.get(f"/v1/jobs/{job_id}"), 404, "unknown_job")["detail"]
    assert "a sixtieth of it" in detail


@pytest.mark.parametrize("wait", ["x", "-1", "nan", "inf", "1e3", "", "9" * 400])
def test_an_invalid_wait_is_400(client: FlaskClient, wait: str) -> None:
    assert "wait" in problem(client.get(f"/v1/jobs/abc?wait={wait}"), 400, "invalid_parameter")["detail"]


@pytest.mark.parametrize(
    ("path", "suggestion"),
    [
        ("/v1/model/sum/predict", "/v1/models/sum/predict"),
        ("/v1/models/sum/alias/current", "/v1/models/sum/aliases/current"),
        ("/metric", "/metrics"),
        ("/ui/models/sum/trafic", "/ui/models/sum/traffic"),
        ("/ui/key", "/ui/keys"),
        ("/wp-admin/setup.php", None),
        ("/" + "a/" * 4000, None),
        ("/v1/<b>%00", None),
    ],
)
def test_an_unknown_path_gets_the_most_similar_one(client: FlaskClient, path: str, suggestion: str | None) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    if path.startswith("/ui"):
        assert f'href="{suggestion}">Go to {suggestion}</a>' in answer.text
    else:
        body = answer.get_json(force=True)
        assert body.get("suggestion") == suggestion
        assert suggestion is None or f"did you mean {suggestion}?" in body["detail"]


def test_an_unknown_path_is_told_without_the_key_in_it(client: FlaskClient) -> None:
    key = new_token()
    for path in (f"/v1/{key}", f"/v1/keys/{key}/rotat", f"/ui/{key}", f"/ui/model/{key}"):
        answer = client.get(path)
        assert answer.status_code == 404 and "mg_***" in answer.text and key not in answer.text


def test_the_page_of_an_unknown_model_leads_to_the_same_page_of_the_most_similar_one(client: FlaskClient) -> None:
    answer = client.get("/ui/models/sums/traffic")
    assert answer.status_code == 404
    assert 'href="/ui/models/sum/traffic">Go to /ui/models/sum/traffic</a>' in answer.text


def test_an_unknown_path_and_a_wrong_method_are_problems_too(client: FlaskClient) -> None:
    problem(client.get("/nope"), 404, "not_found")
    response = client.delete("/v1/models")
    problem(response, 405, "method_not_allowed")
    assert "GET" in response.headers["Allow"]


def test_an_error_of_our_own_is_500_without_its_traceback(settings: Settings) -> None:
    app: Flask = create_app(settings)

    @app.get("/broken", level=Scope.READ, docs=Operation("break", "Breaks", {}))
    def broken() -> str:
        raise ZeroDivisionError("secret")

    response = app.test_client().get("/broken")
    problem(response, 500, "internal_error")
    assert "secret" not in response.text


def test_lone_surrogates_do_no_harm(client: FlaskClient) -> None:
    response = client.post(PREDICT, data=b'{"\\ud800": "\\udfff", "b": "\\ud800"}', content_type="application/json")
    problem(response, 422, "invalid_instances")


PARTS = {
    "no name": b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--\r\n",
    "an empty name": b'--x\r\nContent-Disposition: form-data; name=""\r\n\r\n1\r\n--x--\r\n',
    "no header": b"--x\r\nA: b\r\n\r\n1\r\n--x--\r\n",
    "no end": b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n',
    "no parts": b"hello",
    "a name that is no text": b'--x\r\nContent-Disposition: form-data; name="\xff"\r\n\r\n1\r\n--x--\r\n',
}


@pytest.mark.parametrize("body", PARTS.values(), ids=PARTS)
def test_a_malformed_form_is_400(client: FlaskClient, body: bytes) -> None:
    problem(client.post(PREDICT, data=body, content_type="multipart/form-data; boundary=x"), 400, "malformed_body")
    problem(client.post(PREDICT, data=body, content_type="multipart/form-data"), 400, "malformed_body")


def test_a_form_of_very_many_fields_is_413(client: FlaskClient) -> None:
    body = "&".join(f"{number}=1" for number in range(10_001))
    refused = client.post(PREDICT, data=body, content_type="application/x-www-form-urlencoded")
    assert "more than 10000 fields" in problem(refused, 413, "form_too_large")["detail"]


@pytest.mark.parametrize(
    "head",
    [b";a=1" * 20_000, b"\r\na: b" * 10_000, b';b="' + b'\\"' * 300_000 + b'"'],
    ids=["parameters", "lines", "escapes"],
)
def test_a_form_with_a_long_head_of_a_part_is_413(client: FlaskClient, head: bytes) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="a"' + head + b"\r\n\r\n1\r\n--x--\r\n"
    refused = client.post(PREDICT, data=body, content_type="multipart/form-data; boundary=x")
    assert "long heads" in problem(refused, 413, "form_too_large")["detail"]


def test_a_form_of_percent_signs_takes_little_memory(client: FlaskClient) -> None:
    """Werkzeug takes 200 bytes for each."""
    tracemalloc.start()
    try:
        for path in (PREDICT, "/ui/models/sum/try/file"):
            body = b"a=" + b"%" * (MB - 2)
            answer = client.post(path, data=body, content_type="application/x-www-form-urlencoded")
            assert answer.status_code in (403, 422)
        assert tracemalloc.get_traced_memory()[1] < 20 * MB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"a=1&b=2&a=3", {"a": ["1", "3"], "b": ["2"]}),
        (b"a&=&&b=&%62=c=d", {"a": [""], "": [""], "b": ["", "c=d"]}),
        (b"a+b=%C3%bC+%2B%&%zz=%26%3D", {"a b": ["ü +%"], "%zz": ["&="]}),
        (b"a=%\n%%41%4 \t=_\r\n.&b=%3d%0A%253D", {"a": ["%\n%A%4 \t=_\r\n."], "b": ["=\n%3D"]}),
        ("ü=€".encode(), {"ü": ["€"]}),
    ],
)
def test_a_form_is_decoded_as_browsers_encode_it(body: bytes, fields: dict[str, list[str]]) -> None:
    environ = {"CONTENT_TYPE": "application/x-www-form-urlencoded"}
    assert fields_in(environ, body).to_dict(flat=False) == fields


@pytest.mark.parametrize("before", range(4))
def test_a_long_field_is_decoded_whole(monkeypatch: pytest.MonkeyPatch, before: int) -> None:
    monkeypatch.setattr(forms, "_PIECE", 5)
    text = "x" * before + "ü%%4ä%%%é=1 " * 9
    environ = {"CONTENT_TYPE": "application/x-www-form-urlencoded"}
    body = f"a={quote_plus(text)}&b={text}".encode().replace(b"%25", b"%")
    assert fields_in(environ, body).to_dict() == {"a": text, "b": text}


def test_a_form_that_is_not_utf_8_is_400(client: FlaskClient) -> None:
    for body in (b"a=\xfc", b"a=%FC"):
        refused = client.post(PREDICT, data=body, content_type="application/x-www-form-urlencoded")
        assert "utf-8" in problem(refused, 400, "malformed_body")["detail"]


def test_an_unusable_manifest_affects_its_model_only(client: FlaskClient, models: Path) -> None:
    spoiled = ["NaN", "1e999", '{"deep": ' + "[" * 900 + "]" * 900 + "}"]
    for number, metric in enumerate(spoiled):
        write_version(models, f"bad{number}", Sum(), numbers("a"), metrics={"accuracy": 0.5})
        path = models / f"bad{number}/versions/1/manifest.json"
        path.write_text(path.read_text().replace('"accuracy": 0.5', f'"accuracy": {metric}'))
    items = {item["name"]: item for item in client.get("/v1/models").get_json()["items"]}
    assert items["sum"]["recipe"] == "by hand"
    assert [items[f"bad{number}"]["error"]["code"] for number in range(3)] == ["manifest_invalid"] * 3
    for path in ("/v1/models/bad0", "/v1/models/bad0/versions/1"):
        problem(client.get(path), 503, "manifest_invalid")
    problem(client.post("/v1/models/bad0/predict", json={"a": 1}), 503, "manifest_invalid")
    assert client.post(PREDICT, json=GOOD).status_code == 202


def test_a_category_that_is_not_text_makes_a_manifest_unusable(client: FlaskClient, models: Path) -> None:
    write_version(models, "words", Sum(), [Field("w", Kind.STRING, categories=("x",))], example={"w": "x"})
    path = models / "words/versions/1/manifest.json"
    path.write_text(re.sub(r'"categories": \[\s*"x"', '"categories": [{}', path.read_text()))
    body = problem(client.post("/v1/models/words/predict", json={"w": "x"}), 503, "manifest_invalid")
    assert "signature.inputs[0].categories, a list of texts" in body["detail"]


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/v1/jobs?id=abc", "'id'; there are 'created_after'"),
        ("/v1/jobs?statu=failed", "'statu'; did you mean 'status'?"),
        ("/v1/jobs/abc?wiat=5", "did you mean 'wait'?"),
        ("/v1/models?limit=3", "'limit'; it takes none."),
        ("/v1/models/sum?%C3%A9=", "'é'"),
    ],
)
def test_a_parameter_that_an_address_does_not_have_is_refused(client: FlaskClient, path: str, named: str) -> None:
    assert named in problem(client.get(path), 400, "invalid_parameter")["detail"]


def test_the_query_of_a_prediction_is_checked_too(client: FlaskClient) -> None:
    refused = client.post("/v1/models/sum/predict?escpe=formulas", json={"a": 1, "b": 2})
    assert "did you mean 'escape'?" in problem(refused, 400, "invalid_parameter")["detail"]


def test_queries_of_health_checks_and_of_foreign_protocols_are_not_ours_to_refuse(client: FlaskClient) -> None:
    assert client.get("/health/live?t=1").status_code == 200
    answer = client.post("/v1/models/none:predict?api-version=1", json={"instances": [[1, 2]]})
    assert answer.status_code == 404
