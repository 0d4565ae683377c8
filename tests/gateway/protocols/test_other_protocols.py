"""Open Inference V2, MLflow, KServe V1 and SageMaker over HTTP: answers, refusals in their shapes, waits and keys.

The clients of these protocols are asked in tests/qa/clients/.
"""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from redis import Redis

from broker.state.load_status import LoadRequests, LoadStatus, LoadStatusPublisher
from contract.errors import Code, Failure
from contract.model.environments import TODAY
from contract.model.signature import Field, Kind
from contract.release import VERSION
from contract.settings import Settings
from contract.work.jobs import PredictionOutcome
from gateway.app import create_app
from gateway.protocols.open_inference import EXTENSIONS
from tests.gateway.callers import ADMIN_KEY
from tests.gateway.conftest import scorer, without_redis
from tests.support import Sum, write_version

pytestmark = pytest.mark.waits

INFER, SAGEMAKER = "/v2/models/sum/infer", "/endpoints/sum/invocations"
KSERVE, MLFLOW = "/v1/models/sum:predict", "/v1/models/sum/invocations"
NATIVE = "/v1/models/sum/predict"
TENSOR = {"name": "x", "datatype": "FP64", "shape": [1, 2], "data": [1, 2]}
BODIES = {
    INFER: {"inputs": [TENSOR]},
    KSERVE: {"instances": [[1, 2]]},
    MLFLOW: {"inputs": [[1, 2]]},
    SAGEMAKER: {"instances": [[1, 2]]},
}


def message(answer: Any) -> str:
    """Return the sentence of an error, whichever the protocol is."""
    (sentence,) = [answer.json[name] for name in ("error", "message", "Message") if name in answer.json]
    assert answer.content_type == "application/json"
    return str(sentence)


@pytest.mark.usefixtures("scoring")
def test_answers(client: FlaskClient) -> None:
    expected = {
        INFER: {
            "model_name": "sum",
            "model_version": "1",
            "outputs": [
                {
                    "name": "predict",
                    "datatype": "FP64",
                    "shape": [1, 1],
                    "parameters": {"content_type": "np"},
                    "data": [3.0],
                }
            ],
        },
        KSERVE: {"predictions": [3.0]},
        MLFLOW: {"predictions": [3.0]},
        SAGEMAKER: {"predictions": [3.0]},
        "/invocations": {"predictions": [3.0]},
        "/v2/models/sum/versions/1/infer": None,
        "/v1/models/sum@1:predict": {"predictions": [3.0]},
        "/v1/models/sum/versions/1:predict": {"predictions": [3.0]},
    }
    for path, wanted in expected.items():
        body = BODIES.get(path, BODIES[INFER] if "infer" in path else {"instances": [[1, 2]]})
        answer = client.post(path, json=body)
        assert answer.status_code == 200, (path, answer.json)
        found = answer.json
        assert ("id" in found) == ("infer" in path)
        found.pop("id", None)
        assert wanted is None or found == wanted


@pytest.mark.usefixtures("scoring")
def test_csv_of_sagemaker_is_positional_unless_its_first_line_has_the_names(client: FlaskClient) -> None:
    for body in (
        "1,2",
        "1,2\n",
        "a,b\n1,2\n",
        "b,a\r\n2,1\r\n",
        "\ufeff1,2\n",
        "\ufeffA,b\n1,2",
        '"1","2"\n',
        " 1, 2\n",
    ):
        answer = client.post(SAGEMAKER, data=body, headers={"Content-Type": "text/csv; charset=utf-8"})
        assert answer.json == {"predictions": [3.0]}, body
    for body, said in (
        ("", "is empty"),
        ("1;2", "a list of 2 values"),
        ("1,2,3", "a list of 2 values"),
        ("1", "2 values"),
        (f"{'x' * 200_000},2\n", "must be a finite number"),
        ('"' * 200_000, "a list of 2 values"),
    ):
        answer = client.post(SAGEMAKER, data=body, headers={"Content-Type": "text/csv"})
        assert answer.status_code in (400, 422), body[:20]
        assert said in message(answer)
    lines = client.post(SAGEMAKER, data='{"a": 1, "b": 2}\n\n{"a": 3, "b": 4}', content_type="application/jsonlines")
    assert lines.json == {"predictions": [3.0, 7.0]}
    lines = client.post(SAGEMAKER, data='{"a": 1, "b": 2}\n\n{"a": 3', content_type="application/jsonlines")
    assert "line 3 is not JSON" in message(lines)


