"""Explanations over HTTP: what is asked for reaches the scorer, and what cannot be explained is refused at once."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis
from werkzeug.test import TestResponse

from broker.records.job_kinds import EXPLANATION
from broker.sides.file_tasks import FileTasks
from broker.sides.scorer import BatchJob, BatchLimits, ScorerQueue
from broker.sides.supervisor import Leases
from contract.model.manifest import Golden
from contract.model.signature import AnswerForm, Field, Kind, Method, Output, OutputKind, RowFormat, Signature
from contract.rows.background import BACKGROUND_FILE
from contract.settings import Settings
from contract.work.explanations import ExplainRequest
from contract.work.jobs import PredictionOutcome
from gateway.app import create_app
from tests.gateway.callers import ADMIN_KEY
from tests.support import DEADLINE, Sum, numbers, write_version

ROW = {"a": 1.0, "b": 2.0}
CLASSES = Output(OutputKind.CLASS, ("no", "yes"), probabilities=True, name="risk")
WHY = {
    "class": None,
    "value": 3.0,
    "base": 1.0,
    "contributions": {"a": 0.5, "b": 1.5},
    "errors": None,
    "exact": True,
    "rows": 9,
}


def write(models: Path, name: str, fields: Any = (), output: Output | None = None, **changes: Any) -> Path:
    """Write a version without golden rows, and return the folder of its report."""
    write_version(models, name, Sum(), fields or numbers("a", "b"), output, **changes)
    report = models / name / "versions/1/report"
    report.mkdir()
    return report


@pytest.fixture
def client(settings: Settings) -> FlaskClient:
    for name in ("line", "risk", "wide"):
        fields = numbers(*(f"x{number}" for number in range(17))) if name == "wide" else ()
        report = write(settings.models_dir, name, fields, CLASSES if name == "risk" else None)
        (report / BACKGROUND_FILE).write_text("[[1.0, 2.0]]")
    return create_app(replace(settings, max_queue_rows=1000, spool_mb=16)).test_client()


def ask(client: FlaskClient, name: str = "line", body: Any = None, query: str = "", **headers: str) -> TestResponse:
    return client.post(f"/v1/models/{name}/explain{query}", json=ROW if body is None else body, headers=headers)


def taken(redis: Redis) -> BatchJob:
    """Take the job as a scorer does."""
    Leases(redis, lease=60).register("w-0-a")
    batch = ScorerQueue(redis, "w-0-a").take(BatchLimits(kind=EXPLANATION, jobs=1))
    assert batch is not None
    return batch.jobs[0]


def refused(answer: TestResponse) -> tuple[int, str, str]:
    problem = json.loads(answer.data)
    return answer.status_code, problem["code"], problem["detail"]


def test_rows_become_a_job_of_its_own_kind_and_its_answer(client: FlaskClient, redis: Redis) -> None:
    answer = ask(client, "risk", query="?class=yes&output=risk&exact=true&seed=7")
    assert (answer.status_code, answer.json["kind"]) == (202, "explanation")  # type: ignore[index]
    job = taken(redis)
    assert (list(map(list, job.rows)), job.explain) == ([[1.0, 2.0]], ExplainRequest("yes", "risk", True, 7))
    ScorerQueue(redis, "w-0-a").finish({job.id: PredictionOutcome([WHY], None, ["few"], 1.0, 9)})
    done = client.get(f"/v1/jobs/{job.id}").json
    assert done is not None
    assert (done["kind"], done["output"]["predictions"], done["warnings"]) == ("explanation", [WHY], ["few"])
    assert [entry["id"] for entry in client.get("/v1/jobs?kind=explanation").json["items"]] == [job.id]  # type: ignore[index]


def test_without_a_query_the_predicted_class_is_estimated(client: FlaskClient, redis: Redis) -> None:
    assert ask(client, body=[ROW, ROW]).status_code == 202
    assert taken(redis).explain == ExplainRequest(None, None, False, 0)


def test_an_invalid_row_is_refused_or_left_out(client: FlaskClient, redis: Redis) -> None:
    rows = [ROW, {"a": "wide", "b": 2.0}]
    assert ask(client, body=rows).json["code"] == "invalid_instances"  # type: ignore[index]
    assert ask(client, body=rows, Prefer="handling=lenient").status_code == 202
    assert len(taken(redis).rows) == 1


def test_a_repeated_request_gets_the_same_job_and_another_class_is_another_request(client: FlaskClient) -> None:
    key = {"Idempotency-Key": "one"}
    first, again = ask(client, **key), ask(client, **key)
    assert first.json["id"] == again.json["id"]  # type: ignore[index]
    assert refused(ask(client, query="?seed=1", **key))[:2] == (422, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("?class=maybe", "has no class 'maybe': its classes are 'no', 'yes'"),
        ("?output=wealth", "has no output 'wealth': its outputs are 'risk'"),
        ("?exact=1", "exact='1' is neither true nor false"),
        ("?exact=", "exact='' is neither true nor false"),
        ("?seed=-1", "seed='-1' is not a whole number"),
        ("?seed=1e3", "seed='1e3' is not a whole number"),
        ("?seed=9999999999", "is not a whole number of up to 9 digits"),
        ("?class=no&class=yes", "class comes 2 times"),
        ("?class=%00%ff", "has no class"),
        ("?label=yes", "label"),
    ],
)
def test_a_query_that_cannot_be_used_is_refused(client: FlaskClient, query: str, says: str) -> None:
    status, _, detail = refused(ask(client, "risk", query=query))
    assert status == 400
    assert says in detail


def test_a_number_has_no_class_and_one_output_no_name(client: FlaskClient) -> None:
    assert "predicts no known classes; leave class out" in refused(ask(client, query="?class=1"))[2]
    assert "it has one output; leave output out" in refused(ask(client, query="?output=a"))[2]


def test_exact_is_for_few_inputs(client: FlaskClient) -> None:
    row = {f"x{number}": 1.0 for number in range(17)}
    status, code, detail = refused(ask(client, "wide", row, "?exact=true"))
    assert (status, code) == (400, "invalid_parameter")
    assert detail.startswith(
        "exact goes over the coalitions of at most 16 inputs, and version 1 of the model 'wide' has 17"
    )
    assert ask(client, "wide", row).status_code == 202


def test_rows_count_as_coalitions_and_too_many_are_told_how_many_fit(client: FlaskClient, redis: Redis) -> None:
    wide = {f"x{number}": 1.0 for number in range(17)}
    status, code, detail = refused(ask(client, "wide", [wide] * 3))
    assert (status, code) == (413, "too_many_rows")
    assert detail == (
        "explaining these rows counts as 1500 rows, and at most 1000 may wait (MAX_QUEUE_ROWS, or a limit of the key);"
        " send 2 at once, or all as a file, to POST /v1/models/wide/predict-file?method=explain"
    )
    assert ask(client, "wide", [wide] * 2).status_code == 202
    assert redis.hgetall("mg:rows") == {b"explain:wide": b"1000"}
    assert refused(ask(client, "wide", wide))[:2] == (503, "queue_full")
    assert client.post("/v1/models/wide/predict", json=[wide] * 1000).status_code == 202, "predictions have room"


def test_a_version_without_rows_to_compare_with_is_refused(client: FlaskClient, models: Path) -> None:
    write(models, "bare")
    status, code, detail = refused(ask(client, "bare"))
    assert (status, code) == (409, "no_background")
    assert detail.endswith("train it again, or import it with a sample (X=…)")
    assert refused(_file(client, "bare"))[:2] == (409, "no_background")


def test_golden_rows_do_and_texts_need_none(client: FlaskClient, models: Path) -> None:
    write(models, "golden", golden=Golden(((1.0, 2.0),), (3.0,)))
    assert ask(client, "golden").status_code == 202
    texts = Signature((Field("text", Kind.STRING),), (Output(OutputKind.NUMBER),), format=RowFormat.TEXTS)
    write(models, "texts", texts.inputs, signature=texts)
    assert ask(client, "texts", "so good").status_code == 202


def test_a_model_that_does_not_predict_has_nothing_to_explain(client: FlaskClient, models: Path) -> None:
    scaler = Signature(numbers("a", "b"), (), methods=(Method("transform", AnswerForm.NUMBERS),))
    write(models, "scaler", signature=scaler)
    status, code, detail = refused(ask(client, "scaler"))
    assert (status, code) == (404, "unknown_method")
    assert "does not predict, so there is nothing to explain; it has 'transform'" in detail


@pytest.mark.parametrize(
    ("name", "why", "expected"),
    [
        ("line", WHY, "a,b,base,value,error,contribution_a,contribution_b\n1,2,1.0,3.0,,0.5,1.5\n"),
        (
            "risk",
            {**WHY, "class": "no", "errors": {"a": 0.2, "b": 0.1}},
            "a,b,base,value,class,error,contribution_a,contribution_b\n1,2,1.0,3.0,no,0.2,0.5,1.5\n",
        ),
    ],
)
def test_a_csv_gets_a_csv(client: FlaskClient, redis: Redis, name: str, why: Any, expected: str) -> None:
    found: list[TestResponse] = []
    headers = {"Content-Type": "text/csv", "Accept": "text/csv", "Prefer": "wait=30"}
    asking = threading.Thread(
        target=lambda: found.append(client.post(f"/v1/models/{name}/explain", data=b"a,b\n1,2\n", headers=headers))
    )
    asking.start()
    queue = ScorerQueue(redis, "w-0-a")
    Leases(redis, lease=60).register("w-0-a")
    limits = BatchLimits(kind=EXPLANATION, jobs=1)
    while not (batch := queue.take(limits)):
        queue.wait_for_work(limits)
    queue.finish({batch.jobs[0].id: PredictionOutcome([why], None, [], 1.0, 9)})
    asking.join(DEADLINE)
    assert found[0].text == expected


def test_kserves_clients_ask_for_explanations(client: FlaskClient, redis: Redis) -> None:
    found: list[TestResponse] = []
    path = "/v1/models/risk:explain?class=no"
    asking = threading.Thread(target=lambda: found.append(client.post(path, json={"instances": [[1.0, 2.0]]})))
    asking.start()
    queue = ScorerQueue(redis, "w-0-a")
    Leases(redis, lease=60).register("w-0-a")
    limits = BatchLimits(kind=EXPLANATION, jobs=1)
    while not (batch := queue.take(limits)):
        queue.wait_for_work(limits)
    assert batch.jobs[0].explain == ExplainRequest("no", None, False, 0)
    queue.finish({batch.jobs[0].id: PredictionOutcome([WHY], None, [], 1.0, 9)})
    asking.join(DEADLINE)
    assert (found[0].status_code, found[0].json) == (200, {"explanations": [WHY]})
    refused = client.post(path.replace("no", "perhaps"), json={"instances": [[1.0, 2.0]]})
    assert (refused.status_code, list(refused.json or {})) == (400, ["error"])


def test_a_terse_key_learns_no_inputs(settings: Settings, models: Path) -> None:
    (write(models, "risk", (), CLASSES) / BACKGROUND_FILE).write_text("[[1.0, 2.0]]")
    client = create_app(replace(settings, admin_key=ADMIN_KEY, spool_mb=16)).test_client()
    admin = {"Authorization": f"Bearer {ADMIN_KEY}"}
    wanted = {"name": "shop", "scopes": ["predict"], "owner": "shop", "detail": "terse"}
    secret = client.post("/v1/keys", json=wanted, headers=admin).json["secret"]  # type: ignore[index]
    terse = {"Authorization": f"Bearer {secret}"}
    for query in ("", "?class=maybe"):
        answer = client.post(f"/v1/models/risk/explain{query}", json=[[1.0, 2.0]], headers=terse)
        assert refused(answer) == (404, "unknown_method", "the model does not have this method")
    path = "/v1/models/risk/predict-file?method=explain"
    assert client.post(path, data=b"a,b\n1,2\n", content_type="text/csv", headers=terse).status_code == 404


# Files


def _file(client: FlaskClient, name: str = "line", query: str = "") -> TestResponse:
    path = f"/v1/models/{name}/predict-file?method=explain{query}"
    return client.post(path, data=b"a,b\n1,2\n", content_type="text/csv")


def test_a_file_is_explained_as_asked(client: FlaskClient, lane: FileTasks) -> None:
    assert _file(client, "risk", "&class=no&seed=3").status_code == 202
    task = lane.take()
    assert task is not None
    assert (task.file_request.method, task.file_request.explain) == ("explain", ExplainRequest("no", None, False, 3))
    assert refused(_file(client, "risk", "&class=maybe"))[:2] == (400, "invalid_parameter")


def test_the_metrics_of_a_model_count_no_request_for_explanations(client: FlaskClient) -> None:
    ask(client)
    text = client.get("/metrics").text
    assert 'modelgate_model_requests_total{model="line"' not in text
    assert 'modelgate_explanation_queue_jobs{model="line"} 1.0' in text
    assert 'modelgate_queue_jobs{model="line"} 0.0' in text
