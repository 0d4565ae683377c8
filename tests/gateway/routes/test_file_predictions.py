"""File predictions over HTTP: sent to the spool, and their output with ranges."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from broker.sides.file_tasks import FileTask, FileTasks, Stage
from contract.errors import Failure
from contract.model.model_settings import Logging
from contract.model.signature import PREDICT, AnswerForm, Method, Output, OutputKind, Signature
from contract.rows.file_formats import FileFormat
from contract.settings import Settings
from gateway.app import create_app
from storage.models.repository_writer import RepositoryWriter
from storage.spool.names import FileFolder
from tests.support import Sum, numbers, write_version
from trainer.publishing.aliases import change_settings

CSV = b"a,b\n1,2\n3,4\n"
OUTPUT = b"a,b,prediction\n1,2,3.0\n3,4,7.0\n"
ERRORS = b'{"row":1,"field":"b","code":"not_a_number","message":"\'b\' is wrong"}\n'
PATH = "/v1/models/sum/predict-file"


@pytest.fixture
def client(settings: Settings) -> FlaskClient:
    return create_app(replace(settings, spool_mb=16)).test_client()


def send(client: FlaskClient, body: bytes = CSV, path: str = PATH, **options: Any) -> TestResponse:
    return client.post(path, data=body, **{"content_type": "text/csv", **options})


def accepted(client: FlaskClient, **options: Any) -> str:
    answer = send(client, **options)
    assert answer.status_code == 202, answer.text
    return str(answer.json["id"])  # type: ignore[index]


def score(lane: FileTasks, spool: Path, job_id: str, warnings: Sequence[str] = ()) -> FileTask:
    """Do what scorers do, and return the first task."""
    plan = lane.take()
    assert plan is not None
    assert (plan.file, plan.stage) == (job_id, Stage.PLAN)
    lane.finish(plan, {"tasks": 1, "rows": 2})
    chunk = lane.take()
    assert chunk is not None
    lane.finish(chunk, {"rows": 2, "refused": 1, "nulls": 0})
    folder = FileFolder.of(spool, job_id)
    folder.output.write_bytes(OUTPUT)
    folder.errors.write_bytes(ERRORS)
    last = lane.take()
    assert last is not None
    lane.finish(last, {"warnings": list(warnings)})
    return plan


def code_of(answer: TestResponse) -> str:
    return str(json.loads(answer.data)["code"])


def test_a_file_becomes_a_job_pinned_to_a_version(client: FlaskClient, lane: FileTasks, spool: Path) -> None:
    answer = send(client)
    job = answer.json
    assert answer.status_code == 202 and job is not None
    assert answer.headers["Location"] == f"/v1/jobs/{job['id']}"
    assert (job["kind"], job["status"], job["model"]) == ("file_prediction", "queued", {"name": "sum", "version": 1})
    assert FileFolder.of(spool, job["id"]).input.read_bytes() == CSV
    task = lane.take()
    assert task is not None
    assert (task.file_request.input, task.file_request.output, task.file_request.lenient) == (
        FileFormat.CSV,
        FileFormat.CSV,
        True,
    )


@pytest.mark.parametrize(
    ("headers", "query", "expected"),
    [
        ({"Prefer": "handling=strict"}, "", {"lenient": False}),
        ({"Prefer": "handling=lenient"}, "", {"lenient": True}),
        ({}, "?escape=formulas", {"escape": True}),
        ({"Content-Type": "application/jsonl"}, "", {"input": "application/x-ndjson"}),
        ({"Content-Type": "application/vnd.apache.parquet"}, "", {"output": "application/vnd.apache.parquet"}),
        ({"Accept": "application/x-ndjson"}, "", {"input": "text/csv", "output": "application/x-ndjson"}),
        ({"Accept": "application/json"}, "", {"output": "text/csv"}),
    ],
)
def test_options_travel_with_the_job(
    client: FlaskClient, lane: FileTasks, headers: dict[str, str], query: str, expected: dict[str, object]
) -> None:
    answer = send(client, path=PATH + query, headers=headers, content_type=headers.get("Content-Type", "text/csv"))
    assert answer.status_code == 202
    if "Prefer" in headers:
        assert answer.headers["Preference-Applied"] == headers["Prefer"]
    task = lane.take()
    assert task is not None
    assert task.file_request.to_json().items() >= expected.items()


def test_a_file_is_logged_whole_or_not_by_the_hash_of_its_job(
    client: FlaskClient, lane: FileTasks, settings: Settings
) -> None:
    logging = Logging(share=0.5, leave_out=("b",))
    change_settings(RepositoryWriter(settings.models_dir), "sum", {"logging": logging.to_json()})
    decided = set()
    for _ in range(20):
        created, task = sent(client, lane)
        kept = logging.keeps(task.file)
        assert task.logged == ({"accepted_at": created, "alias": "current", "leave_out": ["b"]} if kept else None)
        decided.add(kept)
    assert decided == {True, False}


def test_only_predictions_of_a_model_that_is_logged_are_logged(
    client: FlaskClient, lane: FileTasks, settings: Settings
) -> None:
    methods = (PREDICT, Method("transform", AnswerForm.NUMBERS))
    signature = Signature(numbers("a"), (Output(OutputKind.NUMBER),), methods=methods)
    write_version(settings.models_dir, "both", Sum(), numbers("a"), signature=signature)
    assert sent(client, lane)[1].logged is None
    for model in ("sum", "both"):
        logging = Logging(share=1.0).to_json()
        change_settings(RepositoryWriter(settings.models_dir), model, {"logging": logging})
    created, task = sent(client, lane, PATH.replace("sum", "sum@1"))
    assert task.logged == {"accepted_at": created}, "without an alias"
    assert sent(client, lane, "/v1/models/both/predict-file?method=transform")[1].logged is None


def sent(client: FlaskClient, lane: FileTasks, path: str = PATH) -> tuple[str, FileTask]:
    """Send a file, and return when it was accepted, and its plan, with which it fails."""
    job, task = send(client, path=path).json, lane.take()
    assert job and task and task.file == job["id"]
    lane.finish(task, Failure("model_error", "it hurts"))
    return job["created_at"], task


def test_a_repeated_request_gets_the_same_job_and_keeps_no_second_file(client: FlaskClient, spool: Path) -> None:
    first, again = (send(client, headers={"Idempotency-Key": "k"}) for _ in range(2))
    assert first.json is not None and again.json is not None
    assert (again.status_code, again.json["id"]) == (202, first.json["id"])
    assert again.headers["Idempotent-Replayed"] == "true"
    assert [path.name for path in spool.glob("*") if path.is_dir()] == [f"{first.json['id']}.job"]
    for other in (
        send(client, b"a,b\n5,6\n", headers={"Idempotency-Key": "k"}),
        send(client, headers={"Idempotency-Key": "k", "Prefer": "handling=strict"}),
    ):
        assert (other.status_code, code_of(other)) == (422, "idempotency_key_reused")
    assert len([path for path in spool.glob("*") if path.is_dir()]) == 1


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ({"path": "/v1/models/nope/predict-file"}, 404, "unknown_model"),
        ({"path": f"{PATH}?method=transform"}, 404, "unknown_method"),
        ({"path": f"{PATH}?escape=all"}, 400, "invalid_parameter"),
        ({"headers": {"Cancel-After": "soon"}}, 400, "invalid_parameter"),
        ({"content_type": "application/json"}, 415, "unsupported_media_type"),
        ({"content_type": "multipart/form-data; boundary=x"}, 415, "unsupported_media_type"),
        ({"headers": {"Content-Encoding": "gzip"}}, 415, "unsupported_content_encoding"),
        ({"body": b""}, 400, "malformed_body"),
        ({"body": b"x" * (2 * 2**20 + 1)}, 413, "upload_too_large"),
    ],
)
def test_a_refused_file_leaves_nothing(
    client: FlaskClient, spool: Path, options: dict[str, Any], status: int, code: str
) -> None:
    answer = send(client, **options)
    assert (answer.status_code, code_of(answer)) == (status, code)
    assert [path for path in spool.glob("*") if path.name != ".lock"] == []


def test_a_full_spool_is_507_until_a_file_is_deleted(client: FlaskClient, spool: Path) -> None:
    for _ in range(8):
        job_id = accepted(client, body=b"x" * 2 * 2**20)
    refused = send(client, body=b"x" * 2 * 2**20)
    assert (refused.status_code, code_of(refused)) == (507, "spool_full")
    for _ in range(2):  # cancelled, then deleted
        client.delete(f"/v1/jobs/{job_id}")
    assert not FileFolder.of(spool, job_id).path.exists()
    accepted(client, body=b"x" * 2 * 2**20)


def test_the_output_has_ranges_an_etag_and_a_head(client: FlaskClient, lane: FileTasks, spool: Path) -> None:
    job_id = accepted(client)
    score(lane, spool, job_id)
    path = f"/v1/jobs/{job_id}/output"
    job = client.get(f"/v1/jobs/{job_id}").json
    assert job is not None
    assert job["output"] == {"rows": 2, "errors": 1, "href": path, "format": "text/csv"}
    whole = client.get(path)
    assert (whole.status_code, whole.data) == (200, OUTPUT)
    assert whole.headers["Content-Type"].startswith("text/csv")
    assert whole.headers["Accept-Ranges"] == "bytes"
    etag = whole.headers["ETag"]
    part = client.get(path, headers={"Range": "bytes=4-9", "If-Range": etag})
    assert (part.status_code, part.data) == (206, OUTPUT[4:10])
    assert part.headers["Content-Range"] == f"bytes 4-9/{len(OUTPUT)}"
    assert client.get(path, headers={"Range": "bytes=4-9", "If-Range": '"other"'}).status_code == 200
    assert client.get(path, headers={"Range": "bytes=-7"}).data == OUTPUT[-7:]
    assert client.get(path, headers={"Range": "bytes=0-0,2-2"}).data == OUTPUT
    beyond = client.get(path, headers={"Range": "bytes=999-"})
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{len(OUTPUT)}")
    assert client.get(path, headers={"If-None-Match": etag}).status_code == 304
    head = client.head(path)
    assert (head.status_code, head.data, head.headers["Content-Length"]) == (200, b"", str(len(OUTPUT)))
    errors = client.get(f"/v1/jobs/{job_id}/errors")
    assert (errors.status_code, errors.data) == (200, ERRORS)
    assert errors.headers["Content-Type"] == "application/x-ndjson"


def test_an_output_in_another_format_is_406_and_names_the_one_there_is(
    client: FlaskClient, lane: FileTasks, spool: Path
) -> None:
    job_id = accepted(client)
    score(lane, spool, job_id)
    path = f"/v1/jobs/{job_id}/output"
    assert client.get(path, headers={"Accept": "text/csv"}).status_code == 200
    assert client.get(path, headers={"Accept": "text/*;q=0.5"}).status_code == 200
    refused = client.get(path, headers={"Accept": "application/vnd.apache.parquet"})
    assert (refused.status_code, code_of(refused)) == (406, "not_acceptable")
    assert json.loads(refused.data)["format"] == "text/csv"


def test_only_a_finished_file_has_an_output(client: FlaskClient, lane: FileTasks, spool: Path) -> None:
    job_id = accepted(client)
    early = client.get(f"/v1/jobs/{job_id}/output")
    assert (early.status_code, code_of(early), early.headers["Retry-After"]) == (409, "not_finished", "1")
    client.delete(f"/v1/jobs/{job_id}")
    late = client.get(f"/v1/jobs/{job_id}/errors")
    assert (late.status_code, code_of(late)) == (404, "no_output")
    single = client.post("/v1/models/sum/predict", json={"a": 1, "b": 2}).json
    assert single is not None
    other = client.get(f"/v1/jobs/{single['id']}/output")
    assert (other.status_code, code_of(other)) == (404, "no_output")
    assert client.get("/v1/jobs/nope/output").status_code == 404


def test_what_is_too_large_for_a_body_is_told_to_come_as_a_file(client: FlaskClient) -> None:
    large = client.post("/v1/models/sum/predict", data=b"x" * (2**20 + 1), content_type="text/csv")
    many = client.post("/v1/models/sum/predict", json=[{"a": 1, "b": 2}] * 6)
    for answer in (large, many):
        assert answer.status_code == 413
        assert "/v1/models/{model}/predict-file" in json.loads(answer.data)["detail"]