@pytest.mark.usefixtures("scoring")
@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("text/csv", "text/csv"),
        ("text/csv; verbose=true", "text/csv"),
        ("image/png, Text/CSV;q=0.5", "text/csv"),
        ("image/png", None),
        (";;,,", "application/json"),
    ],
)
def test_the_type_that_sagemaker_accepts(client: FlaskClient, accept: str | None, kind: str | None) -> None:
    headers = {} if accept is None else {"Accept": accept}
    answer = client.post(SAGEMAKER, json=[[1, 2], [3, 4]], headers=headers)
    assert answer.status_code == (200 if kind else 406)
    assert answer.content_type == (kind or "application/json")
    if kind == "text/csv":
        assert answer.text == "3.0\n7.0\n"


def test_a_stream_names_the_header_with_a_type_that_is_not_there(client: FlaskClient) -> None:
    address, headers = f"{SAGEMAKER}-response-stream", {"X-Amzn-SageMaker-Accept": "image/png"}
    answer = client.post(address, json=[[1, 2]], headers=headers)
    assert answer.status_code == 406
    assert message(answer).startswith("X-Amzn-SageMaker-Accept must be one of text/csv, ")


@pytest.mark.parametrize("path", BODIES)
def test_refusals_have_the_shape_of_the_protocol(client: FlaskClient, settings: Settings, path: str) -> None:
    unknown = client.post(path.replace("sum", "sun"), json=BODIES[path])
    assert unknown.status_code == 404
    assert "did you mean 'sum'?" in message(unknown)
    assert client.post(path, data="{", content_type="application/json").status_code == 400
    assert client.post(path, data="x", content_type="image/png").status_code == 415
    assert client.post(path, json=BODIES[path], headers={"Content-Encoding": "br"}).status_code == 415
    large = client.post(path, data=b" " * (2**20 + 1), content_type="application/json")
    assert (large.status_code, "MAX_BODY_MB" in message(large)) == (413, True)
    foreign = client.post(path, json=BODIES[path], headers={"Host": "evil.example"})
    assert (foreign.status_code, "ALLOWED_HOSTS" in message(foreign)) == (403, True)
    away = without_redis(settings).post(path, json=BODIES[path])
    assert (away.status_code, away.headers["Retry-After"]) == (503, "1")
    assert message(away)


@pytest.mark.parametrize("path", BODIES)
def test_rows_that_cannot_be_used_are_named_with_their_fields(client: FlaskClient, path: str) -> None:
    rows = [[1, 2], [1, "x"], ["y", None]]
    tensors = [{"name": "x", "datatype": "BYTES", "shape": [3, 2], "data": rows}]
    body = {"inputs": tensors} if path == INFER else {next(iter(BODIES[path])): rows}
    answer = client.post(path, json=body)
    assert answer.status_code == (400 if path == MLFLOW else 422)
    assert message(answer).startswith("row 1: 'b' must be a finite number; it is 'x'; row 2: 'a' must be")
    many = [["x", "x"]] * 4
    body["inputs" if path in (INFER, MLFLOW) else "instances"] = (
        [{"name": "x", "datatype": "BYTES", "shape": [4, 2], "data": many}] if path == INFER else many
    )
    assert message(client.post(path, json=body)).endswith("; and 3 more")


@pytest.mark.usefixtures("scoring")
@pytest.mark.parametrize(
    ("path", "changes"),
    [
        (INFER, {"json": {**BODIES[INFER], "outputs": [{"name": "predict"}] * 2}}),
        (INFER, {"json": {**BODIES[INFER], "outputs": [{"name": "predict"}] * 3_000}}),
        (KSERVE, {"data": b'{"instances": [[1, 2]]' + b', "instances": [[1, 2]]' * 3_000 + b"}"}),
        (MLFLOW, {"data": b'{"inputs": [[1, 2]], "params": {' + b'"predict_method": "predict",' * 3_000 + b'"a": 1}}'}),
        (SAGEMAKER, {"headers": {"Accept": "text/csv; verbose=true, " * 1_000 + "text/csv"}}),
        (SAGEMAKER, {"headers": {"Accept": "text/csv;" + "verbose=true;" * 1_000}}),
        (NATIVE, {"headers": {"Accept": "text/csv, " * 1_000, "Prefer": "handling=lenient," * 500 + "wait=9"}}),
        (f"{NATIVE}?{'escape=formulas&' * 1_000}", {"headers": {"Accept": "text/csv"}}),
        (NATIVE, {"data": b'{"columns": {' + b'"a": [1],' * 3_000 + b'"b": [2]}}'}),
    ],
)
def test_nothing_in_a_request_multiplies_its_answer(client: FlaskClient, path: str, changes: dict[str, Any]) -> None:
    """The answers of one row to one output, or a short refusal."""
    plain = {"json": BODIES.get(path, [[1, 2]])} if not changes.keys() & {"json", "data"} else {}
    answer = client.post(path, **{"content_type": "application/json", **plain, **changes})
    assert answer.status_code in (200, 400, 422)
    assert len(answer.data) < 1_000


def test_an_output_that_is_asked_for_twice_is_refused_with_its_place(client: FlaskClient) -> None:
    outputs = [{"name": "predict"}, {"name": "predict_proba"}, {"name": "predict"}]
    answer = client.post(INFER, json={**BODIES[INFER], "outputs": outputs})
    assert answer.status_code == 400
    assert message(answer) == "outputs[2].name repeats 'predict'; ask for each output once"


def test_lines_of_json_are_read_as_far_as_the_limit_of_rows(client: FlaskClient) -> None:
    body = '{"a": 1, "b": 2}\r\n\n' * 6
    for rest in ("", "this line is not read"):
        answer = client.post(SAGEMAKER, data=body + rest, content_type="application/jsonlines")
        assert (answer.status_code, "MAX_QUEUE_ROWS" in message(answer)) == (413, True)


@pytest.mark.parametrize("path", BODIES)
def test_a_job_that_takes_too_long_is_cancelled(settings: Settings, redis: Redis, path: str) -> None:
    client = create_app(dataclasses.replace(settings, max_wait=1)).test_client()
    answer = client.post(path, json=BODIES[path])
    assert answer.status_code == 504
    assert "within 1 s (MAX_WAIT), so the job was cancelled" in message(answer)
    assert [job["status"] for job in client.get("/v1/jobs").json["items"]] == ["canceled"]
    if path == SAGEMAKER:
        assert answer.headers["x-amzn-ErrorType"] == "ModelError"
        assert answer.json["OriginalStatusCode"] == 504


@pytest.mark.parametrize("path", BODIES)
def test_a_repeated_request_waits_for_the_same_job(settings: Settings, path: str, request: Any) -> None:
    client = create_app(dataclasses.replace(settings, max_wait=1)).test_client()
    headers = {"Idempotency-Key": "once"}
    late = client.post(path, json=BODIES[path], headers=headers)
    assert (late.status_code, late.headers["Retry-After"]) == (504, "1")
    assert "Idempotency-Key" in message(late)
    request.getfixturevalue("scoring")
    again = client.post(path, json=BODIES[path], headers=headers)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (200, "true")
    assert len(client.get("/v1/jobs").json["items"]) == 1
    other = client.post(path, data=json.dumps(BODIES[path]) + " ", content_type="application/json", headers=headers)
    assert other.status_code == (400 if path == MLFLOW else 422)
    assert "Idempotency-Key" in message(other)


@pytest.mark.parametrize("path", BODIES)
def test_a_full_queue_asks_to_try_again(settings: Settings, path: str) -> None:
    client = create_app(settings).test_client()
    client.post("/v1/models/sum/predict", json=[[1, 2]] * 5)
    answer = client.post(path, json=BODIES[path])
    assert (answer.status_code, int(answer.headers["Retry-After"]) > 0) == (503, True)
    assert "MAX_QUEUE_ROWS" in message(answer)


@pytest.mark.usefixtures("scoring")
@pytest.mark.parametrize("path", BODIES)
def test_with_keys_the_scope_and_the_models_of_the_key_hold(settings: Settings, path: str, models: Path) -> None:
    write_version(models, "other", Sum(), [Field("a", Kind.NUMBER), Field("b", Kind.NUMBER)])
    admin, numbers = "mg_" + "a" * 43, count()
    client = create_app(dataclasses.replace(settings, admin_key=admin)).test_client()

    def asked(key: str | None, where: str = path) -> Any:
        return client.post(where, json=BODIES[path], headers={} if key is None else {"X-API-Key": key})

    def made(**members: Any) -> str:
        headers = {"X-API-Key": admin}
        return str(
            client.post("/v1/keys", json={**members, "name": f"k{next(numbers)}"}, headers=headers).json["secret"]
        )

    assert asked(None).status_code == 401
    assert "send Authorization: Bearer" in message(asked(None))
    assert asked(made(scopes=["read"])).status_code == 403
    other = made(scopes=["predict"], models=["other"])
    assert asked(other).status_code == 404
    assert asked(other, path.replace("sum", "other")).status_code == 200
    if path == MLFLOW:
        assert asked(other, "/invocations").status_code == 200
        assert asked(made(scopes=["predict"]), "/invocations").status_code == 400


def test_mlflow_reads_its_four_shapes_and_nan(client: FlaskClient, scoring: None) -> None:
    for body, wanted in (
        ('{"dataframe_split": {"columns": ["b", "a"], "index": [0], "data": [[2, 1]]}}', [3.0]),
        ('{"dataframe_split": {"data": [[2, 1]]}}', [3.0]),
        ('{"dataframe_records": [{"a": 1, "b": 2}], "params": {}}', [3.0]),
        ('{"inputs": {"a": [1, 2], "b": [2, 2]}}', [3.0, 4.0]),
        ('{"instances": [{"a": 1, "b": 2}], "params": null}', [3.0]),
    ):
        assert client.post(MLFLOW, data=body, content_type="application/json").json == {"predictions": wanted}, body
    assert client.post(MLFLOW, data="a,b\n1,2\n", content_type="text/csv").json == {"predictions": [3.0]}
    nan = client.post(MLFLOW, data='{"inputs": {"a": [NaN], "b": [Infinity]}}', content_type="application/json")
    assert (nan.status_code, nan.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert "'a' must be a finite number; it is null" in message(nan)
    assert "'b' must be a finite number" in message(nan)
    for wrong in (
        '{"inputs": [], "instances": []}',
        "[[1, 2]]",
        '{"rows": 1}',
        "3",
        '{"inputs": [[1, 2]], "params": 3}',
        '{"instances": "abc"}',
        '{"dataframe_split": [{"a": 1, "b": 2}]}',
        '{"dataframe_records": {"columns": ["a", "b"], "data": [[1, 2]]}}',
    ):
        answer = client.post(MLFLOW, data=wrong, content_type="application/json")
        assert (answer.status_code, answer.json["error_code"]) == (400, "BAD_REQUEST"), wrong
    other = client.post(MLFLOW, json={"inputs": [[1, 2]], "params": {"predict_method": "transform"}})
    assert other.status_code == 404
    assert "it has 'predict'" in message(other)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json; charset=utf-8", 200),
        ("application/json;charset=UTF-8", 200),
        ("application/json; charset=latin-1", 415),
        ("application/json; format=pandas-split", 415),
        ("application/json; charset=utf-8; something=else", 415),
        ("application/json; something", 415),
        ('application/json; charset="utf-8";', 200),
    ],
)
@pytest.mark.usefixtures("scoring")
def test_mlflow_takes_no_parameters_of_a_media_type_but_utf_8(client: FlaskClient, kind: str, status: int) -> None:
    answer = client.post(MLFLOW, data=json.dumps(BODIES[MLFLOW]), content_type=kind)
    assert answer.status_code == status
    assert status == 200 or "send" in message(answer)


@pytest.mark.usefixtures("redis")
def test_a_failed_job_of_mlflow_is_400(client: FlaskClient, redis: Redis) -> None:
    with scorer(redis, lambda _: Failure(Code.MODEL_ERROR, "it failed")):
        answer = client.post(MLFLOW, json=BODIES[MLFLOW])
    assert (answer.status_code, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_mlflow_answers_what_the_named_method_returns(settings: Settings, redis: Redis) -> None:
    client = create_app(settings).test_client()
    chances = [{"no": 0.25, "yes": 0.75}]
    with scorer(redis, lambda _: PredictionOutcome(["yes"], chances, [], 0.5, 1)):
        beside = client.post(MLFLOW, json=BODIES[MLFLOW])
        alone = client.post(MLFLOW, json={**BODIES[MLFLOW], "params": {"predict_method": "predict"}})
    assert beside.json == {"predictions": ["yes"], "probabilities": chances}
    assert alone.json == {"predictions": ["yes"]}


def array_of(rows: list[list[float]]) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array(rows))
    return file.getvalue()


@pytest.mark.usefixtures("scoring")
@pytest.mark.parametrize(
    "path", [SAGEMAKER, f"{SAGEMAKER}-response-stream", "/endpoints/nothing/invocations", "/endpoints/x"]
)
def test_botocore_reads_the_id_of_a_request(client: FlaskClient, path: str) -> None:
    answer = client.post(path, json=[[1, 2]], headers={"X-Request-ID": "mine"})
    assert answer.status_code == (200 if path.startswith(SAGEMAKER) else 404)
    assert answer.headers["x-amzn-RequestId"] == answer.headers["X-Request-ID"] == "mine"


@pytest.mark.usefixtures("scoring")
def test_sagemaker_takes_and_answers_arrays_and_lines(client: FlaskClient) -> None:
    npy, lines = "application/x-npy", "application/jsonlines"
    answer = client.post(SAGEMAKER, data=array_of([[1, 2], [3, 4]]), headers={"Content-Type": npy, "Accept": npy})
    assert (answer.status_code, answer.content_type) == (200, npy)
    assert np.load(io.BytesIO(answer.data)).tolist() == [3.0, 7.0]
    answer = client.post(SAGEMAKER, json=[[1, 2], [3, 4]], headers={"Accept": lines})
    assert (answer.content_type, answer.text) == (lines, '{"prediction":3.0}\n{"prediction":7.0}\n')
    wrong = client.post(SAGEMAKER, data=b"PK", content_type=npy)
    assert (wrong.status_code, "np.savez" in message(wrong)) == (400, True)


@pytest.mark.usefixtures("scoring")
def test_target_model_chooses_the_model(settings: Settings, models: Path) -> None:
    write_version(models, "other", Sum(), [Field("c", Kind.NUMBER)])
    client = create_app(settings).test_client()

    def ask(target: str, **headers: str) -> Any:
        return client.post(
            "/endpoints/any/invocations",
            json=[[1]] if "other" in target else [[1, 2]],
            headers={"X-Amzn-SageMaker-Target-Model": target, **headers},
        )

    for target, version in (
        ("sum", "sum@1"),
        ("sum.tar.gz", "sum@1"),
        ("/other.tar.gz", "other@1"),
        ("sum@1", "sum@1"),
    ):
        answer = ask(target)
        assert answer.headers["x-Amzn-Invoked-Production-Variant"] == version, answer.json
    assert ask("sum", **{"X-Amzn-SageMaker-Target-Variant": "1"}).status_code == 200
    unknown = ask("sun.tar.gz")
    assert (unknown.status_code, "did you mean 'sum'?" in message(unknown)) == (404, True)


@pytest.mark.usefixtures("scoring")
def test_target_model_is_no_way_around_the_models_of_a_key(settings: Settings, models: Path) -> None:
    write_version(models, "other", Sum(), [Field("a", Kind.NUMBER), Field("b", Kind.NUMBER)])
    client = create_app(dataclasses.replace(settings, admin_key=ADMIN_KEY)).test_client()
    asked = {"name": "k", "scopes": ["predict"], "models": ["other"]}
    secret = client.post("/v1/keys", json=asked, headers={"X-API-Key": ADMIN_KEY}).json["secret"]
    for target, status in (("sum", 404), ("sum@1", 404), ("other", 200)):
        headers = {"X-API-Key": secret, "X-Amzn-SageMaker-Target-Model": target}
        answer = client.post(SAGEMAKER.replace("sum", "other"), json=[[1, 2]], headers=headers)
        assert answer.status_code == status, answer.json


@pytest.mark.parametrize("name", ["Target-Container-Hostname", "Inference-Component", "Enable-Explanations"])
def test_what_sagemaker_would_answer_otherwise_is_refused(client: FlaskClient, name: str) -> None:
    answer = client.post(SAGEMAKER, json=[[1, 2]], headers={f"X-Amzn-SageMaker-{name}": "x"})
    assert (answer.status_code, f"leave out {name}" in message(answer)) == (400, True)


def test_health(client: FlaskClient, settings: Settings) -> None:
    for path in ("/ping", "/health", "/v2/health/ready", "/v2/health/live"):
        assert client.get(path).status_code == 200
    assert (client.get("/ping").text, client.get("/version").text) == ("\n", "2.0.0")
    server = {"name": "modelgate", "version": VERSION, "extensions": list(EXTENSIONS)}
    assert client.get("/v2").json == server
    away = without_redis(settings)
    for path in ("/ping", "/health", "/v2/health/ready"):
        answer = away.get(path)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert "Redis" in message(answer)


def test_metadata_and_readiness(client: FlaskClient) -> None:
    tensors = [{"name": name, "datatype": "FP64", "shape": [-1, 1]} for name in ("a", "b")]
    metadata = {"name": "sum", "versions": ["1"], "platform": "sklearn", "inputs": tensors}
    metadata["outputs"] = [{"name": "predict", "datatype": "FP64", "shape": [-1, 1]}]
    assert client.get("/v2/models/sum").json == client.get("/v2/models/sum/versions/1").json == metadata
    assert client.get("/v2/models/sum/ready").json == {"name": "sum", "ready": True}
    assert client.get("/v2/models/sum/versions/2/ready").status_code == 404
    assert client.get("/v2/models").json == {"models": ["sum"]}
    assert client.get("/v1/models/sum").json["ready"] is True
    assert client.get("/v1/models").json["models"] == ["sum"]


def test_load_waits_for_the_workers(settings: Settings, redis: Redis, models: Path) -> None:
    write_version(models, "bad", Sum(), [Field("a", Kind.NUMBER)])
    (models / "bad" / "versions" / "1" / "manifest.json").write_text("{")
    client = create_app(dataclasses.replace(settings, warmup_timeout=0.2)).test_client()
    load = "/v2/repository/models/sum/load"
    nobody = client.post(load)
    assert (nobody.status_code, nobody.headers["Retry-After"]) == (503, "1")
    publisher = LoadStatusPublisher(redis, ttl=60)
    publisher.publish("w", LoadStatus())
    assert client.post(load).status_code == 504
    assert "sum@1" in LoadRequests(redis).read()[TODAY]
    publisher.publish("w", LoadStatus(refused={"sum@1": "it was altered"}))
    cannot = client.post(load)
    assert (cannot.status_code, "it was altered" in message(cannot)) == (503, True)
    for status in (LoadStatus(loaded=["sum@1"]), LoadStatus(models=["sum"], loaded=["sum@1"])):
        publisher.publish("w", status)
        assert client.post(load).json == {"name": "sum", "load": True}
    unload = client.post(load.replace("load", "unload"))
    assert (unload.status_code, "does not unload models" in message(unload)) == (409, True)
    assert client.post("/v2/repository/models/sun/unload").status_code == 404
    bad, good = client.post("/v2/repository/index").json
    assert (bad["state"], "manifest" in bad["reason"]) == ("UNAVAILABLE", True)
    assert good == {"name": "sum", "version": "1", "state": "READY", "reason": ""}


def test_a_terse_key_learns_no_more_from_other_protocols(settings: Settings) -> None:
    admin = "mg_" + "a" * 43
    client = create_app(dataclasses.replace(settings, admin_key=admin)).test_client()
    made = client.post("/v1/keys", json={"name": "k", "scopes": ["predict"]}, headers={"X-API-Key": admin})
    answer = client.post(KSERVE, json={"instances": [{"a": 1}]}, headers={"X-API-Key": made.json["secret"]})
    assert message(answer) == "row 0: inputs of the model are missing"


def test_json_of_an_answer_is_json(client: FlaskClient, scoring: None) -> None:
    for path, body in BODIES.items():
        json.loads(client.post(path, json=body).data)


@pytest.fixture
def nameless(settings: Settings) -> None:
    """The sum of x0, x1 and x2 with weights, as of a model that was fitted on an array."""
    write_version(settings.models_dir, "array", Sum(), [Field(f"x{number}", Kind.NUMBER) for number in range(3)])


OF_ARRAY, NATIVE_ARRAY = "/v1/models/array/invocations", "/v1/models/array/predict"


@pytest.fixture
def digits(redis: Redis) -> Iterator[None]:
    """Finishes every job with the digits of each row in the order of the inputs."""
    with scorer(
        redis,
        lambda job: PredictionOutcome([int("".join(str(int(v)) for v in row)) for row in job.rows], None, [], 1, 1),
    ):
        yield


@pytest.mark.usefixtures("nameless", "digits")
def test_numbers_are_positions_of_a_model_that_was_fitted_without_names(client: FlaskClient) -> None:
    for body in (
        {"dataframe_split": {"columns": [0, 1, 2], "data": [[1, 2, 3]]}},
        {"dataframe_split": {"columns": [2, 0, 1], "data": [[3, 1, 2]]}},
        {"dataframe_split": {"columns": ["0", "1", "2"], "index": [0], "data": [[1, 2, 3]]}},
        {"dataframe_records": [{"2": 3, "0": 1, "1": 2}]},
        {"instances": [{"0": 1, "1": 2, "2": 3}]},
        {"inputs": {"1": [2], "0": [1], "2": [3]}},
    ):
        assert client.post(OF_ARRAY, json=body).json == {"predictions": [123]}, body
        answer = client.post(NATIVE_ARRAY, json=body, headers={"Prefer": "wait=10"}).json
        assert (answer["output"]["predictions"], answer["warnings"]) == ([123], []), body
    for body in ({"0": 1, "1": 2, "2": 3, "note": "x"}, [{"0": 1, "1": 2, "2": 3, "note": "x"}]):
        answer = client.post(NATIVE_ARRAY, json=body, headers={"Prefer": "wait=10"}).json
        assert answer["output"]["predictions"] == [123]
        assert answer["warnings"] == ["ignored columns that are not inputs of the model: 'note'"]


@pytest.mark.usefixtures("nameless")
@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": [0, 1], "data": [[1, 2]]}},
        {"dataframe_split": {"columns": [0, 1, 2, 3], "data": [[1, 2, 3, 4]]}},
        {"dataframe_split": {"columns": [1, 2, 3], "data": [[1, 2, 3]]}},
        {"dataframe_split": {"columns": [0, 1, 1], "data": [[1, 2, 3]]}},
        [{"0": 1, "1": 2, "x2": 3}],
        [{"0": 1, "1": 2, "2": 3, "x2": 3}],
        [{"0": 1, "1": 2, "02": 3}],
        # A frame by rows and one by columns look alike.
        {"0": {"0": 1, "1": 2, "2": 3}, "1": {"0": 1, "1": 2, "2": 3}, "2": {"0": 1, "1": 2, "2": 3}},
    ],
    ids=json.dumps,
)
def test_numbers_that_are_not_exactly_the_positions_are_refused(client: FlaskClient, body: Any) -> None:
    answer = client.post(NATIVE_ARRAY, json=body)
    assert answer.status_code == 422, answer.json
    assert {error["code"] for error in answer.json["errors"]} <= {"missing_field", "repeated_field", "not_instances"}


@pytest.mark.usefixtures("nameless")
def test_numbers_are_no_positions_of_a_model_with_names_nor_in_a_csv(client: FlaskClient) -> None:
    split = {"dataframe_split": {"columns": [0, 1], "data": [[1, 2]]}}
    for address, status in ((MLFLOW, 400), (NATIVE, 422)):
        assert client.post(address, json=split).status_code == status, address
    csv = client.post(NATIVE_ARRAY, data="0,1,2\n1,2,3\n", content_type="text/csv")
    assert csv.status_code == 422
    repeated = client.post(NATIVE_ARRAY, data='{"0": 1, "0": 9, "1": 2, "2": 3}', content_type="application/json")
    assert [error["code"] for error in repeated.json["errors"]] == ["repeated_field"]


@pytest.mark.usefixtures("nameless", "digits")
def test_names_that_mean_nothing_are_positions_at_invocations_only(client: FlaskClient) -> None:
    said = "the model was fitted without names, so 'b', 'a', 'c' were taken for 'x0', 'x1', 'x2'"
    body = {"dataframe_split": {"columns": ["b", "a", "c"], "data": [[1, 2, 3]]}}
    assert client.post(OF_ARRAY, json=body).json == {"predictions": [123], "warnings": [said]}
    assert client.post(NATIVE_ARRAY, json=body).status_code == 422
    csv = client.post(OF_ARRAY, data="b,a,c\n1,2,3\n", content_type="text/csv")
    assert csv.json == {"predictions": [123], "warnings": [said]}
    csv = client.post(OF_ARRAY, data="2,0,1\n3,1,2\n", content_type="text/csv")
    assert csv.json["predictions"] == [123]
    assert csv.json["warnings"][0].endswith("so '2', '0', '1' were taken for 'x2', 'x0', 'x1'")


@pytest.mark.usefixtures("nameless")
@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": ["b", "a"], "data": [[1, 2]]}},
        {"dataframe_split": {"columns": ["b", "a", "x1"], "data": [[1, 2, 3]]}},
        {"dataframe_split": {"columns": ["b", "a", "a"], "data": [[1, 2, 3]]}},
        {"dataframe_split": {"columns": ["b", "a", "7"], "data": [[1, 2, 3]]}},
        {"dataframe_records": [{"b": 1, "a": 2, "c": 3}]},
        {"inputs": {"b": [1], "a": [2], "c": [3]}},
        {"instances": {"b": {"0": 1}, "a": {"0": 2}, "c": {"0": 3}}},
    ],
    ids=json.dumps,
)
def test_names_at_invocations_that_may_mean_something_or_have_no_order_are_refused(
    client: FlaskClient, body: Any
) -> None:
    assert client.post(OF_ARRAY, json=body).status_code == 400
    assert client.post(OF_ARRAY, data="5.1,3.5,1.4\n4.9,3.0,1.4\n", content_type="text/csv").status_code == 400
